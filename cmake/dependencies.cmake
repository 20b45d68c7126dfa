# What libdeltak links, all of it from the system: nothing is downloaded. A static libdeltak hands
# these on to the programs that link it, so deltakConfig.cmake.in looks for the same list.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
find_package(Jansson REQUIRED)
find_package(OpenMPBLAS REQUIRED)

# libm stands under its plain name, so that an exported static libdeltak carries no path to it.
set(DELTAK_DEPENDENCIES OpenMPBLAS::OpenMPBLAS OpenMP::OpenMP_C Jansson::Jansson ZLIB::ZLIB
                        Threads::Threads ${CMAKE_DL_LIBS} m)

# Two OpenMP runtimes. Debian's OpenBLAS is linked to GCC's libgomp; with clang our own regions run
# on libomp. libomp also exports libgomp's entry points under their versioned names (GOMP_parallel,
# omp_in_parallel, …). The loader searches breadth first, so libomp, which libdeltak needs directly,
# comes before libgomp, which only OpenBLAS needs, whatever the order on the link line: OpenBLAS's
# calls all bind to libomp, it sees our regions, and starts no team of its own inside them
# (LD_DEBUG=bindings shows it). libgomp is loaded and idle. The one way to get two live runtimes is
# a program built with gcc -fopenmp that links a libdeltak built with clang.
if(NOT CMAKE_CROSSCOMPILING)
    try_run(openblas_runs openblas_compiles
            ${PROJECT_BINARY_DIR}/CMakeFiles/openblas_parallel
            ${PROJECT_SOURCE_DIR}/cmake/openblas_parallel.c
            LINK_LIBRARIES OpenMPBLAS::OpenMPBLAS
            COMPILE_OUTPUT_VARIABLE openblas_errors
            RUN_OUTPUT_VARIABLE openblas_config)
    if(NOT openblas_compiles)
        message(FATAL_ERROR "${OPENMPBLAS_LIBRARY} isn't a working OpenBLAS; on Debian: apt-get "
                            "install libopenblas-openmp-dev\n${openblas_errors}")
    elseif(openblas_runs EQUAL 0)
        message(STATUS "OpenBLAS, OpenMP build: ${OPENMPBLAS_LIBRARY}")
    else()
        message(WARNING "${OPENMPBLAS_LIBRARY} is not an OpenMP build of OpenBLAS: its threads and "
                        "libdeltak's fight for the cores, and training takes up to 2.7 times as "
                        "long. On Debian: apt-get install libopenblas-openmp-dev, then configure "
                        "in a fresh build folder.")
    endif()
endif()
