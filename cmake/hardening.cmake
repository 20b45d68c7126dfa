# What makes a mistake that is left harder to use: by the compiler (deltak_hardening, for every source
# of ours, the host's part of .cu files too) and by the linker, in every program and library that is
# linked here. tests/hardening looks for it in what was built.
#
# It is left out under sanitizers, which see more, and need their own.
set(deltak_hardening)
if(NOT DELTAK_SANITIZE STREQUAL "none")
    return()
endif()

include(CheckCCompilerFlag)
set(wanted -fstack-protector-strong -fstack-clash-protection)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
    list(APPEND wanted -fcf-protection)
endif()
foreach(flag IN LISTS wanted)
    string(MAKE_C_IDENTIFIER "DELTAK_HAS${flag}" has)
    check_c_compiler_flag(${flag} ${has})
    if(${has})
        list(APPEND deltak_hardening ${flag})
    endif()
endforeach()

# _FORTIFY_SOURCE needs an optimising compiler; some compilers define it by themselves, to less.
set(deltak_fortify $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE> $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)

include(CheckPIESupported)
check_pie_supported(LANGUAGES C CXX)
add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack,-z,defs)
