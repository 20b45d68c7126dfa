"""PTX, NVIDIA's assembly language, read as far as the rules of this folder need it: its kernels, each as a
list of statements (PTX ISA, chapters 4 and 5)."""
import re
from collections import namedtuple

# architecture: 90 for sm_90. release: the toolkit's that wrote it, "13.0", or "" where it doesn't say.
Module = namedtuple("Module", "architecture release kernels")

# directives: the lines between the name and the body. statements: labels with their colon, declarations and
# instructions, in order and without their semicolons.
Kernel = namedtuple("Kernel", "name directives statements")


def read(text):
    """The module that a PTX file is; ValueError where it is none."""
    target = re.search(r"^\s*\.target\s+sm_(\d+)", text, re.M)
    if not target:
        raise ValueError("no .target, so that this is no PTX")
    release = re.search(r"^// Cuda compilation tools, release ([\d.]+)", text, re.M)
    code = re.sub(r"//[^\n]*|/\*.*?\*/|^\s*\.loc\b[^\n]*", "", text, flags=re.S | re.M)
    kernels = [_kernel(code, entry) for entry in re.finditer(r"\.entry\s+([\w$%]+)", code)]
    return Module(int(target.group(1)), release.group(1) if release else "", kernels)


def opcode(instruction):
    """The instruction's name without types and predicate: "ld" of "@%p1 ld.global.u32 %r1, [%rd1]"."""
    return re.match(r"(?:@!?\S+\s+)?(\w*)", instruction).group(1)


def _kernel(code, entry):
    start = code.index("{", entry.end())
    depth = 0
    for brace in re.finditer(r"[{}]", code[start:]):
        depth += 1 if brace.group() == "{" else -1
        if depth == 0:
            return Kernel(entry.group(1), code[entry.end():start],
                          _statements(code[start + 1:start + brace.start()]))
    raise ValueError(f"{entry.group(1)} has no end")


def _statements(body):
    """Braces bound the scope of names, or make a vector of registers: then there is no semicolon in them."""
    body = re.sub(r"\{([^{};]+)\}", r"<\1>", body)
    body = re.sub(r"[{}]", ";", body)
    body = re.sub(r"^\s*([\w$%]+\s*):(?!:)", r"\1:;", body, flags=re.M)
    return [" ".join(part.split()) for part in body.split(";") if part.strip()]
