# deltak_embed(FILE NAME HEADER OUT): makes a C source, whose path is stored in OUT, that defines
# `const unsigned char NAME[]` (the bytes of FILE) and `const size_t NAME_size`, declared in HEADER.
# The same file, run as a script at build time, writes that source.
function(deltak_embed file name header out)
    set(source ${PROJECT_BINARY_DIR}/embedded/${name}.c)
    add_custom_command(
        OUTPUT ${source}
        COMMAND ${CMAKE_COMMAND} -DINPUT=${PROJECT_SOURCE_DIR}/${file} -DOUTPUT=${source}
                -DNAME=${name} -DHEADER=${header} -P ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
        DEPENDS ${PROJECT_SOURCE_DIR}/${file} ${PROJECT_SOURCE_DIR}/cmake/embed.cmake
        COMMENT "Embedding ${file}"
        VERBATIM)
    set(${out} ${source} PARENT_SCOPE)
endfunction()

if(CMAKE_SCRIPT_MODE_FILE)
    file(READ ${INPUT} bytes HEX)
    string(REGEX REPLACE "(................................)" "\\1\n" bytes "${bytes}")
    string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
    file(WRITE ${OUTPUT} "/* Made from ${INPUT}; do not edit. */\n#include \"${HEADER}\"\n\n"
         "const unsigned char ${NAME}[] = {\n${bytes}\n};\n"
         "const size_t ${NAME}_size = sizeof ${NAME};\n")
endif()
