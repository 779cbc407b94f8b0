# SPDX-License-Identifier: MIT
# cmake --install: library, header, pkg-config and CMake package files, program, man page, licence.
include(CMakePackageConfigHelpers)

install(TARGETS eggroll EXPORT eggroll-targets)
install(TARGETS eggroll_program)
install(FILES include/eggroll.h TYPE INCLUDE)
install(FILES LICENSE TYPE DOC)

# The man page is printed by the program from the same tables as its help.
set(manual ${PROJECT_BINARY_DIR}/eggroll.1)
add_custom_command(OUTPUT ${manual} DEPENDS eggroll_program VERBATIM
                   COMMAND eggroll_program manual > ${manual}.part
                   COMMAND ${CMAKE_COMMAND} -E rename ${manual}.part ${manual})
add_custom_target(eggroll_manual ALL DEPENDS ${manual})
install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

# A static library leaves its dependencies to whoever links it; a shared one finds them by itself.
list(JOIN EGG_PC_MODULES " " EGG_PC_REQUIRES)
list(JOIN EGG_PC_LIBS " " EGG_PC_LIBS)
if(BUILD_SHARED_LIBS)
  set(EGG_PC_REQUIRES "")
  set(EGG_PC_LIBS "")
  file(RELATIVE_PATH bin_to_lib ${CMAKE_INSTALL_FULL_BINDIR} ${CMAKE_INSTALL_FULL_LIBDIR})
  set_target_properties(eggroll_program PROPERTIES INSTALL_RPATH "$ORIGIN/${bin_to_lib}")
  set_target_properties(eggroll PROPERTIES INSTALL_RPATH "${EGG_MUJOCO_RPATH}")
else()
  set_target_properties(eggroll_program PROPERTIES INSTALL_RPATH "${EGG_MUJOCO_RPATH}")
  install(TARGETS egg_dependencies EXPORT eggroll-targets)
endif()

# Both package files find the rest from where they lie, so that an installed tree can be moved.
set(EGG_PC_DIR ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH EGG_PC_TO_PREFIX ${EGG_PC_DIR} ${CMAKE_INSTALL_PREFIX})
configure_file(cmake/eggroll.pc.in eggroll.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/eggroll.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/eggroll)
configure_package_config_file(cmake/eggrollConfig.cmake.in eggrollConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(eggrollConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT eggroll-targets NAMESPACE eggroll:: DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/eggrollConfig.cmake ${PROJECT_BINARY_DIR}/eggrollConfigVersion.cmake
        DESTINATION ${package_dir})
