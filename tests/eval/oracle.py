"""What `klmesh eval` must print, computed from the definitions in long double.

Nothing here knows how the program works: one row at a time, every sum over the whole vocabulary, terms centred and
non-negative so that a divergence of 1e-12 keeps nine digits. `document()` is the whole expected JSON document;
beside every expected number stands the error that the accuracy bars allow it (`Number.bar`).
"""
from dataclasses import dataclass, field

import h5py
import numpy as np

import row_oracle
from statistics_oracle import describe, describe_estimator, Number

LD = np.longdouble
LN2 = np.log(LD(2))
EXACT = ["kl_reverse", "kl_forward", "entropy_policy", "entropy_reference", "cross_entropy_policy_reference",
         "cross_entropy_reference_policy", "chi_square", "chi_square_reference_policy", "hellinger",
         "jensen_shannon", "total_variation", "renyi"]
EXTENDED = EXACT[6:11]
UNITLESS = ["chi_square", "chi_square_reference_policy", "hellinger", "total_variation"]
ESTIMATORS = ["logp_policy", "logp_reference", "k1", "k2", "k3", "k_lambda"]


@dataclass
class Options:
    unit: str = "nats"
    quantities: str = "all"
    policy_scale: float = 1.0
    reference_scale: float = 1.0
    skip_invalid: bool = False
    renyi: float | None = None
    aggregate: str = "token-mean"


@dataclass
class Tokens:
    """The counted tokens: their rows in the file, sequence ids, and one value and one bar a token and quantity."""
    rows: np.ndarray
    sequence: np.ndarray | None
    values: dict = field(default_factory=dict)
    bars: dict = field(default_factory=dict)
    aggregate: str = "token-mean"


def read_logits(dataset: h5py.Dataset) -> np.ndarray:
    data = dataset[()]
    if data.dtype.kind == "f":
        return data.astype(np.float64)
    return (data.astype(np.uint32) << 16).view(np.float32).astype(np.float64)


def is_wide(dataset: h5py.Dataset) -> bool:
    return dataset.dtype.kind == "f" and dataset.dtype.itemsize == 8


def is_invalid(row: np.ndarray) -> bool:
    return bool(np.isnan(row).any() or np.isposinf(row).any() or not np.isfinite(row).any())


def counted_rows(file: h5py.File, rows: int) -> np.ndarray:
    return file["mask"][()].astype(bool) if "mask" in file else np.ones(rows, bool)


def sequence_of(file: h5py.File, rows: np.ndarray) -> np.ndarray | None:
    return file["sequence"][()][rows] if "sequence" in file else None


def collect(rows: list, file: h5py.File, per_row: list) -> Tokens:
    """`per_row` holds one {name: (value, bar)} for each entry of `rows`."""
    index = np.array(rows)
    tokens = Tokens(index, sequence_of(file, index))
    for name in per_row[0]:
        tokens.values[name] = np.array([row[name][0] for row in per_row], LD)
        tokens.bars[name] = np.array([row[name][1] for row in per_row], LD)
    return tokens


def logits_tokens(file: h5py.File, options: Options) -> tuple[Tokens, int, int, int]:
    """(tokens, masked rows, invalid rows, vocab_size)"""
    policy, reference = read_logits(file["policy_logits"]), read_logits(file["reference_logits"])
    wide = is_wide(file["policy_logits"]) or is_wide(file["reference_logits"])
    vocab = int(file.attrs.get("vocab_size", policy.shape[1]))
    targets = file["targets"][()] if "targets" in file else None
    counted = counted_rows(file, len(policy))
    rows, values, invalid, known = [], [], 0, {}
    for i in np.flatnonzero(counted):
        a, b = policy[i, :vocab].astype(LD), reference[i, :vocab].astype(LD)
        if is_invalid(a) or is_invalid(b):
            assert options.skip_invalid, f"row {i} is invalid"
            invalid += 1
            continue
        y = None if targets is None else int(targets[i])
        rows.append(i)
        key = (a.tobytes(), b.tobytes(), y)
        if key not in known:
            known[key] = row_oracle.row(a * LD(options.policy_scale), b * LD(options.reference_scale), y, wide,
                                        options.renyi)
        values.append(known[key])
    return collect(rows, file, values), int((~counted).sum()), invalid, vocab


def logp_tokens(file: h5py.File, options: Options) -> tuple[Tokens, int, int, None]:
    policy, reference = file["logp_policy"][()].astype(LD), file["logp_reference"][()].astype(LD)
    counted = counted_rows(file, len(policy))
    broken = counted & ~((policy <= 0) & (reference <= 0))
    assert options.skip_invalid or not broken.any()
    rows = np.flatnonzero(counted & ~broken)
    values = [row_oracle.from_logp(policy[i], reference[i]) for i in rows]
    return collect(list(rows), file, values), int((~counted).sum()), int(broken.sum()), None


