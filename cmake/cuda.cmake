# Decides DELTAK_CUDA_ENABLED, and deltak_plugin_source: how libdeltak reaches the CUDA backend. The
# CPU backend is always built; CUDA is never required.
#
# A shared libdeltak opens it as a plugin, libdeltak_cuda.so; a static one has it in itself, and
# needs the CUDA libraries from the program's link.
set(DELTAK_CUDA_ENABLED OFF)
if(DELTAK_CUDA STREQUAL "OFF")
    message(STATUS "CUDA: off, CPU only")
else()
    include(CheckLanguage)
    check_language(CUDA)
    if(CMAKE_CUDA_COMPILER)
        set(DELTAK_CUDA_ENABLED ON)
    elseif(DELTAK_CUDA STREQUAL "ON")
        message(FATAL_ERROR "DELTAK_CUDA=ON, but no CUDA compiler was found: set CUDACXX to nvcc")
    else()
        message(STATUS "CUDA: no CUDA compiler found, CPU only")
    endif()
endif()

set(plugin_source_dir ${PROJECT_SOURCE_DIR}/src/host/backend)
if(NOT DELTAK_CUDA_ENABLED)
    set(deltak_plugin_source ${plugin_source_dir}/plugin_none.c)
    return()
endif()

# Code for every generation from Turing on: that for 8.0 runs on 8.6, 8.7 and 8.9, that for 10.0 on 10.3 (CUDA's
# binary compatibility within a major version), and kernels that wait for memory gain nothing from a schedule
# of their own there. For the others PTX, of which the driver makes code for any higher compute capability:
# that for 12.0 for those to come, that for 9.0 for 11.0. None for 7.5, which would serve no GPU that has no code,
# and that the driver might prefer on 11.0, where its kernels wouldn't wait (launch.h): which of several it
# takes, NVIDIA doesn't say. test_nvcc_fatbin asks for all of this. Blackwell needs CUDA 12.8. Must stand
# before the language is enabled, which would choose one architecture by itself.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    execute_process(COMMAND ${CMAKE_CUDA_COMPILER} --version OUTPUT_VARIABLE nvcc_says)
    string(REGEX MATCH "release ([0-9]+\\.[0-9]+)" nvcc_release "${nvcc_says}")
    if(CMAKE_MATCH_1 VERSION_LESS 12.8)
        set(architectures "75-real;80-real;90")
    else()
        set(architectures "75-real;80-real;90;100-real;120")
    endif()
    if(PROJECT_IS_TOP_LEVEL)
        set(CMAKE_CUDA_ARCHITECTURES ${architectures} CACHE STRING
            "GPUs to build for; 90 alone, say, builds in a fraction of the time")
    else()
        set(CMAKE_CUDA_ARCHITECTURES ${architectures})
    endif()
endif()
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
set(CMAKE_CUDA_STANDARD 17)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
set(CMAKE_CUDA_VISIBILITY_PRESET hidden)
set(CMAKE_CUDA_RUNTIME_LIBRARY None) # linked by name, below: the program's link language may be C
message(STATUS "CUDA: ${CUDAToolkit_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")

set(DELTAK_CUDA_LIBRARIES CUDA::cublasLt CUDA::cudart_static)
if(DELTAK_SHARED)
    set(deltak_plugin_source ${plugin_source_dir}/plugin.c)
else()
    set(deltak_plugin_source ${plugin_source_dir}/plugin_static.c)
    list(APPEND DELTAK_DEPENDENCIES ${DELTAK_CUDA_LIBRARIES})
endif()

# libdeltak and its plugin share structures: each knows from which headers it was made, and refuses
# a partner that was made from others.
file(GLOB shared_headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/kernels/*.h)
foreach(header include/deltak/deltak.h src/host/base/error.h src/host/base/log.h
               src/host/base/memory.h src/host/backend/backend.h src/host/backend/plugin.h)
    list(APPEND shared_headers ${PROJECT_SOURCE_DIR}/${header})
endforeach()
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${shared_headers})
set(header_hashes)
foreach(header IN LISTS shared_headers)
    file(SHA256 ${header} header_hash)
    string(APPEND header_hashes ${header_hash})
endforeach()
string(SHA256 deltak_build ${header_hashes})
string(SUBSTRING ${deltak_build} 0 16 deltak_build)
set(deltak_build ${PROJECT_VERSION}-${deltak_build})
set_property(SOURCE ${plugin_source_dir}/plugin.c PROPERTY COMPILE_DEFINITIONS
    DKI_BUILD="${deltak_build}" DKI_INSTALL_LIBDIR="${CMAKE_INSTALL_FULL_LIBDIR}")
