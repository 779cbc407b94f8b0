# cmake --install: library, header, pkg-config and CMake package files, program, man page, licence.
include(CMakePackageConfigHelpers)

install(TARGETS eggroll EXPORT eggroll-targets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS eggroll_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(FILES include/eggroll.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# The man page is printed by the program from the same tables as its help.
set(manual ${PROJECT_BINARY_DIR}/eggroll.1)
add_custom_command(OUTPUT ${manual} COMMAND eggroll_program manual > ${manual} DEPENDS eggroll_program VERBATIM)
add_custom_target(eggroll_manual ALL DEPENDS ${manual})
install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)

# A static library hands its dependencies on to whoever links it; a shared one keeps them to itself.
set(requires "jansson libxxhash")
if(ZLIB_FOUND)
  string(APPEND requires " zlib")
endif()
if(ZSTD_FOUND)
  string(APPEND requires " libzstd")
endif()
if(BUILD_SHARED_LIBS)
  set(EGG_PC_REQUIRES "Requires.private: ${requires}")
  set(EGG_PC_LIBS "-leggroll")
else()
  set(EGG_PC_REQUIRES "Requires: ${requires}")
  set(EGG_PC_LIBS "-leggroll -lm -pthread")
endif()
configure_file(cmake/eggroll.pc.in eggroll.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/eggroll.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/eggroll)
configure_package_config_file(cmake/eggrollConfig.cmake.in eggrollConfig.cmake INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(eggrollConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT eggroll-targets NAMESPACE eggroll:: DESTINATION ${package_dir})
install(FILES ${PROJECT_BINARY_DIR}/eggrollConfig.cmake ${PROJECT_BINARY_DIR}/eggrollConfigVersion.cmake
        DESTINATION ${package_dir})
