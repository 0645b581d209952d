"""Compares what the program printed and wrote with what the oracle expects; collects complaints, not exceptions."""
from dataclasses import dataclass, field
import json
import math
import pathlib

import h5py
import numpy as np

from oracle import EXACT, ESTIMATORS, EXTENDED, Options, Tokens, UNITLESS
from statistics_oracle import Number, QUANTILES, rank_of, Row

LD = np.longdouble
OTHERS = ["same_top", "delta_p"]  # may be written per token
MESH_KEYS = ["mesh", "reproducible"]


@dataclass
class Verdict:
    """Complaints, and the worst error/bar of every quantity with where it was."""
    complaints: list[str] = field(default_factory=list)
    worst: dict = field(default_factory=dict)

    def complain(self, text: str) -> None:
        self.complaints.append(text)

    def measure(self, quantity: str, ratio: float, where: str) -> None:
        if ratio > self.worst.get(quantity, (0, ""))[0]:
            self.worst[quantity] = (ratio, where)


def strict_json(text: str) -> dict:
    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no JSON")
    return json.loads(text, parse_constant=refuse)


def significant(token: str) -> str:
    return token.lower().split("e")[0].replace(".", "").lstrip("-0").rstrip("0")


def check_shortest(text: str, verdict: Verdict, where: str) -> None:
    """Every number has no more digits than the shortest one that reads back the same."""
    def check(token: str) -> float:
        if len(significant(token)) > len(significant(repr(float(token)))):
            verdict.complain(f"{where}: {token} is not the shortest form")
        return float(token)
    json.loads(text, parse_float=check)


