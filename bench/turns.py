"""One workload of compare.py: its contestants are started, compared, and timed round by round."""
import json
import math
import os
import statistics
import subprocess
import sys
import time

import agreement
import contestants

LOSS_STEPS, LOSS_BATCHES = 8, 2
BASELINE_TURNS = 3  # of deltak on the CPU, beside a GPU
FEWEST_ROUNDS = 3  # that a workload has, once all have started, even where the time is over


def say(text):
    print(text, file=sys.stderr, flush=True)


class Status:
    """What is going on: one line that is overwritten on a terminal, nothing elsewhere."""

    def __init__(self):
        self.on = sys.stderr.isatty()

    def show(self, text):
        if self.on:
            print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)

    def clear(self):
        self.show("")


def quartiles(values):
    low, median, high = (statistics.quantiles(values, n=4, method="inclusive")
                         if len(values) > 1 else values * 3)
    return {"median": median, "low": low, "high": high}


class OutOfTime(Exception):
    """The budget ended while contestants were still starting."""


class Run:
    """One workload: its contestants, started, compared, timed round by round."""

    def __init__(self, options, spec, folder, deadline):
        self.options, self.spec, self.deadline = options, spec, deadline
        self.status = Status()
        names = {"x": "x.npy", "y": "y.npy", "initial": "initial.safetensors"}
        self.task = dict(spec, **{key: os.path.join(folder, name) for key, name in names.items()})
        self.task_path = os.path.join(folder, "task.json")
        with open(self.task_path, "w", encoding="utf-8") as file:
            json.dump(self.task, file)
        self.stable = contestants.Stable(options, folder, self.task_path)
        self.steps = {}   # of a turn, by contestant
        self.floors = {}  # what `deltak bench` said, by round
        self.floor_cost = 0.0  # seconds that it takes, its own start included
        self.baseline = None   # deltak on the CPU

    def left(self):
        return self.deadline - time.monotonic()

    def deltak_command(self, program, *arguments):
        variables = contestants.environment(self.options.threads, self.options.library_path)
        command = [os.path.join(self.options.build, program), *arguments]
        result = subprocess.run(command, capture_output=True, text=True, env=variables)
        if result.returncode != 0:
            raise contestants.Gone(f"{program}: {result.stderr.strip()[-300:]}")
        return result.stdout

    def wanted(self):
        """(name, setting) of everybody, deltak first."""
        table = (contestants.SWEEP_SETTINGS if self.options.sweep else contestants.SETTINGS)
        settings = dict(table[self.options.kind], deltak=["again"])
        found = [("deltak", "fit")]
        for name in self.options.peers:
            for setting in self.options.settings.get(name, settings.get(name, [])):
                if not setting.endswith("-pure") or self.spec["precision"] == "bf16":
                    found.append((name, setting))
        return found

    def meet(self, contestant):
        """Waits until a contestant is ready, asks for its losses and the time of a step."""
        self.status.show(f"{self.spec['workload']}: {contestant.name} {contestant.setting}")
        try:
            contestant.ready(min(self.options.patience, self.left()))
            answer = contestant.ask(self.left(), do="losses", steps=LOSS_STEPS,
                                    batches=min(LOSS_BATCHES, self.spec["batches"]))
            contestant.losses = answer["losses"]
            contestant.extra = {key: value for key, value in answer.items() if key != "losses"}
            timed = contestant.ask(self.left(), do="time", steps=1)
            self.steps[contestant] = max(1, math.ceil(1e3 * self.options.turn / timed["ms"]))
        except contestants.Gone as gone:
            if self.left() <= 0:
                raise OutOfTime from gone
            if contestant is self.stable.all[0]:
                raise
            say(f"  {contestant.name} {contestant.setting}: {gone}")

    def open_all(self):
        """Loading and compiling take longer than measuring, so several do it at once; but what is
        chosen by timing (autotune) is chosen alone, after the others."""
        wanted = self.wanted()
        several = [pair for pair in wanted if "autotune" not in pair[1]]
        at_once = max(2, self.options.threads // 2)
        for group in [several[:1]] + [several[i:i + at_once]
                                      for i in range(1, len(several), at_once)] + [
                [pair] for pair in wanted if "autotune" in pair[1]]:
            started = [self.stable.start(name, setting) for name, setting in group]
            for contestant in started:
                self.meet(contestant)

    def measure_baseline(self):
        """deltak in fp32 on this machine's CPU, which is too slow to take turns with a GPU."""
        self.status.show(f"{self.spec['workload']}: deltak on the CPU")
        path = os.path.join(os.path.dirname(self.task_path), "task-cpu.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(dict(self.task, device="cpu", precision="fp32"), file)
        contestant = self.stable.deltak(path, "cpu")
        try:
            contestant.ready(min(self.options.patience, self.left()))
            samples = [contestant.ask(self.left(), do="time", steps=1)["ms"]
                       for _ in range(BASELINE_TURNS)]
            self.baseline = {"ms": quartiles(samples), "samples": samples, "precision": "fp32",
                             "threads": self.spec["threads"], "device_name": contestant.device_name}
        except contestants.Gone as gone:
            say(f"  deltak on the CPU: {gone}")
        contestant.close()

    def turn_of(self, contestant):
        try:
            answer = contestant.ask(max(60, self.left()), do="time",
                                    steps=self.steps[contestant])
            contestant.samples.append(answer["ms"])
        except contestants.Gone as gone:
            if contestant is self.stable.all[0]:
                raise
            say(f"  {contestant.title}: {gone}")

    def floor(self, number):
        if self.floor_cost > 5 and number % 4:
            return  # most of it is the start: every fourth round will do
        spec, began = self.spec, time.monotonic()
        text = self.deltak_command(
            "deltak", "bench", "--layers", ",".join(map(str, spec["layers"])), "--batch",
            str(spec["batch"]), "--optimizer", spec["optimizer"], "--lr", str(spec["lr"]),
            "--weight-decay", str(spec["weight_decay"]), "--precision", spec["precision"],
            "--device", spec["device"], "--threads", str(spec["threads"]), "--repeats", "3",
            "--seconds", str(self.options.turn), "--json")
        self.floors[number] = json.loads(text)
        self.floor_cost = time.monotonic() - began

    def rounds(self):
        for number in range(self.options.rounds):
            if number >= FEWEST_ROUNDS and self.left() < 0:
                break
            turns = [c for c in self.stable.all if c.alive] + [None]
            shift = number % len(turns)
            for contestant in turns[shift:] + turns[:shift]:
                who = contestant.title if contestant else "bare products"
                self.status.show(f"{self.spec['workload']}: round {number + 1}, {who}")
                time.sleep(self.options.rest)  # threads that spin after their work go to sleep
                if contestant:
                    self.turn_of(contestant)
                else:
                    self.floor(number)

    def row(self, contestant):
        """One contestant's part of the result."""
        deltak = self.stable.all[0]
        row = {"name": contestant.name, "setting": contestant.setting, "words": contestant.words,
               "versions": contestant.versions, "missing": contestant.missing,
               "failed": contestant.failed}
        if contestant.losses:
            row["losses"] = contestant.losses
            row.update(agreement.compare(self.task, deltak.losses, contestant.name,
                                         contestant.setting, contestant.losses), **contestant.extra)
        if contestant.alive and contestant.samples:
            ratios = [a / b for a, b in zip(contestant.samples, deltak.samples)]
            row.update(ms=quartiles(contestant.samples), samples=contestant.samples,
                       ratio=quartiles(ratios), steps_of_a_turn=self.steps[contestant])
        return row

    def result(self):
        deltak = self.stable.all[0]
        made = dict(self.spec, device_name=deltak.device_name, rounds=len(deltak.samples),
                    contestants=[self.row(c) for c in self.stable.all])
        floors = {number: said["floor_ms"] for number, said in self.floors.items()}
        last = list(self.floors.values())[-1]
        made["floor"] = {"ms": quartiles(list(floors.values())), "samples": list(floors.values()),
                         "ratio": quartiles([deltak.samples[n] / ms for n, ms in floors.items()]),
                         "library": last["floor_library"]}
        made["flops"] = last["flops"]
        made["baseline"] = self.baseline
        made["bench"] = last
        return made

    def go(self):
        try:
            self.deltak_command("contestant", "prepare", self.task_path)
            self.open_all()
            self.rounds()
            if self.options.baseline and self.left() > 0:
                self.measure_baseline()
            return self.result()
        finally:
            self.status.clear()
            self.stable.close()
