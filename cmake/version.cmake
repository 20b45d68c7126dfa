# The version stands once, in the public header.
file(STRINGS ${CMAKE_CURRENT_LIST_DIR}/../include/deltak/deltak.h version_lines
     REGEX "^#define DK_VERSION_(MAJOR|MINOR|PATCH) ")
string(REGEX REPLACE "#define DK_VERSION_[A-Z]+ ([0-9]+)" "\\1" deltak_version "${version_lines}")
string(REPLACE ";" "." deltak_version "${deltak_version}")
