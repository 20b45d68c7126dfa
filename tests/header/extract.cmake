#Writes the first C program of TEXT to SOURCE : of a Markdown file its first ```c block, of
#deltak.h the example in the opening comment.A text without one is an error.
file(READ ${TEXT} text) string(FIND "${text}"
                                    "\n```c\n" start) if (start GREATER - 1)
    math(EXPR start "${start} + 6") string(SUBSTRING "${text}" ${start} - 1 program)
        string(FIND "${program}"
                    "\n```" end) math(EXPR end "${end} + 1")
            string(SUBSTRING "${program}" 0 ${end} program) else()
                string(FIND "${text}"
                            " *     #include" start) if (start EQUAL - 1)
                    message(FATAL_ERROR "${TEXT} holds no C example") endif()
                        string(SUBSTRING "${text}" ${start} - 1 program)
                            string(FIND "${program}"
                                        "\n *     }\n" end) math(EXPR end "${end} + 9")
                                string(SUBSTRING "${program}" 0 ${end} program)
                                    string(REGEX REPLACE "(^|\n) \\*(     )?"
                                                         "\\1" program "${program}") endif()
                                        file(WRITE $ { SOURCE } "${program}\n")
