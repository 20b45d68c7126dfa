"""What the contestants in Python share: the task, its data, and the line protocol (README.md)."""
import json
import os
import struct
import sys
import time
import traceback

WARM = 2  # steps of a turn that don't count: caches, clocks and sleeping threads come back


class Task:
    """The task file, with the data as numpy arrays."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            fields = json.load(file)
        self.layers = fields["layers"]
        self.batch = fields["batch"]
        self.batches = fields["batches"]
        self.threads = fields["threads"]
        self.optimizer = fields["optimizer"]
        self.lr = fields["lr"]
        self.weight_decay = fields["weight_decay"]
        self.precision = fields["precision"]
        self.device = fields["device"]
        self._files = fields

    def data(self):
        """Features [batches, batch, n_0] in float32 and labels [batches, batch] in int64."""
        import numpy
        x = numpy.load(self._files["x"]).reshape(self.batches, self.batch, self.layers[0])
        y = numpy.load(self._files["y"]).reshape(self.batches, self.batch)
        return x, y

    def initial(self):
        """[(W [n_k, n_{k-1}], b [n_k])] of layers 1 … L, float32, from deltak's safetensors file: 8
        bytes of length, a JSON header of that length, the numbers."""
        import numpy
        with open(self._files["initial"], "rb") as file:
            header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
            numbers = file.read()

        def tensor(name):
            begin, end = header[name]["data_offsets"]
            values = numpy.frombuffer(numbers[begin:end], dtype="<f4")
            return values.reshape(header[name]["shape"]).copy()
        return [(tensor(f"layers.{k}.weight"), tensor(f"layers.{k}.bias"))
                for k in range(1, len(self.layers))]


def _answer(stream, **fields):
    stream.write(json.dumps(fields) + "\n")
    stream.flush()


def _serve(peer, task, answers):
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "time":
            peer.run(WARM)
            began = time.perf_counter()
            taken = peer.run(request["steps"])
            _answer(answers, ms=1e3 * (time.perf_counter() - began) / taken, steps=taken)
        elif request["do"] == "losses":
            peer.restart()
            batches = request.get("batches", task.batches)
            _answer(answers, losses=peer.losses(request["steps"], batches))
        else:
            raise ValueError(f"unknown request {request['do']!r}")


def serve(make):
    """Runs a contestant. make(task, setting) returns an object with

    versions, setting, device_name   what is being timed, in words
    run(steps)       takes steps over the batches in turn, waits for the device, returns how many:
                     at least `steps`
    restart()        the initial weights, and an optimizer that has seen no step
    losses(steps, batches)  the losses of steps over batches 0 … batches − 1 in turn
    """
    # Whatever a library prints must not get between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    task = Task(sys.argv[1])
    try:
        peer = make(task, sys.argv[2])
    except ImportError as error:
        _answer(answers, missing=str(error))
        return
    try:
        peer.run(WARM)
        _answer(answers, ready=True, versions=peer.versions, setting=peer.setting,
                device_name=peer.device_name, threads=task.threads)
        _serve(peer, task, answers)
    except Exception as error:  # the driver reports it and goes on without this contestant
        traceback.print_exc()
        _answer(answers, failed=f"{type(error).__name__}: {error}".split("\n")[0])
