# A printed example ends with 0, says something, and complains about nothing.
execute_process(COMMAND ${PROGRAM} RESULT_VARIABLE result OUTPUT_VARIABLE output
                ERROR_VARIABLE errors)
message(STATUS "${output}")
if(NOT result EQUAL 0 OR output STREQUAL "" OR NOT errors STREQUAL "")
    message(FATAL_ERROR "${PROGRAM} ended with ${result}: ${errors}")
endif()
