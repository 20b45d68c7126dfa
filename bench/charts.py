"""The charts of report.py, by matplotlib: the same JSON gives the same bytes of SVG."""
import io
import re

from contestants import NAMES

COLOURS = {"floor": "#9aa0a6", "deltak": "#0b6e4f", "torch": "#e4572e", "jax": "#4c78a8",
           "sklearn": "#f2a541"}
TITLES = dict(NAMES, floor="bare products")
LONGEST = 3.0  # ratios beyond that are cut off, and say what they are


def _pyplot():
    """matplotlib's pyplot, set up to write plain, repeatable SVG; None where it is missing."""
    try:
        import matplotlib
    except ImportError:
        return None
    matplotlib.use("svg")
    import matplotlib.pyplot
    matplotlib.rcParams.update({
        "svg.hashsalt": "deltak", "svg.fonttype": "none", "font.size": 10,
        "font.family": "sans-serif", "axes.spines.top": False, "axes.spines.right": False,
        "axes.axisbelow": True, "figure.facecolor": "white", "legend.frameon": False})
    return matplotlib.pyplot


def _best(run, name):
    rows = [row for row in run["contestants"][1:]
            if row["name"] == name and "ms" in row and row["agree"]]
    return min(rows, key=lambda row: row["ms"]["median"]) if rows else None


def _svg(pyplot, figure):
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)
    return re.sub(r"[ \t]+$", "", file.getvalue(), flags=re.MULTILINE)


def _ratios(run):
    """(who, ratio of its step to deltak's by quartiles) of a run, the floor first."""
    floor = run["floor"]["ratio"]
    found = [("floor", {"low": 1 / floor["high"], "median": 1 / floor["median"],
                        "high": 1 / floor["low"]}),
             ("deltak", {"low": 1.0, "median": 1.0, "high": 1.0})]
    for name in NAMES:
        row = _best(run, name) if name != "deltak" else None
        if row:
            found.append((name, row["ratio"]))
    return found


def _bars(pyplot, result):
    """A group of bars for each run: the time of a step over deltak's."""
    runs = [(run, _ratios(run)) for run in result["runs"]]
    height = sum(len(ratios) + 1 for _, ratios in runs)
    figure, axes = pyplot.subplots(figsize=(8, 0.22 * height + 1.1))
    place, ticks, names = 0.0, [], []
    for run, ratios in runs:
        ticks.append(place + (len(ratios) - 1) / 2)
        words = [run["workload"], run["optimizer"]]
        if result["device"].startswith("cuda"):
            words.append(run["precision"])
        names.append(" ".join(words) + f"\n{run['contestants'][0]['ms']['median']:.3g} ms")
        for who, ratio in ratios:
            shown = min(ratio["median"], LONGEST)
            axes.barh(place, shown, height=0.86, color=COLOURS[who])
            if ratio["high"] < LONGEST:
                axes.plot([ratio["low"], ratio["high"]], [place, place], color="black", linewidth=1)
            far = max(shown, min(ratio["high"], LONGEST))
            axes.text(far + 0.02, place, f"{ratio['median']:.2f}", va="center", fontsize=8)
            place += 1
        place += 1
    axes.set_yticks(ticks, names)
    axes.invert_yaxis()
    axes.set_xlim(0, LONGEST + 0.25)
    axes.axvline(1, color="black", linewidth=0.8, linestyle=":")
    axes.set_xlabel("time of a step / deltak's (shorter is faster; lines: quartiles)")
    present = [who for who in COLOURS if any(who == name for _, r in runs for name, _ in r)]
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=COLOURS[who]) for who in present]
    axes.legend(handles, [TITLES[who] for who in present], loc="lower center",
                bbox_to_anchor=(0.4, 1.0), ncol=len(present))
    return _svg(pyplot, figure)


def _lines(pyplot, result):
    """Step time against width or batch, both logarithmic."""
    runs = result["runs"]
    figure, axes = pyplot.subplots(figsize=(8, 4.2))
    sizes = [int(run["workload"].split()[-1]) for run in runs]
    lines = {"floor": [run["floor"]["ms"]["median"] for run in runs],
             "deltak": [run["contestants"][0]["ms"]["median"] for run in runs]}
    for name in NAMES:
        rows = [_best(run, name) for run in runs]
        if name != "deltak" and any(rows):
            lines[name] = [row["ms"]["median"] if row else float("nan") for row in rows]
    for who, values in lines.items():
        axes.plot(sizes, values, color=COLOURS[who], label=TITLES[who], marker="o", markersize=4,
                  linestyle="--" if who == "floor" else "-")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.set_xlabel({"width": f"width of the four layers (batch {runs[0]['batch']})",
                     "batch": "batch (four layers of 1024)"}[result["sweep"]])
    axes.set_ylabel("milliseconds a step")
    axes.legend()
    return _svg(pyplot, figure)


def draw(results):
    """{file name: SVG}, or None without matplotlib."""
    pyplot = _pyplot()
    if not pyplot:
        return None
    return {f"bench-{name}.svg": (_lines if result["sweep"] else _bars)(pyplot, result)
            for name, result in results.items()}


def other_version(a, b):
    """Whether two texts are SVG of two versions of matplotlib."""
    versions = [re.search(r"Matplotlib v([0-9.]+)", text) for text in (a, b)]
    return all(versions) and versions[0].group(1) != versions[1].group(1)
