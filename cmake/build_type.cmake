# The build type and the flags of a release. Included before project().
#
# Alone, this project is built as a release unless somebody chose otherwise, and the choice is kept in
# the cache. Inside another project the type that the other one has, and its flags, hold here, too; where
# it has none, only deltak is built as a release: without optimisation a step takes ten times as long.
if(CMAKE_BUILD_TYPE OR CMAKE_CONFIGURATION_TYPES)
    set(type_is_chosen ON)
else()
    set(type_is_chosen OFF)
endif()

if(CMAKE_SOURCE_DIR STREQUAL CMAKE_CURRENT_SOURCE_DIR)
    set(CMAKE_C_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "Flags of a release build, C")
    set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG" CACHE STRING "Flags of a release build, C++")
    if(NOT type_is_chosen)
        set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, Debug or RelWithDebInfo" FORCE)
    endif()
elseif(NOT type_is_chosen)
    set(CMAKE_BUILD_TYPE Release)
    message(STATUS "deltak: the project has no CMAKE_BUILD_TYPE; deltak alone is built as Release")
endif()
