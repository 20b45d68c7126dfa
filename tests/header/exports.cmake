# libdeltak.so exports every DK_API function of its C headers, which lie in HEADERS, and nothing else.
file(GLOB headers ${HEADERS}/*.h)
set(text)
foreach(header IN LISTS headers)
    file(READ ${header} one)
    string(APPEND text "${one}")
endforeach()
string(REGEX MATCHALL "\nDK_API [^(]*\\(" declarations "${text}")
set(declared)
foreach(declaration IN LISTS declarations)
    string(REGEX MATCH "(dk_[a-z0-9_]+)\\($" unused "${declaration}")
    list(APPEND declared ${CMAKE_MATCH_1})
endforeach()

execute_process(COMMAND ${NM} -D --defined-only --format=posix ${LIBRARY}
                OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n]+" symbols "${symbols}")
list(TRANSFORM symbols REPLACE " .*" "")

set(missing ${declared})
list(REMOVE_ITEM missing ${symbols})
set(extra ${symbols})
list(REMOVE_ITEM extra ${declared})
# What the linker, the sanitizers and clang's OpenMP reductions define.
list(FILTER extra EXCLUDE REGEX
     "^(_init|_fini|_edata|_end|__bss_start|__(asan|ubsan|tsan|odr_asan).*|\\.gomp_critical.*)$")

list(LENGTH declared count)
if(count EQUAL 0)
    message(FATAL_ERROR "no DK_API declaration found in ${HEADERS}")
endif()
if(missing OR extra)
    message(FATAL_ERROR "declared but not exported: ${missing}\nexported but not declared: ${extra}")
endif()
message(STATUS "${count} functions, all exported, nothing else")
