# xxHash, whose XXH3 tells whether a saved file is whole: defines Xxhash::Xxhash.
find_path(XXHASH_INCLUDE_DIR xxhash.h)
find_library(XXHASH_LIBRARY xxhash)
mark_as_advanced(XXHASH_INCLUDE_DIR XXHASH_LIBRARY)

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
    Xxhash REQUIRED_VARS XXHASH_LIBRARY XXHASH_INCLUDE_DIR
    REASON_FAILURE_MESSAGE "on Debian: apt-get install libxxhash-dev")

if(Xxhash_FOUND AND NOT TARGET Xxhash::Xxhash)
    add_library(Xxhash::Xxhash UNKNOWN IMPORTED)
    set_target_properties(Xxhash::Xxhash PROPERTIES
        IMPORTED_LOCATION ${XXHASH_LIBRARY}
        INTERFACE_INCLUDE_DIRECTORIES ${XXHASH_INCLUDE_DIR})
endif()
