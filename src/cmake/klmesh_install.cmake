# What `cmake --install` puts where: headers, libraries, the program, configs, and the packages by which
# find_package(klmesh) and pkg-config find them. The tree may be moved after it was installed.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

set(klmesh_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/klmesh)
file(RELATIVE_PATH klmesh_bin_to_lib /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})

# klmesh_export(TARGET NAME [COMPONENT component]): installs a library as klmesh::NAME, of the component that its users ask
# for; without COMPONENT, that is NAME.
function(klmesh_export target name)
  cmake_parse_arguments(arg "" "COMPONENT" "" ${ARGN})
  set(component ${name})
  if(arg_COMPONENT)
    set(component ${arg_COMPONENT})
  endif()
  if(NOT TARGET klmesh::${name})
    add_library(klmesh::${name} ALIAS ${target})
  endif()
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${name} INSTALL_RPATH $ORIGIN)
  if(KLMESH_INSTALL)
    set_property(GLOBAL APPEND PROPERTY KLMESH_COMPONENTS ${component})
    install(TARGETS ${target} EXPORT klmesh_${component}
            LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
            INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  endif()
endfunction()

# klmesh_install_package(): all but the libraries. Called once all targets are there.
function(klmesh_install_package)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/klmesh DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/configs/ DESTINATION ${CMAKE_INSTALL_DATADIR}/klmesh)
  set_target_properties(klmesh_program PROPERTIES INSTALL_RPATH $ORIGIN/${klmesh_bin_to_lib})
  install(TARGETS klmesh_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})

  get_property(klmesh_components GLOBAL PROPERTY KLMESH_COMPONENTS)
  list(REMOVE_DUPLICATES klmesh_components)
  if(cuda IN_LIST klmesh_components)  # after what it needs
    list(REMOVE_ITEM klmesh_components cuda)
    list(APPEND klmesh_components cuda)
    install(FILES ${PROJECT_SOURCE_DIR}/src/cmake/FindNCCL.cmake DESTINATION ${klmesh_package_dir})
  endif()
  foreach(component IN LISTS klmesh_components)
    install(EXPORT klmesh_${component} FILE klmesh_${component}.cmake NAMESPACE klmesh::
            DESTINATION ${klmesh_package_dir})
  endforeach()
  set(klmesh_static TRUE)
  if(BUILD_SHARED_LIBS)
    set(klmesh_static FALSE)
  endif()
  configure_package_config_file(${PROJECT_SOURCE_DIR}/src/cmake/klmeshConfig.cmake.in
    ${PROJECT_BINARY_DIR}/package/klmeshConfig.cmake INSTALL_DESTINATION ${klmesh_package_dir}
    NO_SET_AND_CHECK_MACRO)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/package/klmeshConfigVersion.cmake
    COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/package/klmeshConfig.cmake ${PROJECT_BINARY_DIR}/package/klmeshConfigVersion.cmake
          DESTINATION ${klmesh_package_dir})
  klmesh_install_pkgconfig()
endfunction()

# MPI is left to the compiler wrapper: every MPI has a pkg-config name of its own.
function(klmesh_install_pkgconfig)
  file(RELATIVE_PATH klmesh_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" klmesh_to_prefix ${klmesh_to_prefix})
  set(klmesh_requires "libhwy, fmt")
  set(klmesh_requires_keyword Requires)
  if(BUILD_SHARED_LIBS)
    set(klmesh_requires_keyword Requires.private)
  endif()
  configure_file(${PROJECT_SOURCE_DIR}/src/cmake/klmesh.pc.in ${PROJECT_BINARY_DIR}/package/klmesh.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/package/klmesh.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
