# cmake -DSOURCE=… -DWORK=… [-DCUDA=ON] -P run.cmake: deltak inside another project, tests/subproject/app.
cmake_minimum_required(VERSION 3.22)

function(run what)
    execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "${what}: ${status}\n${output}")
    endif()
    set(output "${output}" PARENT_SCOPE)
endfunction()

function(configure folder)
    file(REMOVE_RECURSE ${WORK}/${folder})
    run("configuring ${folder}" ${CMAKE_COMMAND} -G "Unix Makefiles" -S ${CMAKE_CURRENT_LIST_DIR}/app
        -B ${WORK}/${folder} -DDELTAK_SOURCE=${SOURCE} ${ARGN})
endfunction()

# As a folder: the target alone is built, and runs. The application keeps its missing build type, deltak
# is optimised all the same.
configure(folder -DDELTAK_CUDA=OFF)
run("building" ${CMAKE_COMMAND} --build ${WORK}/folder --target app -j2)
run("running" ${WORK}/folder/app)
file(READ ${WORK}/folder/CMakeFiles/app.dir/flags.make of_app)
file(READ ${WORK}/folder/deltak/CMakeFiles/deltak_core.dir/flags.make of_deltak)
if(of_app MATCHES "C_FLAGS[^\n]*-O" OR NOT of_deltak MATCHES "C_FLAGS[^\n]*-O[23] -DNDEBUG")
    message(FATAL_ERROR "flags of the application: ${of_app}\nflags of deltak: ${of_deltak}")
endif()

# Nothing of deltak is installed with the application, unless DELTAK_INSTALL asks for it.
run("installing" ${CMAKE_COMMAND} --install ${WORK}/folder --prefix ${WORK}/folder/installed)
file(GLOB_RECURSE installed ${WORK}/folder/installed/*)
if(installed)
    message(FATAL_ERROR "installed with the application: ${installed}")
endif()

# A static library hands its dependencies on to the application's link, which CMake writes down here.
configure(static -DDELTAK_CUDA=OFF -DDELTAK_SHARED=OFF -DAPP_FETCHES=ON -DCMAKE_BUILD_TYPE=MinSizeRel)

# The plugin is made with the target, though nothing links it: a rule of the makefiles says so.
if(CUDA)
    configure(cuda -DDELTAK_CUDA=ON)
    file(READ ${WORK}/cuda/CMakeFiles/Makefile2 rules)
    if(NOT rules MATCHES "deltak/CMakeFiles/deltak\\.dir/all: [^\n]*/deltak_cuda\\.dir/all")
        message(FATAL_ERROR "building the application alone leaves the plugin out")
    endif()
endif()
