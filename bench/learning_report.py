"""The tables that report.py makes of what defaults.py wrote."""
import statistics

from markdown_table import table

NAMES = {"deltak": "deltak", "torch": "PyTorch", "sklearn": "scikit-learn"}


def hidden(row):
    widths = row["hidden"]
    return str(widths[0]) if len(widths) == 1 else f"{len(widths)} × {widths[0]}"


def error(values):
    """Mean and standard deviation over the seeds."""
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f}"


def defaults_table(result, before):
    """Every network; `before` is a result of other defaults, or None."""
    earlier = {(row["set"], tuple(row["hidden"])): row["ratio"]
               for row in (before["rows"] if before else [])}
    rows = []
    for row in result["rows"]:
        ratio = f"{row['ratio']:.3f}"
        old = earlier.get((row["set"], tuple(row["hidden"])))
        rows.append([row["set"], f"{row['rows']} × {row['features']}", hidden(row),
                     *(error(row["errors"][name]) for name in NAMES),
                     f"**{ratio}**, missed" if row["ratio"] > result["most"] else ratio,
                     f"{old:.3f}" if old else ""])
    head = ["set", "rows", "hidden", *NAMES.values(), "ratio"]
    if before:
        head.append("with the defaults before")
    text = table(head, [row[:len(head)] for row in rows])
    return text + "\n\n" + summary(result, before) + "\n\n" + origin(result, before)


def summary(result, before):
    missed = sum(row["ratio"] > result["most"] for row in result["rows"])
    text = (f"Geometric mean of the {len(result['rows'])} ratios: **{result['geometric_mean']:.3f}**; "
            f"largest {max(row['ratio'] for row in result['rows']):.3f}; {missed or 'none'} above "
            f"{result['most']}.")
    if before:
        text += (f" With the defaults before: {before['geometric_mean']:.3f}, largest "
                 f"{max(row['ratio'] for row in before['rows']):.3f}.")
    return text


def origin(result, before):
    """Where the numbers are from."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in sorted(result["versions"].items()))
    text = (f"{result['seeds']} seeds, {result['epochs']} epochs, one thread each; {machine['cpu']}, "
            f"{machine['cores']} cores; {machine['os']}; {versions}; commit {result['commit']}, "
            f"{result['date']}")
    return text + (f"; before: commit {before['commit']}." if before else ".")
