"""One row: every quantity from its definition, in long double, with the bar of its error.

Let u = log ref - log pi. Every divergence is a sum of non-negative terms over the columns that both sides can reach,
plus what lies outside: `pi_out` is the mass the policy has where the reference logit is -inf, `ref_out` the reverse.
"""
from dataclasses import dataclass

import numpy as np

LD = np.longdouble
LARGEST = LD(np.finfo(np.float64).max)
TINY = LD(2e-18)  # a divergence below 1e-12 may be off by as much as one of 1e-12


def log_sum_exp(x: np.ndarray) -> LD:
    m = x.max()
    return m + np.log(np.exp(x - m).sum())


def phi(u: np.ndarray) -> np.ndarray:
    """expm1(u) - u for |u| <= 1"""
    series = u * u * (1 / LD(2) + u * (1 / LD(6) + u * (1 / LD(24) + u * (1 / LD(120) + u / 720))))
    return np.where(np.abs(u) < 1e-3, series, np.expm1(u) - u)


def less_log1p(x: np.ndarray) -> np.ndarray:
    """x - log1p(x) for x > -1"""
    series = x * x * (1 / LD(2) - x * (1 / LD(3) - x * (1 / LD(4) - x * (1 / LD(5) - x / 6))))
    return np.where(np.abs(x) < 1e-4, series, x - np.log1p(x))


def forms(lp: np.ndarray, lr: np.ndarray, u: np.ndarray) -> dict:
    """Non-negative terms of each divergence on the shared columns."""
    pi, ref = np.exp(lp), np.exp(lr)
    near, v = np.abs(u) <= 1, np.clip(u, -1, 1)
    e, back = np.expm1(v), np.expm1(-v)
    x, y = e / 2, back / 2
    # 1 + (u - 1) e^u = e^u phi(-u)
    return {
        "kl_reverse": np.where(near, pi * phi(v), ref - pi - pi * u),
        "kl_forward": np.where(near, ref * phi(-v), ref * u - ref + pi),
        "hellinger": np.where(near, pi * np.expm1(v / 2) ** 2, (np.exp(lp / 2) - np.exp(lr / 2)) ** 2) / 2,
        "jensen_shannon": np.where(near, pi * less_log1p(x) + ref * less_log1p(y), js_far(pi, ref, u)) / 2,
        "total_variation": np.where(near, pi * np.abs(e), np.abs(pi - ref)) / 2,
        "chi_square": np.where(near, ref * back**2, far_square(lr, -u)),
        "chi_square_reference_policy": np.where(near, pi * e**2, far_square(lp, u)),
    }


def js_far(pi: np.ndarray, ref: np.ndarray, u: np.ndarray) -> np.ndarray:
    ln2 = np.log(LD(2))
    return pi * (ln2 - np.logaddexp(LD(0), u)) + ref * (ln2 - np.logaddexp(LD(0), -u))


def far_square(log_weight: np.ndarray, x: np.ndarray) -> np.ndarray:
    """weight expm1(x)^2 for |x| > 1, through logarithms: the weight may underflow where the product does not."""
    x = np.where(np.abs(x) > 1, x, LD(2))
    log_expm1 = np.where(x > 0, np.maximum(x, 0) + np.log1p(-np.exp(-np.abs(x))), np.log1p(-np.exp(-np.abs(x))))
    return np.exp(log_weight + 2 * log_expm1)


def divergences(a: np.ndarray, b: np.ndarray) -> tuple[dict, LD, LD]:
    """({name: value}, A, B) of one row without targets"""
    A, B = log_sum_exp(a), log_sum_exp(b)
    shared = np.isfinite(a) & np.isfinite(b)
    # An error e of B - A enters a divergence as e^2 alone: the terms are at their minimum in it.
    u = (b[shared] - a[shared]) - (B - A)
    lp, lr = a[shared] - A, b[shared] - B
    value = {name: terms.sum() for name, terms in forms(lp, lr, u).items()}
    only_policy, only_reference = np.isfinite(a) & ~np.isfinite(b), np.isfinite(b) & ~np.isfinite(a)
    pi_out, ref_out = np.exp(a[only_policy] - A).sum(), np.exp(b[only_reference] - B).sum()
    value["kl_reverse"] = LD(np.inf) if only_policy.any() else value["kl_reverse"] + ref_out
    value["kl_forward"] = LD(np.inf) if only_reference.any() else value["kl_forward"] + pi_out
    value["chi_square"] = LD(np.inf) if only_policy.any() else value["chi_square"] + ref_out
    value["chi_square_reference_policy"] = (LD(np.inf) if only_reference.any()
                                            else value["chi_square_reference_policy"] + pi_out)
    value["hellinger"] += (pi_out + ref_out) / 2
    value["jensen_shannon"] += np.log(LD(2)) * (pi_out + ref_out) / 2
    value["total_variation"] += (pi_out + ref_out) / 2
    value["entropy_policy"] = entropy(a, A)
    value["entropy_reference"] = entropy(b, B)
    value["cross_entropy_policy_reference"] = value["entropy_policy"] + value["kl_reverse"]
    value["cross_entropy_reference_policy"] = value["entropy_reference"] + value["kl_forward"]
    for name, infinite in (("chi_square", only_policy), ("chi_square_reference_policy", only_reference)):
        value["overflow_" + name] = LD(not infinite.any() and not value[name] <= LARGEST)
        if value["overflow_" + name]:
            value[name] = LD(np.inf)
    return value, A, B


