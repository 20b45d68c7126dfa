# What libdeltak links, all of it from the system: nothing is downloaded. A static libdeltak hands
# these on to the programs that link it, so deltakConfig.cmake.in looks for the same list.
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
find_package(OpenMP REQUIRED COMPONENTS C)
find_package(ZLIB REQUIRED)
find_package(Jansson REQUIRED)
find_package(Xxhash REQUIRED)
find_package(OneDNN REQUIRED)

# libm stands under its plain name, so that an exported static libdeltak carries no path to it.
set(DELTAK_DEPENDENCIES OneDNN::OneDNN OpenMP::OpenMP_C Jansson::Jansson ZLIB::ZLIB
                        Xxhash::Xxhash Threads::Threads ${CMAKE_DL_LIBS} m)

# Two OpenMP runtimes. Debian's oneDNN is linked to GCC's libgomp; with clang our own calls run on
# libomp. libomp also exports libgomp's entry points under their versioned names (GOMP_parallel,
# omp_in_parallel, …). The loader searches breadth first, so libomp, which libdeltak needs directly,
# comes before libgomp, which only oneDNN needs, whatever the order on the link line: oneDNN's calls
# all bind to libomp, and it learns from there that a piece of ours has one thread
# (LD_DEBUG=bindings shows it). libgomp is loaded and idle. The one way to get two live runtimes is
# a program built with gcc -fopenmp that links a libdeltak built with clang.
