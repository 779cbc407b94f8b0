# SPDX-License-Identifier: MIT
# MuJoCo, which a few environments are simulated by: a folder with include/mujoco/mujoco.h, lib/libmujoco.so and models/,
# as scripts/get-mujoco makes it in build/mujoco. Sets MUJOCO_FOUND, MUJOCO_INCLUDE, MUJOCO_LIBRARY, MUJOCO_MODELS.
set(EGG_MUJOCO_DIR "" CACHE PATH "Folder that holds MuJoCo, OFF for none; by default build/mujoco or the system's")

# Looked for anew each time: the folder may come and go between two builds.
set(MUJOCO_FOUND FALSE)
set(MUJOCO_MODELS ${PROJECT_SOURCE_DIR}/build/mujoco/models)
if(NOT EGG_MUJOCO_DIR STREQUAL "OFF")
  if(EGG_MUJOCO_DIR)
    set(only NO_DEFAULT_PATH)
    set(hints ${EGG_MUJOCO_DIR})
    if(EXISTS ${EGG_MUJOCO_DIR}/models)
      set(MUJOCO_MODELS ${EGG_MUJOCO_DIR}/models)
    endif()
  else()
    set(only "")
    set(hints ${PROJECT_SOURCE_DIR}/build/mujoco)
  endif()
  find_path(MUJOCO_INCLUDE mujoco/mujoco.h NO_CACHE HINTS ${hints} PATH_SUFFIXES include ${only})
  find_library(MUJOCO_LIBRARY mujoco NO_CACHE HINTS ${hints} PATH_SUFFIXES lib ${only})
  if(MUJOCO_INCLUDE AND MUJOCO_LIBRARY)
    set(MUJOCO_FOUND TRUE)
  elseif(EGG_MUJOCO_DIR)
    message(FATAL_ERROR "EGG_MUJOCO_DIR: ${EGG_MUJOCO_DIR} holds no include/mujoco/mujoco.h and lib/libmujoco.so")
  endif()
endif()
