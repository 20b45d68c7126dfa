#!/usr/bin/env python3
"""Tables and charts from the JSON that compare.py and defaults.py wrote: no figure is typed by hand.

    bench/report.py            writes the tables between <!-- bench:NAME --> and
                               <!-- /bench:NAME --> in README.md, docs/performance.md and
                               docs/results.md, and docs/bench-*.svg
    bench/report.py --check    says whether they are what the JSON gives, and changes nothing
    bench/report.py --print    the tables of --results, on standard output

Charts need matplotlib; where it is missing they are left as they are, and --check looks at the
tables alone. A chart made by another version of matplotlib isn't compared: its bytes differ.
"""
import argparse
import json
import os
import re
import sys

import charts
import learning_report
from contestants import NAMES
from markdown_table import table

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
PAGES = ["README.md", os.path.join("docs", "performance.md"), os.path.join("docs", "results.md")]
DEVICES = {"cpu": "a CPU", "cuda": "a GPU"}
LIBRARIES, BF16 = "cpu-libraries", "cpu-bf16"
DEFAULTS, BEFORE = "defaults", "defaults-before"
# What a step on a CPU should take at the most, of its bare products; and a peer's at the least.
FLOOR_TARGETS = {"k1024": 1.08, "mnist": 1.15, "narrow": 1.25}
PEER_TARGETS = {"torch": 1.25, "sklearn": 3.0}
SWEEPS = {"width": "width of the four layers", "batch": "batch, four layers of 1024"}


def number(value):
    """Three digits, and no exponent: 0.0527, 2.31, 48.9, 1234."""
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.1g}"


def times(ratio):
    return f"{ratio:.2f}×"


def widths(run):
    layers = run["layers"]
    if len(set(layers)) == 1:
        return f"{len(layers)} × {layers[0]}"
    return "-".join(map(str, layers))


def label(run):
    return f"{run['workload']}, {run['optimizer']}" + (
        f", {run['precision']}" if run["precision"] != "fp32" or "cuda" in run["device"] else "")


def deltak_of(run):
    return run["contestants"][0]


def measured(run):
    """Peers that have a time and did the same work."""
    return [row for row in run["contestants"][1:] if "ms" in row and row["agree"]]


def best(run, name):
    rows = [row for row in measured(run) if row["name"] == name]
    return min(rows, key=lambda row: row["ms"]["median"]) if rows else None


def peers_of(result):
    return [name for name in NAMES if name != "deltak" and any(
        row["name"] == name for run in result["runs"] for row in run["contestants"])]


def absent(run, name):
    """Why a peer has no figure."""
    rows = [row for row in run["contestants"] if row["name"] == name]
    if not rows:
        return "–"
    if all(row["missing"] for row in rows):
        return "missing"
    return "losses differ" if any(row.get("agree") is False for row in rows) else "failed"


def peer_cells(run, peers):
    """The best setting of each peer: its time and its ratio to deltak's."""
    found = [best(run, name) for name in peers]
    return [f"{number(row['ms']['median'])} ({times(row['ratio']['median'])})" if row
            else absent(run, name) for name, row in zip(peers, found)]


def best_table(result):
    """deltak, its floor, and the best setting of each peer."""
    peers = peers_of(result)
    rows = []
    for run in result["runs"]:
        deltak = deltak_of(run)
        row = [f"`{run['workload']}`: {widths(run)}", str(run["batch"]), run["optimizer"],
               run["precision"], number(run["floor"]["ms"]["median"]),
               f"**{number(deltak['ms']['median'])}**"]
        rows.append(row + peer_cells(run, peers))
    return table(["network", "batch", "optimizer", "precision", "bare products", "deltak"] +
                 [NAMES[name] for name in peers], rows)


def verdict(value, limit, met):
    return f"{value:.2f} ({limit:.2f}: {'met' if met else '**missed**'})"


def target_table(result):
    """A CPU's step over its bare products, and peers' steps over deltak's, beside their targets."""
    rows = []
    for run in result["runs"]:
        limit = FLOOR_TARGETS.get(run["workload"])
        if run["optimizer"] != "sgd" or run["precision"] != "fp32" or not limit:
            continue
        ratio = run["floor"]["ratio"]["median"]
        row = [f"`{run['workload']}`", verdict(ratio, limit, ratio <= limit)]
        for name, least in PEER_TARGETS.items():
            found = best(run, name)
            if not found:
                row.append(absent(run, name))
                continue
            ratio = found["ratio"]["median"]
            row.append(verdict(ratio, least, ratio >= least))
        rows.append(row)
    return table(["network", "step / bare products, at most"] +
                 [f"{NAMES[name]} / deltak, at least" for name in PEER_TARGETS], rows)


