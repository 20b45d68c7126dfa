"""What must hold of the code that nvcc makes of the kernels. Each rule is a function that returns what is
wrong, in words: an empty list where nothing is."""
import re
from collections import namedtuple

import ptx

# --- waits ----------------------------------------------------------------------------------------------

# A kernel that was launched dependently starts while the one before it on its stream still runs.
# griddepcontrol.wait (PTX ISA: from sm_90 on) returns when that one has ended and its writes are visible, so
# that nothing may touch memory before. Only instructions that surely don't may come first: what isn't listed
# is refused, branches and calls too. The wait is therefore on every path.
WITHOUT_MEMORY = {"mov", "cvta", "cvt", "add", "sub", "mul", "mad", "shl", "shr", "and", "or", "xor", "not", "neg",
                  "min", "max", "setp", "selp", "bfe", "prmt"}
DECLARATIONS = (".reg ", ".shared ", ".local ", ".pragma ")


def faults_of_waits(module):
    faults = []
    for kernel in module.kernels:
        controls = [s for s in kernel.statements if ptx.opcode(s) == "griddepcontrol"]
        if module.architecture < 90:
            faults += [f"{kernel.name}: {s}, which sm_{module.architecture} doesn't have" for s in controls]
            continue
        faults += [f"{kernel.name}: {s}: dependents start when blocks run out (launch.h)"
                   for s in controls if "launch_dependents" in s]
        before = _before_the_wait(kernel)
        if before:
            faults.append(f"{kernel.name}: {before}")
    return faults


def _before_the_wait(kernel):
    for statement in kernel.statements:
        if statement == "griddepcontrol.wait":
            return None
        harmless = (statement.startswith(DECLARATIONS) or statement.startswith("ld.param.") or
                    (ptx.opcode(statement) in WITHOUT_MEMORY and not statement.endswith(":")))
        if not harmless:
            return f"'{statement}' stands before the wait"
    return "no wait"


# --- local memory ---------------------------------------------------------------------------------------

def faults_of_local_memory(module):
    """Arrays that the compiler couldn't keep in registers."""
    return [f"{kernel.name}: '{s}' is in memory" for kernel in module.kernels
            for s in kernel.statements if s.startswith(".local ")]


# --- registers and memory ------------------------------------------------------------------------------------

# One kernel for one architecture, as `ptxas -v` tells it; memory in bytes, of a thread and, shared, of a block.
Use = namedtuple("Use", "name architecture stack spilled registers shared")


def uses(report):
    """Those in the text that ptxas printed."""
    pattern = (r"Compiling entry function '([^']+)' for 'sm_(\d+)\w*'(?:(?!Compiling entry).)*?"
               r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers([^\n]*)")
    found = []
    for match in re.finditer(pattern, report, re.S):
        name, architecture, stack, stores, loads, registers, rest = match.groups()
        shared = re.search(r"(\d+) bytes smem", rest)
        found.append(Use(name, int(architecture), int(stack), int(stores) + int(loads), int(registers),
                         int(shared.group(1)) if shared else 0))
    return found


# What a multiprocessor has at least, from compute capability 7.5 on (CUDA's programming guide, "Technical
# Specifications per Compute Capability"): 7.5 has the fewest threads and the least shared memory.
REGISTERS, THREADS, SHARED = 65536, 1024, 65536


def resident_blocks(use, threads):
    """Blocks that any multiprocessor holds at a time. A warp gets its registers in units of 256, which is 8 a
    thread; a block takes 1 KiB of shared memory for itself."""
    registers = -(-use.registers // 8) * 8
    return min(REGISTERS // (registers * threads), THREADS // threads, SHARED // (use.shared + 1024))


# How many blocks of so many threads a multiprocessor must have room for: `newer` from compute capability 10.0 on,
# where ptxas takes more registers for the same. While some blocks wait for memory others compute, and a kernel
# that only moves memory is as fast as its reads in flight allow: bandwidth · latency, on an H100 3.35 TB/s · 0.7 us
# / 132 = 18 KB for each multiprocessor, of which at least a third are reads.
Family = namedtuple("Family", "kernels threads blocks newer")
FAMILIES = [
    # Four packs of 16 bytes a thread at a time (DKI_IN_FLIGHT): 48 KiB, or 32 KiB. The launch bounds say the
    # same (DKI_RESIDENT_BLOCKS).
    Family("activation delta", 256, 3, 2),
    # 16 bytes a thread of the parameters, of the gradient and of up to two slots: from 24 KiB on.
    Family("update", 256, 3, 3),
    # Up to 16 bytes a thread, of a row whose place in the order is read first; registers keep the columns' shifts
    # and scales.
    Family("gather", 256, 3, 3),
    # 16 bytes a thread of a, of z and of the targets: from 16 KiB on.
    Family("elementwise_loss", 256, 4, 4),
    # A row is read once, and up to 32 of its elements a thread stay in registers: from 32 KiB on.
    Family("softmax_loss", 256, 2, 2),
    # A pack of 16 bytes a thread at a time, or more: 16 KiB.
    Family("cast settle unpack column_sums square_sums initialise add_sums", 256, 4, 4),
    # One block in all, which must fit.
    Family("begin advance", 1, 1, 1),
    Family("decide loss_total", 1024, 1, 1),
]


def family(kernel):
    """The one of a kernel, by its name without "_kernel"; None where the table misses it."""
    return next((f for f in FAMILIES if kernel in f.kernels.split()), None)


def faults_of_memory(use):
    """A kernel keeps all that it computes with in registers: local memory is read and written at the speed of
    memory. No kernel is an exception."""
    return [f"{use.name} (sm_{use.architecture}): {count} bytes {what}"
            for count, what in ((use.spilled, "spilled"), (use.stack, "of stack")) if count]


def faults_of_residence(use, kernel):
    where = f"{use.name} (sm_{use.architecture})"
    known = family(kernel)
    if not known:
        return [f"{where}: FAMILIES in tests/nvcc/rules.py doesn't say how many blocks it needs"]
    wanted = known.newer if use.architecture >= 100 else known.blocks
    found = resident_blocks(use, known.threads)
    if found >= wanted:
        return []
    return [f"{where}: {use.registers} registers and {use.shared} bytes of shared memory leave room for {found} "
            f"blocks of {known.threads} threads, not {wanted}"]
