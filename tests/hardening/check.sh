#!/bin/sh
# Whether programs and libraries are as hard to misuse as cmake/hardening.cmake would have them.
#
#     check.sh FORBIDDEN FILE...   no folder that a FILE has libraries looked for in may lie in
#                                  FORBIDDEN, the build tree say, or be one of no fixed place ("" for
#                                  FORBIDDEN: no more than that)
set -eu
export LC_ALL=C

forbidden=$1
shift
failed=0

complain() {
    echo "$file: $1" >&2
    failed=1
}

# The loader takes an empty folder for the current one, and so a relative one.
check_folders() {
    rest=$(echo "$dynamic" | sed -nE 's/.*\((RPATH|RUNPATH)\).*\[(.*)\]$/\2:/p')
    while [ -n "$rest" ]; do
        folder=${rest%%:*}
        rest=${rest#*:}
        # shellcheck disable=SC2016 # the loader's variable
        case $folder in
        '$ORIGIN' | '$ORIGIN'/*) ;;
        /*) if [ -n "$forbidden" ] && [ "${folder#"$forbidden"}" != "$folder" ]; then
            complain "looks for libraries in $folder, which is $forbidden's"
        fi ;;
        *) complain "looks for libraries in '$folder', whatever the current folder is" ;;
        esac
    done
}

for file; do
    dynamic=$(readelf -W -d "$file")
    segments=$(readelf -W -l "$file")
    symbols=$(nm -D "$file")

    echo "$dynamic" | grep -qE 'BIND_NOW|FLAGS_1.*NOW' || complain "resolves symbols late: no -z now"
    echo "$segments" | grep -q GNU_RELRO || complain "its tables stay writable: no -z relro"
    echo "$segments" | grep GNU_STACK | grep -qE ' RW +0x' || complain "its stack is executable"
    ! echo "$segments" | grep LOAD | grep -q RWE || complain "memory that is writable and executable"
    ! echo "$dynamic" | grep -q TEXTREL || complain "code that is relocated: TEXTREL"
    echo "$symbols" | grep -q __stack_chk_fail || complain "no stack protector"
    echo "$symbols" | grep -qE '__[a-z]+_chk(@|$)' || complain "no _FORTIFY_SOURCE"
    readelf -h "$file" | grep -qE 'Type: +DYN ' || complain "not position-independent"
    check_folders
done
exit $failed
