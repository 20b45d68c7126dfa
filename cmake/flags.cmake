# How everything is compiled. deltak_compile_flags: language, warnings, floating point, sanitizers;
# deltak_flags adds the include paths of the library's insides.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(deltak_compile_flags INTERFACE)
target_compile_definitions(deltak_compile_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:_GNU_SOURCE=>)
target_compile_options(deltak_compile_flags INTERFACE
    -Wall -Wextra -Wshadow -Wvla -Wformat-security
    $<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
    $<$<BOOL:${DELTAK_WERROR}>:-Werror>
    # The same bits from every compiler and at every optimisation level: a product and a sum are
    # fused only where the source says fmaf. errno of the maths functions is never read.
    -ffp-contract=off -fno-math-errno)

if(DELTAK_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "DELTAK_FUZZ needs clang, whose libFuzzer it is: set CC=clang CXX=clang++")
    endif()
    set(DELTAK_SANITIZE address,undefined)
endif()

include(hardening)
target_compile_options(deltak_compile_flags INTERFACE ${deltak_hardening} ${deltak_fortify})

if(NOT DELTAK_SANITIZE STREQUAL "none")
    set(sanitize -fsanitize=${DELTAK_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    if(DELTAK_FUZZ)
        list(APPEND sanitize -fsanitize=fuzzer-no-link -g)
    else()
        # Whatever the build type: with -O2 between the checks the kernels take three times as long to
        # compile, and a report's lines need no more than -g1.
        list(APPEND sanitize -O1 -g1)
    endif()
    target_compile_options(deltak_compile_flags INTERFACE
        "$<$<NOT:$<BOOL:$<TARGET_PROPERTY:DELTAK_UNWATCHED>>>:${sanitize}>")
    add_link_options(-fsanitize=${DELTAK_SANITIZE})
    if(DELTAK_SANITIZE STREQUAL "thread" AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        # libomp tells ThreadSanitizer about its barriers (through libarcher), libgomp doesn't.
        message(WARNING "with ${CMAKE_C_COMPILER_ID}'s OpenMP, ThreadSanitizer reports races that "
                        "aren't there: use clang, as the preset tsan does")
    endif()
endif()

add_library(deltak_flags INTERFACE)
target_link_libraries(deltak_flags INTERFACE deltak_compile_flags)
target_include_directories(deltak_flags INTERFACE
    ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/src/host)

if(DELTAK_SHARED)
    set(deltak_library_type SHARED)
else()
    set(deltak_library_type STATIC)
endif()
