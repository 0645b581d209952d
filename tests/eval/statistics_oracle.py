"""Mean, spread, errors, order statistics of one quantity over the counted tokens, and how far each may be off.

The bars follow from the per-token bars alone: |mean error| <= mean of the bars, an order statistic lies between the
order statistics of value - bar and value + bar, a norm is off by at most the norm of the bars.
"""
from dataclasses import dataclass

import numpy as np

LD = np.longdouble
QUANTILES = ["0.01", "0.1", "0.5", "0.9", "0.99", "0.999"]
RELATIVE = LD(1e-14)  # roundings of the statistic itself
FIELDS = ["mean", "sum", "min", "max", "stddev", "stderr", "stderr_clustered", "argmax_row"]
BIAS_FIELDS = ["bias", "bias_stderr", "bias_stderr_clustered", "negative_fraction", "variance_ratio_k1"]


@dataclass
class Number:
    """Expected value and allowed error; with `low` and `high` the allowed interval instead."""
    value: LD
    bar: LD = LD(0)
    low: LD | None = None
    high: LD | None = None


@dataclass
class Row:
    """An argmax: any of these rows may hold the maximum within the bars; `first` is the exact one."""
    first: int
    allowed: set


def rounded(value: LD, bar: LD) -> Number:
    return Number(value, bar + RELATIVE * abs(value))


