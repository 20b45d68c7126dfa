# cmake --install: the library, its headers, the command, and what find_package and pkg-config read.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/deltak)

install(TARGETS deltak EXPORT deltakTargets)
install(DIRECTORY include/deltak TYPE INCLUDE)
install(FILES LICENSE TYPE DOC)
if(TARGET deltak_cuda) # beside libdeltak, where it is looked for
    install(TARGETS deltak_cuda LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()
if(TARGET deltak_command)
    install(TARGETS deltak_command)
endif()

install(EXPORT deltakTargets NAMESPACE deltak:: DESTINATION ${package_dir})
configure_package_config_file(cmake/deltakConfig.cmake.in deltakConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(deltakConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/deltakConfig.cmake ${PROJECT_BINARY_DIR}/deltakConfigVersion.cmake
              cmake/FindJansson.cmake cmake/FindOneDNN.cmake cmake/FindXxhash.cmake
        DESTINATION ${package_dir})

# pkg-config: paths are relative to the file, so that the installed tree can be moved; what only a
# static link needs stands in Libs.private.
file(RELATIVE_PATH deltak_prefix_from_pc ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig
     ${CMAKE_INSTALL_PREFIX})
string(REPLACE ";" " " deltak_openmp_flags "${OpenMP_C_FLAGS}")
set(deltak_cuda_flags)
if(DELTAK_CUDA_ENABLED AND NOT DELTAK_SHARED)
    set(cuda_dir ${CUDAToolkit_LIBRARY_DIR})
    set(deltak_cuda_flags "-L${cuda_dir} -Wl,-rpath,${cuda_dir} -lcublasLt -lcudart_static -lrt")
endif()
configure_file(deltak.pc.in deltak.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/deltak.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
