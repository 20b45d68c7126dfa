"""Contestants as processes: which there are, how they are started, asked and stopped.

The line protocol is described in peers/README.md.
"""
import json
import os
import queue
import subprocess
import threading

FOLDER = os.path.dirname(os.path.abspath(__file__))

# Every setting is a row of the results; the best of a library is what deltak is compared with.
SETTINGS = {
    "cpu": {
        "torch": ["eager-foreach", "eager-fused", "compile-fused", "compile-fused-pure"],
        "jax": ["jit", "scan"],
        "sklearn": ["partial_fit"],
    },
    "cuda": {
        "torch": ["eager-foreach", "eager-fused", "compile-fused", "graph-fused", "autotune-fused",
                  "autotune-fused-pure"],
        "jax": ["jit", "scan"],
    },
}
# What a sweep has time for: one strong setting of the library that most would pick.
SWEEP_SETTINGS = {"cpu": {"torch": ["compile-fused"], "jax": ["jit"]},
                  "cuda": {"torch": ["compile-fused", "graph-fused"]}}
NAMES = {"deltak": "deltak", "torch": "PyTorch", "jax": "JAX", "sklearn": "scikit-learn"}


class Gone(Exception):
    """A contestant that can't go on; the text says why."""


class Contestant:
    """One library with one setting, in its own process."""

    def __init__(self, name, setting, command, environment, log):
        self.name, self.setting = name, setting
        self.words = setting
        self.versions, self.device_name = {}, None
        self.missing = self.failed = None
        self.samples = []  # ms of each round
        self.losses = []
        self.extra = {}
        self.log = log
        with open(log, "w", encoding="utf-8") as errors:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                            stderr=errors, text=True, env=environment,
                                            start_new_session=True)
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def title(self):
        return f"{NAMES[self.name]} ({self.words})"

    @property
    def alive(self):
        return not self.missing and not self.failed

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put(None)

    def _why(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
        return lines[-1][:300] if lines else f"ended with {self.process.poll()}"

    def receive(self, seconds):
        """The next answer; a contestant without one is dropped."""
        try:
            line = self.lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return self._drop(f"no answer within {seconds:.0f} s")
        if line is None:
            return self._drop(self._why())
        answer = json.loads(line)
        if "missing" in answer:
            self.missing = answer["missing"]
        elif "failed" in answer:
            self.failed = answer["failed"]
        if not self.alive:
            self.close()
            raise Gone(self.missing or self.failed)
        return answer

    def _drop(self, why):
        self.failed = why
        self.close()
        raise Gone(why)

    def ready(self, seconds):
        answer = self.receive(seconds)
        self.words = answer["setting"]
        self.versions = answer["versions"]
        self.device_name = answer.get("device_name")

    def ask(self, seconds, **request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except OSError:
            return self._drop(self._why())
        return self.receive(seconds)

    def close(self):
        """End of input ends a contestant; one that doesn't end in time is killed, by its own id."""
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(timeout=5 if self.alive else 0.5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def environment(threads, library_path=None):
    """The same number of threads for everybody, by whatever name a library knows it."""
    made = dict(os.environ)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC"):
        made[name] = str(threads)
    made["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # JAX takes most of a GPU's memory otherwise
    made["TF_CPP_MIN_LOG_LEVEL"] = "3"
    made["PYTHONDONTWRITEBYTECODE"] = "1"
    if library_path:
        made["LD_LIBRARY_PATH"] = library_path
    return made


class Stable:
    """Starts contestants for one task file, and closes them."""

    def __init__(self, options, folder, task_path):
        self.options, self.folder, self.task_path = options, folder, task_path
        self.all = []

    def deltak(self, task_path, setting):
        """One that doesn't take part in the rounds; the caller closes it."""
        return Contestant("deltak", setting,
                          [os.path.join(self.options.build, "contestant"), "run", task_path],
                          environment(self.options.threads, self.options.library_path),
                          self._log("deltak", setting))

    def start(self, name, setting):
        if name == "deltak":
            made = self.deltak(self.task_path, setting)
        else:
            command = [self.options.python, os.path.join(FOLDER, "peers", f"contestant_{name}.py"),
                       self.task_path, setting]
            made = Contestant(name, setting, command, environment(self.options.threads),
                              self._log(name, setting))
        self.all.append(made)
        return made

    def _log(self, name, setting):
        return os.path.join(self.folder, f"{len(self.all)}-{name}-{setting}.log")

    def close(self):
        for contestant in self.all:
            contestant.close()
