# What libdeltak links, all of it from the system: nothing is downloaded. A static libdeltak hands
# these on to the programs that link it, so deltakConfig.cmake looks for the same list.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
find_package(Jansson REQUIRED)
find_package(OpenMPBLAS REQUIRED)

set(DELTAK_DEPENDENCIES OpenMPBLAS::OpenMPBLAS OpenMP::OpenMP_C Jansson::Jansson ZLIB::ZLIB
                        Threads::Threads ${CMAKE_DL_LIBS} m)
