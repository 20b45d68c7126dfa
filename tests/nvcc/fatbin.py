"""The fat binaries of an object or a library: for which compute capabilities there is code in them, and PTX.

NVIDIA doesn't document the format; this is what nvcc 12 and 13 write. A fat binary is a header of 16 bytes
(a magic number, version, the header's size, the size of what follows) and entries: a header of their own (kind, its
size, the size of what follows, …, at 28 the architecture), and the code, maybe compressed."""
import struct
from collections import namedtuple

MAGIC = struct.pack("<IHH", 0xBA55ED50, 1, 16)
PTX, CODE = 1, 2

Entry = namedtuple("Entry", "kind architecture")


def read(data):
    """The entries of each fat binary; ValueError where one isn't what this reads."""
    found = []
    at = data.find(MAGIC)
    while at >= 0:
        size, = struct.unpack_from("<Q", data, at + 8)
        end = at + 16 + size
        if end > len(data):
            raise ValueError(f"a fat binary of {size} bytes at {at} of {len(data)}")
        found.append(_entries(data, at + 16, end))
        at = data.find(MAGIC, end)
    return found


def _entries(data, at, end):
    entries = []
    while at < end:
        kind, _, header, size = struct.unpack_from("<HHIQ", data, at)
        architecture, = struct.unpack_from("<I", data, at + 28)
        if kind not in (PTX, CODE) or header < 32 or at + header + size > end:
            raise ValueError(f"an entry of kind {kind}, header {header}, size {size} at {at}")
        entries.append(Entry(kind, architecture))
        at += header + size
    return entries


def wanted(architectures):
    """What CMAKE_CUDA_ARCHITECTURES asks for: "90" code and PTX, "90-real" code, "90-virtual" PTX; ValueError
    where it isn't a list of numbers ("native", "all", "90a")."""
    entries = set()
    for item in architectures:
        number, _, only = item.partition("-")
        if only != "virtual":
            entries.add(Entry(CODE, int(number)))
        if only != "real":
            entries.add(Entry(PTX, int(number)))
    return entries


def runs(entries, capability):
    """Those that a GPU can run: code of its major version and at most its minor one, which is taken first; where
    there is none, PTX of at most its capability, of which the driver makes code."""
    code = {e for e in entries if e.kind == CODE and e.architecture // 10 == capability // 10 and
            e.architecture <= capability}
    return code or {e for e in entries if e.kind == PTX and e.architecture <= capability}


def faults(entries, capability):
    """From 9.0 on kernels wait for earlier work only if they were compiled for 9.0 or later (launch.h). Which PTX
    of several a driver takes is its affair, so all of it has to be such."""
    found = runs(entries, capability)
    if not found:
        return [f"nothing that a GPU of compute capability {capability / 10} could run"]
    return [f"PTX for {e.architecture / 10}, without waits, on a GPU of compute capability {capability / 10}"
            for e in sorted(found) if capability >= 90 and e.architecture < 90]
