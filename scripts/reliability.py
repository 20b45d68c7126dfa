#!/usr/bin/env python3
"""The tables of docs/reliability.md, from what the tests themselves reported.

    scripts/reliability.py collect FOLDER   GoogleTest's JSON reports of a run of the suite
                                            (GTEST_OUTPUT=json:FOLDER/) into docs/reliability/suite.json
    scripts/reliability.py write            the tables, from docs/reliability/*.json
    scripts/reliability.py check            whether they are what the JSON gives; changes nothing

A test says what it tried by support::promise (tests/support_promise.h). `make fuzz`, `make soak` and
bench/checkpoint_cost.py write the other files. Exit status 1: a table is out of date, a report tells of
a failed test, or there is none.
"""
import json
import os
import re
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
RESULTS = os.path.join(ROOT, "docs", "reliability")
PAGE = os.path.join(ROOT, "docs", "reliability.md")
SEPARATOR = " | "  # between a promise and how it was tried, in a property's name


def load(name):
    """docs/reliability/NAME.json, or None."""
    try:
        with open(os.path.join(RESULTS, name + ".json"), encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None


def commit():
    return subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout.strip()


# ---- collecting ---------------------------------------------------------------------------------


def tried(program, report):
    """(promise, how, test, count, passed) of each property of a report."""
    for suite in report["testsuites"]:
        for test in suite["testsuite"]:
            for key, value in test.items():
                if SEPARATOR in key:
                    promise, how = key.split(SEPARATOR, 1)
                    # Parametrised tests by the name that stands in their source.
                    name = test["classname"].split("/")[-1] + "." + test["name"].split("/")[0]
                    yield promise, how, f"{program}: {name}", int(value), "failures" not in test


def collect(folder):
    rows = {}
    for file_name in sorted(os.listdir(folder)):
        if not file_name.endswith(".json"):
            continue
        with open(os.path.join(folder, file_name), encoding="utf-8") as file:
            report = json.load(file)
        for promise, how, test, count, passed in tried(file_name[:-5], report):
            row = rows.setdefault((promise, how, test), {"count": 0, "passed": True})
            row["count"] += count
            row["passed"] = row["passed"] and passed
    tries = [{"promise": promise, "how": how, "test": test, **row}
             for (promise, how, test), row in sorted(rows.items())]
    with open(os.path.join(RESULTS, "suite.json"), "w", encoding="utf-8") as file:
        json.dump({"commit": commit(), "tries": tries}, file, indent=1)
        file.write("\n")
    failed = [row["test"] for row in tries if not row["passed"]]
    for test in failed:
        print(f"reliability: {test} failed", file=sys.stderr)
    if not tries:
        print(f"reliability: no report in {folder} tells of a promise", file=sys.stderr)
    return 1 if failed or not tries else 0


# ---- tables -------------------------------------------------------------------------------------


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join(["---"] * len(head)) + " |"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def count_text(count):
    return f"{count:,}"


def promise_table(suite, promise):
    rows = [[row["how"], count_text(row["count"]), f"`{row['test']}`",
             "held" if row["passed"] else "**FAILED**"]
            for row in suite["tries"] if row["promise"] == promise]
    return table(["tried", "times", "by", "result"], rows) + f"\n\nAt commit {suite['commit']}."


def fuzz_table(fuzz):
    rows = [[name, count_text(target["executions"]), count_text(target["crashes"])]
            for name, target in sorted(fuzz.items()) if isinstance(target, dict)
            and "executions" in target]
    total = sum(int(row[1].replace(",", "")) for row in rows)
    return (table(["target", "executions", "left unmended"], rows)
            + f"\n\n{count_text(total)} executions in all, at commit {fuzz['commit']}.")


def soak_table(soak):
    rows = [[key.replace("_", " "), f"{value:,.4g}" if isinstance(value, float) else str(value)]
            for key, value in soak.items() if isinstance(value, (int, float))]
    return table(["100,000 steps", ""], rows) + f"\n\nAt commit {soak['commit']}."


def cost_table(runs):
    def percent(ratio):
        return f"{100 * (ratio - 1):+.1f}"
    rows = [[f"{run['layers'].replace(',', '-')}, batch {run['batch']}, {run['device']}",
             f"{run['every']:g} s" if run["every"] else
             f"{run['steps']} steps ({run['seconds']:.3g} s)",
             str(run["pairs"]),
             f"{percent(run['ratio'])} % ({percent(run['ratio_low'])} … "
             f"{percent(run['ratio_high'])})", run["commit"]]
            for run in runs]
    return table(["network", "a checkpoint every", "pairs", "of the run time", "commit"], rows)


def tables():
    """By the name in the page's markers."""
    suite, fuzz, soak, cost = (load(name) for name in ("suite", "fuzz", "soak", "cost"))
    made = {}
    if suite:
        for promise in {row["promise"] for row in suite["tries"]}:
            made[promise] = promise_table(suite, promise)
    if fuzz:
        made["fuzz"] = fuzz_table(fuzz)
    if soak:
        made["soak"] = soak_table(soak)
    if cost:
        made["cost"] = cost_table(cost)
    return made


def fill(text, made):
    """The page with its tables; what has no results says so."""
    def replace(match):
        name = match.group(1)
        return f"<!-- {name} -->\n{made.get(name, 'Not measured yet.')}\n<!-- /{name} -->"
    return re.sub(r"<!-- ([^/][^>]*?) -->\n.*?<!-- /\1 -->", replace, text, flags=re.S)


def main(arguments):
    if arguments[:1] == ["collect"] and len(arguments) == 2:
        return collect(arguments[1])
    if arguments not in (["write"], ["check"]):
        print(__doc__, file=sys.stderr)
        return 2
    with open(PAGE, encoding="utf-8") as file:
        old = file.read()
    new = fill(old, tables())
    if arguments == ["check"]:
        if new != old:
            print("docs/reliability.md isn't what docs/reliability/ gives: run "
                  "scripts/reliability.py write", file=sys.stderr)
        return 1 if new != old else 0
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(new)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
