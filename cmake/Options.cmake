# SPDX-License-Identifier: MIT
# What every target is compiled with.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_library(egg_compile_options INTERFACE)
target_compile_features(egg_compile_options INTERFACE c_std_11)
target_compile_definitions(egg_compile_options INTERFACE _DEFAULT_SOURCE)
target_include_directories(egg_compile_options INTERFACE ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src)
target_compile_options(egg_compile_options INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-missing-field-initializers
  -ffp-contract=off)   # floats must not depend on whether the compiler fuses
if(EGG_WERROR)
  target_compile_options(egg_compile_options INTERFACE -Werror)
endif()