def printed(value: object) -> LD | None:
    """A number of the document as long double; None for null and for what is no number."""
    if value in ("inf", "-inf"):
        return LD(value)
    return LD(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def check_number(expected: Number, actual: object, where: str, quantity: str, verdict: Verdict) -> None:
    got = printed(actual)
    if np.isnan(expected.value):
        if actual is not None:
            verdict.complain(f"{where}: {actual}, expected null")
        return
    if got is None or np.isinf(expected.value) or np.isinf(got):
        if got is None or got != expected.value:
            verdict.complain(f"{where}: {actual!r}, expected {expected.value!r}")
        return
    low = expected.value - expected.bar if expected.low is None else expected.low
    high = expected.value + expected.bar if expected.high is None else expected.high
    error = abs(got - expected.value)
    slack = max(high - expected.value if got > expected.value else expected.value - low, LD(5e-324))
    verdict.measure(quantity, float(error / slack) if error > abs(got) * LD(1.2e-16) else 0.0, where)
    if got < low - abs(low) * LD(1.2e-16) or got > high + abs(high) * LD(1.2e-16):
        verdict.complain(f"{where}: {got!r}, expected {expected.value!r} within {low!r} .. {high!r}")


def compare(expected: object, actual: object, where: str, quantity: str, verdict: Verdict) -> None:
    if isinstance(expected, dict):
        if not isinstance(actual, dict):
            verdict.complain(f"{where}: {actual!r}, expected an object")
            return
        if list(expected) != list(actual):
            missing, extra = set(expected) - set(actual), set(actual) - set(expected)
            if missing or extra:
                verdict.complain(f"{where}: missing keys {missing or 'none'}, unexpected keys {extra or 'none'}")
        for key in expected.keys() & actual.keys():
            name = key if key in EXACT + ESTIMATORS + ["same_top", "rms_delta_p", "mean_delta_p"] else quantity
            compare(expected[key], actual[key], f"{where}.{key}", name, verdict)
    elif isinstance(expected, Number):
        check_number(expected, actual, where, quantity, verdict)
    elif isinstance(expected, Row):
        if actual not in expected.allowed:
            verdict.complain(f"{where}: row {actual}, expected {expected.first}")
    elif expected != actual or isinstance(expected, bool) != isinstance(actual, bool):
        verdict.complain(f"{where}: {actual!r}, expected {expected!r}")


def compare_counts(expected: dict, actual: dict, where: str, verdict: Verdict) -> None:
    """A quantity that was not computed may be counted as 0, be null, or be left out."""
    for key in expected.keys() | actual.keys():
        if (actual.get(key) or 0) != expected.get(key, 0):
            verdict.complain(f"{where}.{key}: {actual.get(key)}, expected {expected.get(key, 0)}")


def compare_document(expected: dict, actual: dict, options: Options, where: str, verdict: Verdict) -> None:
    expected, actual = dict(expected), dict(actual)
    if set(actual) - set(expected) != {"mesh", "backend", "reproducible"}:
        verdict.complain(f"{where}: keys {sorted(set(actual) ^ set(expected))} differ")
    for key in ("mesh", "backend", "reproducible"):
        actual.pop(key, None)
    for key in ("infinite_rows", "overflowed_rows"):
        dropped = EXTENDED if options.quantities == "core" else []
        counts = {name: n for name, n in expected.pop(key).items() if name not in dropped}
        compare_counts(counts, actual.pop(key), f"{where}.{key}", verdict)
    compare(expected, actual, where, "", verdict)


def read_tokens(path: pathlib.Path) -> tuple[dict, dict]:
    with h5py.File(path) as file:
        group = file["tokens"]
        for name in group:
            assert group[name].dtype == np.float64, name
        return ({name: group[name][()] for name in group},
                {name: str(np.asarray(group[name].attrs["unit"]).astype(str)) for name in group})


def compare_tokens(tokens: Tokens, path: pathlib.Path, rows: int, options: Options, where: str,
                   verdict: Verdict) -> dict:
    """Every value of --per-token against the oracle's; returns the values as written."""
    written, units = read_tokens(path)
    left_out = EXTENDED if options.quantities == "core" else []
    for name in EXACT + ESTIMATORS + [name for name in OTHERS if name in written]:
        if name not in tokens.values or name in left_out:
            if name in written and np.isfinite(written[name]).any():
                verdict.complain(f"{where}.{name}: written, expected nothing")
            continue
        if name not in written or written[name].shape != (rows,):
            verdict.complain(f"{where}.{name}: missing or of the wrong shape")
            continue
        counted = np.zeros(rows, bool)
        counted[tokens.rows] = True
        if not np.isnan(written[name][~counted]).all():
            verdict.complain(f"{where}.{name}: a row that does not count is not NaN")
        if (units[name] == options.unit) != (name not in UNITLESS + OTHERS):
            verdict.complain(f"{where}.{name}: unit {units[name]}")
        seen = set()  # repeated rows once
        for i, row in enumerate(tokens.rows):
            key = (tokens.values[name][i], tokens.bars[name][i], written[name][row])
            if key in seen:
                continue
            seen.add(key)
            number = Number(tokens.values[name][i], tokens.bars[name][i] + LD(2e-16) * abs(tokens.values[name][i]))
            check_number(number, float(written[name][row]), f"{where}.{name}[{row}]", name, verdict)
    return written


def check_consistent(written: dict, document: dict, where: str, verdict: Verdict) -> None:
    """The document's order statistics and sums are exactly those of the values written per token."""
    entries = (document["exact"] or {}) | (document["estimators"] or {})
    for name, entry in entries.items():
        if entry is None or entry["mean"] is None or name not in written:
            continue
        x = written[name]
        rows = np.flatnonzero(~np.isnan(x))
        ordered = np.sort(x[rows])
        expected = {"min": ordered[0], "max": ordered[-1], "argmax_row": int(rows[np.argmax(x[rows])])}
        if np.isfinite(ordered).all() and document["unit"] == "nats":
            expected["sum"] = math.fsum(ordered)
        for key, value in expected.items():
            if printed(entry[key]) != value:
                verdict.complain(f"{where}.{name}.{key}: {entry[key]!r}, but the tokens give {value!r}")
        for q in QUANTILES if "quantiles" in entry else []:
            if printed(entry["quantiles"][q]) != ordered[rank_of(q, len(rows))]:
                verdict.complain(f"{where}.{name}.quantiles.{q}: {entry['quantiles'][q]!r}, but the tokens give "
                                 f"{ordered[rank_of(q, len(rows))]!r}")