def full_table(result):
    """Every setting, with quartiles."""
    rows = []
    for run in result["runs"]:
        deltak, floor = deltak_of(run)["ms"], run["floor"]
        spread = lambda q, form: f"{form(q['median'])} ({form(q['low'])} … {form(q['high'])})"
        one = {"low": 1 / floor["ratio"]["high"], "median": 1 / floor["ratio"]["median"],
               "high": 1 / floor["ratio"]["low"]}
        rows.append([label(run), "bare products", spread(floor["ms"], number), spread(one, times),
                     ""])
        rows.append(["", "**deltak**", spread(deltak, number), "1",
                     f"{run['flops'] / deltak['median'] * 1e-9:.3g}"])
        if run.get("baseline"):
            cpu = run["baseline"]
            ratio = cpu["ms"]["median"] / deltak["median"]
            rows.append(["", f"deltak on the CPU: {cpu['precision']}, {cpu['threads']} threads",
                         spread(cpu["ms"], number), times(ratio),
                         f"{run['flops'] / cpu['ms']['median'] * 1e-9:.3g}"])
        for row in run["contestants"][1:]:
            title = f"{NAMES[row['name']]}: {row['words']}"
            if "ms" in row:
                verdict = "" if row["agree"] else "losses differ: not counted"
                rate = f"{run['flops'] / row['ms']['median'] * 1e-9:.3g}"
                rows.append(["", title, spread(row["ms"], number), spread(row["ratio"], times),
                             verdict or rate])
            else:
                rows.append(["", title, row["missing"] or row["failed"], "", ""])
    return table(["workload", "who", "ms: median (quartiles)", "over deltak", "TFLOP/s"], rows)


def sweep_table(result):
    kind = result["sweep"]
    peers = peers_of(result)
    rows = []
    for run in result["runs"]:
        ms = deltak_of(run)["ms"]["median"]
        row = [run["workload"].split()[-1], run["precision"], run["optimizer"],
               number(run["floor"]["ms"]["median"]), f"**{number(ms)}**",
               f"{1 / run['floor']['ratio']['median']:.2f}"]
        rows.append(row + peer_cells(run, peers))
    return table([kind, "precision", "optimizer", "bare products", "deltak", "products/step"] +
                 [NAMES[name] for name in peers], rows)


def origin(result):
    """Device, versions and commit of the figures above."""
    m, runs = result["machine"], result["runs"]
    if result["device"].startswith("cuda"):
        gpu = m["gpu"] or {"name": runs[0]["device_name"], "driver": "unknown"}
        device = f"{gpu['name']} (driver {gpu['driver']})"
    else:
        threads = f"{runs[0]['threads']} thread{'s' if runs[0]['threads'] > 1 else ''}"
        device = f"{m['cpu']}, {m['cores']} cores, {threads} each"
    versions = ", ".join(f"{name} {version.split(' NO_')[0]}"
                         for name, version in sorted(result["versions"].items()))
    rounds = sorted({run["rounds"] for run in runs})
    told = f"{rounds[0]}" if len(rounds) == 1 else f"{rounds[0]} to {rounds[-1]}"
    text = (f"Milliseconds a step, medians of {told} rounds; in brackets the ratio to deltak, "
            f"round by round. {device}; {m['os']}; {versions}; commit {result['commit']}, "
            f"{result['date']}.")
    if result["not_reached"]:
        missed = ", ".join(" ".join(names) for names in result["not_reached"])
        text += f" Not reached in the time given: {missed}."
    return text


def library_table(result):
    """GFLOP/s of each library with rows as long as they are and, behind the arrow, padded."""
    rows = []
    for product in result["products"]:
        fastest = max(product["gflops_padded"].values())
        row = [f"`{product['workload']}` {product['kind']}",
               f"{product['rows']} × {product['cols']} over {product['depth']}",
               f"{product['tile_rows']} × {product['tile_cols']}"]
        for name in result["libraries"]:
            padded = product["gflops_padded"][name]
            text = f"{product['gflops'][name]:.0f} → {padded:.0f}"
            row.append(f"**{text}**" if padded == fastest else text)
        rows.append(row)
    m = result["machine"]
    return table(["product", "size", "tile"] + result["libraries"], rows) + (
        f"\n\nGFLOP/s of one core, by processor time, medians; {m['cpu']}; {m['os']}; commit "
        f"{result['commit']}, {result['date']}.")


