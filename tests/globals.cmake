# The library has no mutable globals: run as a script with -DLIBRARY=…, it fails at any object in a writable
# section. What is of a thread, or read-only once the loader is done (.data.rel.ro), isn't one.
#
# Allowed is what the compiler brings along: where destructors stand, and which processor this is, which
# libgcc writes down as the library is loaded.
cmake_minimum_required(VERSION 3.22)

set(allowed completed.0 __TMC_END__ __dso_handle __cpu_model __cpu_features2)

execute_process(COMMAND objdump -t ${LIBRARY} OUTPUT_VARIABLE table COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL " O (\\.data|\\.bss|\\*COM\\*)\t[^\n]*" objects "${table}")
set(found)
foreach(object IN LISTS objects)
    string(REGEX REPLACE ".* (\\.hidden )?" "" name "${object}")
    if(NOT name IN_LIST allowed)
        list(APPEND found ${name})
    endif()
endforeach()
string(REGEX MATCH "dk_version" named "${table}")
if(NOT named OR NOT objects)
    message(FATAL_ERROR "${LIBRARY} has no table of symbols to look at")
endif()
if(found)
    message(FATAL_ERROR "${LIBRARY} has mutable globals: ${found}")
endif()
