# SPDX-License-Identifier: MIT
# The CUDA level: by nvcc, by the C++ compiler against the emulator of tests/cuda_emulator, or not at all. Sets
# EGG_CUDA_LANGUAGE to CUDA, CXX or nothing.
set(EGG_CUDA "AUTO" CACHE STRING "Kernels for NVIDIA GPUs: AUTO (where nvcc is found), ON, OFF")
set_property(CACHE EGG_CUDA PROPERTY STRINGS AUTO ON OFF)
option(EGG_CUDA_EMULATOR "Run the CUDA kernels on the processor, slowly, to test them" OFF)

set(EGG_CUDA_LANGUAGE "")
if(EGG_CUDA_EMULATOR)
  enable_language(CXX)
  set(EGG_CUDA_LANGUAGE CXX)
  message(STATUS "NVIDIA GPUs: emulated")
elseif(EGG_CUDA)   # AUTO or ON
  include(CheckLanguage)
  # The A100's code, also as PTX, which the driver translates for what came later; and the H100's own, once nvcc's
  # version is known: CMake tries nvcc with all of them and stops where it does not know one.
  set(hopper "")
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80)
    set(hopper 90a-real)
  endif()
  set(oldest 12.0)   # the first that knows 90a
  set(missing "nvcc was not found; CUDACXX names one")
  check_language(CUDA)
  if(CMAKE_CUDA_COMPILER)
    enable_language(CUDA)
    list(APPEND CMAKE_CUDA_ARCHITECTURES ${hopper})
    set(missing "")
    if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS oldest)
      set(missing "${CMAKE_CUDA_COMPILER} is of CUDA ${CMAKE_CUDA_COMPILER_VERSION}, older than ${oldest}")
    endif()
  endif()
  if(NOT missing)
    find_package(CUDAToolkit REQUIRED)
    set(EGG_CUDA_LANGUAGE CUDA)
    # The runtime is linked into the library, so that a program also runs, and says what is missing, without CUDA.
    set(CMAKE_CUDA_RUNTIME_LIBRARY None)   # not by CMake, which would also ask for it where nvcc is not known
    set(EGG_CUDA_LIBS ${CUDAToolkit_LIBRARY_DIR}/libcudart_static.a -ldl -lrt)
    target_link_libraries(egg_dependencies INTERFACE ${EGG_CUDA_LIBS})
    list(PREPEND EGG_PC_LIBS ${EGG_CUDA_LIBS})
    message(STATUS "NVIDIA GPUs: yes, CUDA ${CUDAToolkit_VERSION}")
  elseif(EGG_CUDA STREQUAL "AUTO")
    message(STATUS "NVIDIA GPUs: no, ${missing}")
  else()
    message(FATAL_ERROR "EGG_CUDA=${EGG_CUDA}: ${missing}")
  endif()
endif()
if(EGG_CUDA_LANGUAGE)
  target_compile_definitions(egg_compile_options INTERFACE EGG_HAVE_CUDA)
endif()