def picture(path, text):
    return f"![{text}]({path}.svg)\n\n"


def not_run(device):
    return f"*Not run on {DEVICES[device]} yet: `make bench` on a machine with one fills this in.*"


def blocks(results):
    """The text of every marker."""
    made = {}
    for device in DEVICES:
        result = results.get(device)
        if not result:
            made[f"{device}-best"] = made[device] = not_run(device)
        else:
            text = "step times of deltak, its bare products and its peers, as ratios to deltak's"
            made[f"{device}-best"] = (picture(f"docs/bench-{device}", text) + best_table(result) +
                                      "\n\n" + origin(result))
            made[device] = (picture(f"bench-{device}", text) + full_table(result) + "\n\n" +
                            origin(result))
        for sweep, what in SWEEPS.items():
            name = f"{device}-{sweep}"
            result = results.get(name)
            made[name] = not_run(device) if not result else (
                picture(f"bench-{name}", f"step time against {what}") + sweep_table(result) +
                "\n\n" + origin(result))
    cpu = results.get("cpu")
    made["cpu-targets"] = target_table(cpu) if cpu else not_run("cpu")
    bf16 = results.get(BF16)
    made[BF16] = (full_table(bf16) + "\n\n" + origin(bf16)) if bf16 else not_run("cpu")
    libraries = results.get(LIBRARIES)
    made[LIBRARIES] = library_table(libraries) if libraries else not_run("cpu")
    learnt = results.get(DEFAULTS)
    made[DEFAULTS] = (learning_report.defaults_table(learnt, results.get(BEFORE)) if learnt else
                      "*Not measured yet: bench/defaults.py.*")
    return made


def fill(page, text, made):
    """The page with every marked block replaced. Unknown and unclosed markers are errors."""
    def replaced(match):
        name = match.group(1)
        if name not in made:
            sys.exit(f"report: {page} wants bench:{name}; there are {', '.join(made)}")
        return f"<!-- bench:{name} -->\n{made[name]}\n<!-- /bench:{name} -->"
    filled, count = re.subn(r"<!-- bench:(\S+) -->\n.*?<!-- /bench:\1 -->", replaced, text,
                            flags=re.DOTALL)
    if count != len(re.findall(r"<!-- bench:", text)):
        sys.exit(f"report: {page} has a marker that isn't closed")
    return filled


def load(folder):
    names = [LIBRARIES, BF16, DEFAULTS, BEFORE]
    for device in DEVICES:
        names += [device] + [f"{device}-{sweep}" for sweep in SWEEPS]
    results = {}
    for name in names:
        try:
            with open(os.path.join(folder, f"{name}.json"), encoding="utf-8") as file:
                results[name] = json.load(file)
        except FileNotFoundError:
            pass
    return results


def read(path):
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def outdated(root, wanted):
    """Files whose text isn't the wanted one. A chart of another matplotlib can't be compared."""
    found = []
    for name, text in wanted.items():
        there = read(os.path.join(root, name))
        if there != text and not (there and charts.other_version(there, text)):
            found.append(name)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; status 1 if outdated")
    parser.add_argument("--print", action="store_true", help="tables on standard output only")
    parser.add_argument("--root", default=ROOT, help="where README.md and docs/ are")
    parser.add_argument("--results", help="folder of the JSON (default ROOT/bench/results)")
    options = parser.parse_args()
    results = load(options.results or os.path.join(options.root, "bench", "results"))
    made = blocks(results)
    if options.print:
        text = "\n\n".join(made[name] for name in results if name in made)
        print(re.sub(r"^!\[.*\n\n", "", text, flags=re.MULTILINE))  # there's no picture
        return 0
    wanted = {page: fill(page, read(os.path.join(options.root, page)), made) for page in PAGES}
    drawn = charts.draw({name: result for name, result in results.items()
                         if name not in (LIBRARIES, BF16, DEFAULTS, BEFORE)})
    if drawn is None:
        print("report: no matplotlib here; the charts are left as they are", file=sys.stderr)
    wanted.update({os.path.join("docs", name): text for name, text in (drawn or {}).items()})
    old = outdated(options.root, wanted)
    if options.check:
        for name in old:
            print(f"report: {name} isn't what bench/results gives; run bench/report.py",
                  file=sys.stderr)
        return 1 if old else 0
    for name in old:
        with open(os.path.join(options.root, name), "w", encoding="utf-8") as file:
            file.write(wanted[name])
        print(f"report: wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
