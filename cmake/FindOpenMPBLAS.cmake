# OpenBLAS, preferably its OpenMP build: defines OpenMPBLAS::OpenMPBLAS and OPENMPBLAS_LIBRARY_DIR.
#
# libdeltak calls OpenBLAS from inside its own OpenMP regions. An OpenBLAS with threads of its own
# fights those for the cores (a step takes 1.7 to 2.7 times its products, measured on 2 cores), so
# Debian's openblas-openmp folder is looked at before the folder that the alternatives system
# points anywhere. Its path also goes into the RPATH, or the alternatives would decide at run time.
set(openblas_folder openblas-openmp)
find_path(OPENMPBLAS_INCLUDE_DIR cblas.h
          HINTS /usr/include/${CMAKE_LIBRARY_ARCHITECTURE}/${openblas_folder}
          PATH_SUFFIXES ${openblas_folder} openblas)
find_library(OPENMPBLAS_LIBRARY NAMES openblas openblaso
             HINTS /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/${openblas_folder}
             PATH_SUFFIXES ${openblas_folder})
mark_as_advanced(OPENMPBLAS_INCLUDE_DIR OPENMPBLAS_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
    OpenMPBLAS REQUIRED_VARS OPENMPBLAS_LIBRARY OPENMPBLAS_INCLUDE_DIR
    REASON_FAILURE_MESSAGE "on Debian: apt-get install libopenblas-openmp-dev")

if(OpenMPBLAS_FOUND)
    get_filename_component(OPENMPBLAS_LIBRARY_DIR ${OPENMPBLAS_LIBRARY} DIRECTORY)
endif()
if(OpenMPBLAS_FOUND AND NOT TARGET OpenMPBLAS::OpenMPBLAS)
    add_library(OpenMPBLAS::OpenMPBLAS UNKNOWN IMPORTED)
    set_target_properties(OpenMPBLAS::OpenMPBLAS PROPERTIES
        IMPORTED_LOCATION ${OPENMPBLAS_LIBRARY}
        INTERFACE_INCLUDE_DIRECTORIES ${OPENMPBLAS_INCLUDE_DIR})
endif()
