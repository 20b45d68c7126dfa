# The CPU backend's fused loops, src/host/backend/cpu/loops_*.c: compiled once per instruction set,
# with DKI_VARIANT as the suffix of their names; the library chooses at run time. Sets
# deltak_loop_objects.
#
# -fno-trapping-math and -fno-math-errno let the compiler vectorise conditionals and square roots;
# neither changes a result. Products and sums stay apart in all variants, so that all give the same
# bits.
file(GLOB loop_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/host/backend/cpu/loops_*.c)
set(deltak_loop_objects)

function(deltak_add_loops variant)
    add_library(deltak_loops_${variant} OBJECT ${loop_sources})
    target_link_libraries(deltak_loops_${variant} PRIVATE deltak_flags ${DELTAK_DEPENDENCIES})
    target_compile_definitions(deltak_loops_${variant} PRIVATE DKI_VARIANT=${variant})
    target_compile_options(deltak_loops_${variant} PRIVATE -O3 -fno-trapping-math ${ARGN})
    if(DELTAK_FUZZ) # they parse nothing, and clang can't vectorise them between its checks
        set_target_properties(deltak_loops_${variant} PROPERTIES DELTAK_UNWATCHED ON)
    endif()
    set(deltak_loop_objects
        ${deltak_loop_objects} $<TARGET_OBJECTS:deltak_loops_${variant}> PARENT_SCOPE)
endfunction()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    target_compile_definitions(deltak_flags INTERFACE DKI_X86_VARIANTS=1)
endif()
if(loop_sources AND CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    deltak_add_loops(baseline -march=x86-64)
    deltak_add_loops(avx2 -march=x86-64-v3)
    deltak_add_loops(avx512 -march=x86-64-v4 -mprefer-vector-width=512)
elseif(loop_sources)
    deltak_add_loops(baseline)
endif()
