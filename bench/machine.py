"""What a measurement ran on: commit, processor, system, GPU. Unknown is None."""
import datetime
import os
import platform
import subprocess

FOLDER = os.path.dirname(os.path.abspath(__file__))


def _output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True,
                              cwd=FOLDER).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _field(path, key, separator):
    try:
        with open(path, encoding="utf-8") as file:
            for line in file:
                name, found, value = line.partition(separator)
                if found and name.strip() == key:
                    return value.strip().strip('"')
    except OSError:
        pass
    return None


def commit():
    """The commit, with a + where tracked sources differ from it; results and documents don't
    count. A bundle without a repository has it in a file beside the command."""
    head = _output("git", "rev-parse", "--short=12", "HEAD")
    if not head:
        try:
            with open(os.path.join(FOLDER, "..", "commit"), encoding="utf-8") as file:
                return file.read().strip()[:12]
        except OSError:
            return None
    changed = _output("git", "status", "--porcelain", "--untracked-files=no", "--", ":/src",
                      ":/include", ":/bench/*.py", ":/bench/*.c", ":/bench/peers",
                      ":/CMakeLists.txt")
    return head + ("+" if changed else "")


def gpu():
    """Name, driver and memory of the first GPU, or None."""
    line = _output("nvidia-smi", "--query-gpu=name,driver_version,memory.total",
                   "--format=csv,noheader,nounits", "--id=0")
    if not line:
        return None
    name, driver, memory = (part.strip() for part in line.split(","))
    return {"name": name, "driver": driver, "memory_mib": int(memory)}


def cores():
    return len(os.sched_getaffinity(0))


def describe():
    memory = _field("/proc/meminfo", "MemTotal", ":")
    return {"cpu": _field("/proc/cpuinfo", "model name", ":") or platform.processor(),
            "cores": cores(),
            "memory_gib": round(int(memory.split()[0]) / 2 ** 20) if memory else None,
            "os": _field("/etc/os-release", "PRETTY_NAME", "="),
            "kernel": platform.release(), "gpu": gpu(),
            "load_before": round(os.getloadavg()[0], 2)}


def today():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