def renyi(a: np.ndarray, b: np.ndarray, A: LD, B: LD, alpha: LD) -> LD:
    """D_alpha; alpha is not 1. Close rows by pi ((ref/pi)^s - 1 - s (ref/pi - 1)), all of one sign; s = 1 - alpha."""
    s, shared = 1 - alpha, np.isfinite(a) & np.isfinite(b)
    only_policy = (np.isfinite(a) & ~np.isfinite(b)).any()
    if not shared.any() or (alpha > 1 and only_policy):
        return LD(np.inf)
    u, lp = (b[shared] - a[shared]) - (B - A), a[shared] - A
    if np.abs(u).max() <= 1 and np.isfinite(a).sum() == np.isfinite(b).sum() == shared.sum():
        return np.log1p((np.exp(lp) * (np.expm1(s * u) - s * np.expm1(u))).sum()) / -s
    return log_sum_exp(lp + s * u) / -s


def entropy(x: np.ndarray, lse: LD) -> LD:
    log_p = x[np.isfinite(x)] - lse
    return -(np.exp(log_p) * log_p).sum()


def bar_of(name: str, value: dict, wide: bool) -> LD:
    x = value[name]
    if name.startswith("overflow_") or not np.isfinite(x):
        return LD(0)
    if name in ("kl_reverse", "kl_forward"):
        return max((LD(1e-9) if wide else LD(2e-6)) * x, TINY)
    if "entropy" in name:
        kl = value["kl_forward" if name.endswith("reference_policy") else "kl_reverse"]
        return (LD(1.5e-6) if kl > 1 or max(value["kl_reverse"], value["kl_forward"]) > 1 else LD(5e-7)) * max(1, abs(x))
    return LD(2e-6) * x + LD(3e-7)


def logit_range(x: np.ndarray) -> LD:
    """Of the columns that carry mass: a mask of -1e9 is no excuse for an error of 500."""
    seen = x[np.isfinite(x)]
    seen = seen[seen > seen.max() - 1000]
    return seen.max() - seen.min()


@dataclass
class Sampled:
    """log pi(y), log ref(y), their exact difference, and what each may be off"""
    logp: LD
    logq: LD
    log_r: LD
    bar_logp: LD
    bar_logq: LD
    bar_log_r: LD


def estimators(s: Sampled) -> dict:
    r1 = np.expm1(s.log_r)
    pi, ref = np.exp(s.logp), np.exp(s.logq)
    delta_p = (pi - ref, pi * s.bar_logp + ref * s.bar_logq + LD(1e-15))
    logs = {"logp_policy": (s.logp, s.bar_logp), "logp_reference": (s.logq, s.bar_logq), "delta_p": delta_p}
    if np.isneginf(s.log_r):
        infinite = (LD(np.inf), LD(0))
        return logs | {"k1": infinite, "k2": infinite, "k3": infinite, "r1": (r1, LD(0)), "overflow_k3": (LD(0), LD(0))}
    k3 = phi(s.log_r) if abs(s.log_r) < 1 else r1 - s.log_r
    overflow = k3 > LARGEST
    bar_r = (r1 + 1) * np.expm1(s.bar_log_r)
    bar_k3 = (abs(r1) + bar_r) * s.bar_log_r + LD(1e-15) * k3
    return logs | {"k1": (-s.log_r, s.bar_log_r), "k2": (s.log_r**2 / 2, (abs(s.log_r) + s.bar_log_r) * s.bar_log_r),
                   "k3": (LD(np.inf), LD(0)) if overflow else (k3, bar_k3),
                   "r1": (r1, bar_r), "overflow_k3": (LD(overflow), LD(0))}


def from_logp(logp: LD, logq: LD) -> dict:
    tight = lambda x: LD(0) if np.isinf(x) else LD(1e-15) * max(1, abs(x))
    return estimators(Sampled(logp, logq, logq - logp, tight(logp), tight(logq), tight(logq - logp)))


def from_target(a: np.ndarray, b: np.ndarray, y: int, A: LD, B: LD) -> dict:
    loose = lambda x, lse: LD(0) if np.isinf(x) else LD(5e-7) * max(1, abs(x), abs(lse))
    logp, logq = a[y] - A, b[y] - B
    log_r = (b[y] - a[y]) - (B - A)
    bar = LD(5e-7) * max(1, logit_range(a), logit_range(b))
    return estimators(Sampled(logp, logq, log_r, loose(logp, A), loose(logq, B), bar))


def row(a: np.ndarray, b: np.ndarray, target: int | None, wide: bool, alpha: float | None = None) -> dict:
    """{name: (value, bar)}"""
    with np.errstate(over="ignore", under="ignore"):
        value, A, B = divergences(a, b)
        if alpha is not None:
            value["renyi"] = value["kl_reverse"] if alpha == 1 else renyi(a, b, A, B, LD(alpha))
        result = {name: (x, bar_of(name, value, wide)) for name, x in value.items()}
        result["same_top"] = (LD(int(np.argmax(a)) == int(np.argmax(b))), LD(0))
        return result if target is None else result | from_target(a, b, target, A, B)