def rank_of(q: str, n: int) -> int:
    """0-based rank ceil(q n), q as the decimal fraction it is written as."""
    digits = len(q.split(".")[1])
    return max(1, -(-int(q.replace(".", "")) * n // 10**digits)) - 1


def norm(x: np.ndarray) -> LD:
    return np.sqrt((x * x).sum())


def spread(x: np.ndarray, bar: np.ndarray) -> Number | None:
    n = len(x)
    if n < 2 or not np.isfinite(x).all():
        return None
    return Number(norm(x - x.mean()) / np.sqrt(LD(n - 1)), norm(bar) / np.sqrt(LD(n - 1)) + RELATIVE * norm(x))


def scaled(number: Number | None, factor: LD) -> Number | None:
    return None if number is None else Number(number.value * factor, number.bar * factor)


def clustered(x: np.ndarray, bar: np.ndarray, sequence: np.ndarray | None) -> Number | None:
    if sequence is None or not np.isfinite(x).all():
        return None
    ids, which = np.unique(sequence, return_inverse=True)
    groups = len(ids)
    if groups < 2:
        return None
    sums, bars = np.zeros(groups, LD), np.zeros(groups, LD)
    np.add.at(sums, which, x - x.mean())
    np.add.at(bars, which, bar + bar.mean() + RELATIVE * np.abs(x).max())
    factor = np.sqrt(LD(groups) / (groups - 1)) / len(x)
    return Number(norm(sums) * factor, norm(bars) * factor)


def order_statistic(x: np.ndarray, bar: np.ndarray, rank: int) -> Number:
    slack = np.where(np.isfinite(x), bar, 0)
    return Number(np.sort(x)[rank], LD(0), np.sort(x - slack)[rank], np.sort(x + slack)[rank])


def largest_row(x: np.ndarray, bar: np.ndarray, rows: np.ndarray) -> Row:
    slack = np.where(np.isfinite(x), bar, 0)
    allowed = rows[x + slack >= (x - slack).max()]
    return Row(int(rows[np.argmax(x)]), set(int(row) for row in allowed))


def total(x: np.ndarray, bar: np.ndarray) -> Number:
    if not np.isfinite(x).all():
        return Number(x.sum())
    return rounded(x.sum(), bar.sum() + LD(1e-16) * np.abs(x).sum())


def by_sequence(x: np.ndarray, bar: np.ndarray, sequence: np.ndarray | None, aggregate: str) -> Number | None:
    """sequence-mean, sequence-sum: the mean over sequences of each one's mean, or sum, over its tokens."""
    if sequence is None:
        return None
    if not np.isfinite(x).all():
        return Number(x.sum())
    ids, which, count = np.unique(sequence, return_inverse=True, return_counts=True)
    sums, bars, sizes = np.zeros(len(ids), LD), np.zeros(len(ids), LD), np.zeros(len(ids), LD)
    np.add.at(sums, which, x)
    np.add.at(bars, which, bar)
    np.add.at(sizes, which, np.abs(x))
    weight = 1 / count.astype(LD) if aggregate == "sequence-mean" else np.ones(len(ids), LD)
    return Number((sums * weight).mean(), (bars * weight).mean() + LD(1e-15) * (sizes * weight).mean())


def aggregate_part(tokens, name: str) -> dict:
    if tokens.aggregate == "token-mean":
        return {}
    known = name in tokens.values
    value = by_sequence(tokens.values[name], tokens.bars[name], tokens.sequence, tokens.aggregate) if known else None
    return {tokens.aggregate.replace("-", "_"): value}


def describe(tokens, name: str, quantiles: bool) -> dict:
    extra = aggregate_part(tokens, name)
    if name not in tokens.values:
        return {key: None for key in FIELDS} | extra | ({"quantiles": {q: None for q in QUANTILES}} if quantiles else {})
    x, bar, n = tokens.values[name], tokens.bars[name], len(tokens.rows)
    s = total(x, bar)
    result = {"mean": scaled(s, 1 / LD(n)), "sum": s,
              "min": order_statistic(x, bar, 0), "max": order_statistic(x, bar, n - 1),
              "stddev": spread(x, bar), "stderr": scaled(spread(x, bar), 1 / np.sqrt(LD(n))),
              "stderr_clustered": clustered(x, bar, tokens.sequence), "argmax_row": largest_row(x, bar, tokens.rows)} | extra
    if quantiles:
        result["quantiles"] = {q: order_statistic(x, bar, rank_of(q, n)) for q in QUANTILES}
    return result


def negative_fraction(x: np.ndarray, bar: np.ndarray) -> Number:
    n = LD(len(x))
    return Number((x < 0).sum() / n, LD(0), (x + bar < 0).sum() / n, (x - bar < 0).sum() / n)


def variance_ratio(tokens, name: str) -> Number | None:
    this, k1 = (spread(tokens.values[key], tokens.bars[key]) for key in (name, "k1"))
    if this is None or k1 is None or k1.value == 0:
        return None
    ratio = (this.value / k1.value) ** 2
    if ratio > np.finfo(np.float64).max:
        return None
    return Number(ratio, 3 * ratio * (this.bar / max(this.value, LD(1e-300)) + k1.bar / k1.value) + LD(1e-13) * ratio)


def describe_estimator(tokens, name: str) -> dict:
    result = describe(tokens, name, quantiles=True)
    if name not in tokens.values:
        return result | {key: None for key in BIAS_FIELDS}
    x, bar = tokens.values[name], tokens.bars[name]
    result |= {"negative_fraction": negative_fraction(x, bar), "variance_ratio_k1": variance_ratio(tokens, name)}
    if "kl_reverse" not in tokens.values:
        return result | {key: None for key in BIAS_FIELDS[:3]}
    with np.errstate(invalid="ignore"):
        difference = x - tokens.values["kl_reverse"]
    allowed = bar + tokens.bars["kl_reverse"] + RELATIVE * (np.abs(x) + np.abs(tokens.values["kl_reverse"]))
    if not np.isfinite(difference).all():
        mean = difference.sum() / len(x)
        return result | {"bias": None if np.isnan(mean) else Number(mean), "bias_stderr": None,
                         "bias_stderr_clustered": None}
    root = 1 / np.sqrt(LD(len(x)))
    return result | {"bias": rounded(difference.mean(), allowed.mean()),
                     "bias_stderr": scaled(spread(difference, allowed), root),
                     "bias_stderr_clustered": clustered(difference, allowed, tokens.sequence)}