def fit_lambda(tokens: Tokens) -> tuple[LD | None, LD]:
    """lambda* = -Cov(k1, r - 1) / Var(r - 1), and its bar; None where it is undefined."""
    k1, r1 = tokens.values["k1"], tokens.values["r1"]
    if len(k1) < 3 or not np.isfinite(k1).all() or not (np.abs(r1) <= LD(np.finfo(np.float64).max)).all():
        return None, LD(0)
    x, y = k1 - k1.mean(), r1 - r1.mean()
    variance = (y * y).sum()
    if variance == 0 or variance / (len(k1) - 1) > np.finfo(np.float64).max:
        return None, LD(0)
    value = -(x * y).sum() / variance
    norm = lambda v: np.sqrt((v * v).sum())
    bar_x, bar_y = norm(tokens.bars["k1"]), norm(tokens.bars["r1"])
    allowed = (norm(x) * bar_y + norm(y) * bar_x + bar_x * bar_y
               + abs(value) * (2 * norm(y) * bar_y + bar_y**2)) / variance
    return value, 2 * allowed + abs(value) * LD(1e-12)


def add_k_lambda(tokens: Tokens) -> tuple[LD | None, LD]:
    value, bar = fit_lambda(tokens)
    if value is None:
        return value, bar
    r1 = tokens.values["r1"]
    tokens.values["k_lambda"] = tokens.values["k1"] + value * r1
    tokens.bars["k_lambda"] = (tokens.bars["k1"] + abs(value) * tokens.bars["r1"] + bar * np.abs(r1)
                               + LD(1e-14) * (np.abs(tokens.values["k1"]) + abs(value * r1)))
    return value, bar


def to_unit(tokens: Tokens, unit: str) -> None:
    if unit == "nats":
        return
    for name in EXACT + ESTIMATORS:
        if name in tokens.values and name not in UNITLESS:
            tokens.values[name] = tokens.values[name] / LN2
            tokens.bars[name] = tokens.bars[name] / LN2


def infinite_rows(tokens: Tokens) -> dict:
    """Rows that are infinite by definition, not by overflow of a double."""
    return {name: int(np.isinf(values).sum()) - overflowed(tokens, name)
            for name, values in tokens.values.items() if name in EXACT + ESTIMATORS}


def overflowed(tokens: Tokens, name: str) -> int:
    return int(tokens.values["overflow_" + name].sum()) if "overflow_" + name in tokens.values else 0


def exact_part(tokens: Tokens, options: Options) -> dict:
    """With `core`, what is left out is null; renyi is there only if it was asked for."""
    left_out = EXTENDED if options.quantities == "core" else []
    part = {name: None if name in left_out else describe(tokens, name, quantiles=name.startswith("kl_"))
            for name in EXACT if name != "renyi" or options.renyi is not None}
    if options.renyi is not None:
        part["renyi"]["alpha"] = options.renyi
    return part


def estimator_part(tokens: Tokens, fitted: tuple) -> dict:
    part = {name: describe(tokens, name, quantiles=True) for name in ("logp_policy", "logp_reference")}
    part |= {name: describe_estimator(tokens, name) for name in ("k1", "k2", "k3", "k_lambda")}
    value, bar = fitted
    part["k_lambda"]["lambda"] = None if value is None else Number(value, bar)
    return part


def same_top_part(tokens: Tokens) -> dict:
    same, n = tokens.values["same_top"], len(tokens.rows)
    p = same.sum() / n
    return {"mean": Number(p, LD(1e-15)), "stderr": Number(np.sqrt(p * (1 - p) / n), LD(1e-15))}


def delta_p_part(tokens: Tokens) -> dict:
    if "delta_p" not in tokens.values:
        return {"mean_delta_p": None, "rms_delta_p": None}
    value, bar = tokens.values["delta_p"], tokens.bars["delta_p"]
    n = LD(len(value))
    return {"mean_delta_p": Number(value.sum() / n, bar.sum() / n),
            "rms_delta_p": Number(np.sqrt((value**2).sum() / n), np.sqrt((bar**2).sum() / n))}


def document(path: str, options: Options = Options()) -> tuple[dict, Tokens]:
    """The expected document, without mesh, backend and reproducible, and the tokens it was made of."""
    with h5py.File(path) as file:
        from_logits = "policy_logits" in file
        tokens, masked, invalid, vocab = (logits_tokens if from_logits else logp_tokens)(file, options)
    tokens.aggregate = options.aggregate
    estimated = "k1" in tokens.values
    fitted = add_k_lambda(tokens) if estimated else (None, LD(0))
    to_unit(tokens, options.unit)
    result = {"schema": "klmesh.eval/1", "unit": options.unit, "tokens": len(tokens.rows), "masked_tokens": masked,
              "invalid_rows": invalid, "vocab_size": vocab, "infinite_rows": infinite_rows(tokens),
              "overflowed_rows": {name: overflowed(tokens, name)
                                  for name in ("k3", "chi_square", "chi_square_reference_policy")},
              "exact": exact_part(tokens, options) if from_logits else None,
              "same_top": same_top_part(tokens) if from_logits and options.quantities == "all" else None,
              "estimators": estimator_part(tokens, fitted) if estimated else None}
    return result | delta_p_part(tokens), tokens
