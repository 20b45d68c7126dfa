#!/bin/sh
# How many registers the kernels take, and whether they spill, as ptxas tells it (-Xptxas=-v).
#
#     kernel_report.sh compile COMMAND…              a compiler launcher: runs COMMAND, and puts what
#                                                    ptxas says beside the object, in OBJECT.ptxas, and
#                                                    the PTX for each architecture into OBJECT.ptx/
#     kernel_report.sh table [--strict] OUT OBJECT…  a table of all kernels, also into the file OUT;
#                                                    --strict: fails if one of them spills
set -eu

compile() {
    object=
    previous=
    for argument in "$@"; do
        if [ "$previous" = -o ]; then object=$argument; fi
        previous=$argument
    done
    if [ -z "$object" ]; then exec "$@"; fi
    status=0
    rm -rf "$object.ptx"
    mkdir -p "$object.ptx"
    "$@" --keep --keep-dir "$object.ptx" 2>"$object.ptxas" || status=$?
    find "$object.ptx" -type f ! -name '*.ptx' -delete
    grep -vE '^ptxas info|bytes stack frame, .* bytes spill' "$object.ptxas" >&2 || true
    return "$status"
}

# Lines of "SPILLED-BYTES REGISTERS SHARED-BYTES ARCHITECTURE MANGLED-NAME".
facts() {
    awk '
        /Compiling entry function/ {
            split($0, quoted, "\047")
            name = quoted[2]
            architecture = quoted[4]
        }
        /bytes spill stores/ {
            spilled = 0
            for (i = 2; i < NF; i++) if ($(i + 1) == "bytes" && $(i + 2) == "spill") spilled += $i
        }
        / Used [0-9]+ registers/ {
            registers = shared = 0
            for (i = 1; i < NF; i++) {
                if ($(i + 1) ~ /^registers/) registers = $i
                if ($(i + 1) == "bytes" && $(i + 2) ~ /^smem/) shared = $i
            }
            print spilled + 0, registers, shared, architecture, name
        }' "$@"
}

# One line for each kernel, over its architectures and its instances of a template.
summary() {
    c++filt | awk '
        {
            spilled = $1; registers = $2; shared = $3; architecture = $4
            sub(/^[^ ]+ [^ ]+ [^ ]+ [^ ]+ /, "")
            gsub(/\(anonymous namespace\)::/, "")
            sub(/^void /, "")
            sub(/[<(].*/, "")
            if (!($0 in count)) { order[++kernels] = $0; least[$0] = registers }
            count[$0]++
            architectures[architecture] = 1
            if (registers > most[$0]) most[$0] = registers
            if (registers < least[$0]) least[$0] = registers
            if (shared > memory[$0]) memory[$0] = shared
            if (spilled > spills[$0]) { spills[$0] = spilled; where[$0] = architecture }
        }
        END {
            for (a in architectures) all = all " " a
            printf "%-32s %6s %11s %8s %8s\n", "kernel", "builds", "registers", "shared", "spilled"
            for (k = 1; k <= kernels; k++) {
                name = order[k]
                printf "%-32s %6d %5d … %3d %8d %8d %s\n", name, count[name], least[name], \
                    most[name], memory[name], spills[name], where[name]
            }
            print "architectures:" all
        }'
}

table() {
    strict=
    if [ "$1" = --strict ]; then
        strict=1
        shift
    fi
    out=$1
    shift
    for object in "$@"; do
        shift
        set -- "$@" "$object.ptxas"
    done
    facts "$@" >"$out.facts"
    sort -k5 "$out.facts" | summary >"$out.new"
    cat "$out.new"
    if [ -n "$strict" ] && awk '$1 > 0 {found = 1} END {exit !found}' "$out.facts"; then
        echo "a kernel spills registers to memory: see the last column" >&2
        return 1
    fi
    rm -f "$out.facts"
    mv "$out.new" "$out"
}

command=$1
shift
"$command" "$@"
