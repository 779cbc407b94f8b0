# SPDX-License-Identifier: MIT
# What every target is compiled with.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
foreach(language CXX CUDA)   # of the CUDA level only
  set(CMAKE_${language}_STANDARD 17)
  set(CMAKE_${language}_STANDARD_REQUIRED ON)
  set(CMAKE_${language}_EXTENSIONS OFF)
  set(CMAKE_${language}_VISIBILITY_PRESET hidden)
endforeach()

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_library(egg_compile_options INTERFACE)
target_compile_definitions(egg_compile_options INTERFACE _DEFAULT_SOURCE)
target_include_directories(egg_compile_options INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
# Floats must not depend on whether the compiler fuses: -ffp-contract=off, --fmad=false.
set(c -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-missing-field-initializers -ffp-contract=off)
set(cxx -Wall -Wextra -Wshadow -Wno-missing-field-initializers -ffp-contract=off)
set(cuda --fmad=false --threads=2 -Xcompiler=-Wall,-Wextra)
if(EGG_WERROR)
  list(APPEND c -Werror)
  list(APPEND cxx -Werror)
  list(APPEND cuda -Werror=all-warnings)
endif()
target_compile_options(egg_compile_options INTERFACE
  "$<$<COMPILE_LANGUAGE:C>:${c}>" "$<$<COMPILE_LANGUAGE:CXX>:${cxx}>" "$<$<COMPILE_LANGUAGE:CUDA>:${cuda}>")
