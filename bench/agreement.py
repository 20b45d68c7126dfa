"""Whether two contestants did the same work: how far their losses may lie apart.

All start from the same weights and take the same batches with the same update, so their losses
differ by rounding only. To first order, and with rounding errors independent of each other:

- A product of n terms errs, relative to its operands' norms, by e = sqrt(n) u, u = 2^-24 in fp32
  (Higham and Mary 2019); operands that are rounded to a shorter format first add u', 2^-11 for
  tf32 and 2^-9 for bf16. n is the longest sum, over a width or over the batch.
- He's initial weights give z a variance of 2, whatever the depth, and pass on relative errors as
  they are; those of L layers add in quadrature: a logit errs by sqrt(2 L) e.
- The loss of a row changes by at most as much as its logits do; the mean over rows, by no more.
- A step's weights err by what its gradient errs, which is of the same size; so errors of s + 1
  steps add in quadrature, too.

Twice 2, since both of two contestants err, by up to two standard deviations:

    |l_s - l'_s| <= 4 sqrt(2 L (s + 1)) e

A pure bf16 model loses whatever part of an update lies below the last bit of a weight; its losses
may lie behind by as much as deltak's have moved. scikit-learn has no decoupled weight decay: that
shifts each layer's weights by s lr decay, relatively, and so the logits by sqrt(2) L s lr decay.
"""
import math

ROUNDOFF = {"tf32": 2.0 ** -11, "bf16": 2.0 ** -9, "fp16": 2.0 ** -11}


def bound(task, step, name, setting, reference):
    """Of the losses at `step`, counted from 0; `reference` are deltak's losses."""
    depth = len(task["layers"]) - 1
    longest = max(task["layers"] + [task["batch"]])
    error = ROUNDOFF.get(task["precision"], 0.0) + math.sqrt(longest) * 2.0 ** -24
    limit = 4.0 * math.sqrt(2.0 * depth * (step + 1)) * error
    if setting.endswith("-pure"):
        limit += max(reference[:step + 1]) - min(reference[:step + 1])
    if name == "sklearn" and task["optimizer"] == "adamw":
        limit += math.sqrt(2.0) * depth * step * task["lr"] * task["weight_decay"]
    return limit


def compare(task, reference, name, setting, losses):
    """The largest |l - l'|, the largest part of its bound that a difference takes, and whether all
    are within."""
    if len(losses) != len(reference) or not all(map(math.isfinite, losses + reference)):
        return {"largest_difference": None, "of_bound": None, "agree": False}
    differences = [abs(a - b) for a, b in zip(reference, losses)]
    parts = [difference / bound(task, step, name, setting, reference)
             for step, difference in enumerate(differences)]
    return {"largest_difference": max(differences), "of_bound": max(parts),
            "agree": max(parts) <= 1}
