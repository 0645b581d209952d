"""Small seeded files for `klmesh eval`: every type, layout, optional dataset, and every row that is known to hurt."""
from dataclasses import dataclass
import pathlib
import sys

import h5py
import numpy as np

import rows

NARROW = ["<f2", ">f2", "bf16", "<f4", ">f4", "<f8", ">f8"]


@dataclass
class Side:
    """How one dataset of logits is stored."""
    dtype: str = "<f4"
    layout: dict | None = None
    padding: int = 0  # further columns, filled with NaN
    attribute: object = "bfloat16"


def to_bfloat16(x: np.ndarray) -> np.ndarray:
    """Rounded to nearest even; a finite value stays finite."""
    with np.errstate(over="ignore"):
        f = np.clip(x, -3e38, 3e38).astype(np.float32)
    f = np.where(np.isfinite(x), f, x.astype(np.float32))
    bits = f.view(np.uint32).astype(np.uint64)
    rounded = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(f), np.uint16(0x7FC0), rounded)


def write_logits(file: h5py.File, name: str, x: np.ndarray, side: Side) -> None:
    x = np.hstack([x, np.full((len(x), side.padding), np.nan)])
    with np.errstate(over="ignore"):
        data = to_bfloat16(x) if side.dtype == "bf16" else x.astype(side.dtype)
    dataset = file.create_dataset(name, data=data, **(side.layout or {}))
    if side.dtype == "bf16":
        dataset.attrs["dtype"] = side.attribute


def write(path: pathlib.Path, policy: np.ndarray, reference: np.ndarray, *, policy_side: Side = Side(),
          reference_side: Side = Side(), vocab_size: int | None = None, **others: np.ndarray) -> pathlib.Path:
    with h5py.File(path, "w") as file:
        write_logits(file, "policy_logits", policy, policy_side)
        write_logits(file, "reference_logits", reference, reference_side)
        if vocab_size is not None:
            file.attrs["vocab_size"] = vocab_size
        for name, data in others.items():
            file.create_dataset(name, data=data)
    return path


def targets_of(policy: np.ndarray, seed: int, dtype: str = "<i8") -> np.ndarray:
    """Tokens sampled from the policy, by Gumbel noise: never one of probability 0."""
    g = np.random.default_rng(seed)
    return np.argmax(policy + g.gumbel(size=policy.shape), axis=1).astype(dtype)


def sequences(n: int, kind: str, seed: int) -> np.ndarray:
    g = np.random.default_rng(seed)
    if kind == "one":
        return np.full(n, 7, np.int32)
    if kind == "sorted":
        return np.arange(n, dtype=np.int64) // 5
    if kind == "huge":
        return g.choice(np.array([2**64 - 1, 2**63, 2**63 - 1, 0], np.uint64), n)
    return g.choice(np.array([-2**63, -5, 0, 3, 2**62], np.int64), n)


def mask_of(n: int, dtype: str, seed: int) -> np.ndarray:
    mask = np.random.default_rng(seed).random(n) < 0.7
    mask[n // 2] = True
    return mask.astype(dtype)


def type_files(folder: pathlib.Path) -> list[pathlib.Path]:
    """Every type against the next one, at sizes around the limits of slices and lanes."""
    sizes = [(63, 7), (64, 7), (65, 7), (1000, 50), (1023, 20), (4099, 20), (17, 50)]
    made = []
    for i, (dtype, (v, n)) in enumerate(zip(NARROW, sizes)):
        policy, reference = rows.matrix(rows.FINITE, n, v, seed=i)
        other = NARROW[(i + 1) % len(NARROW)]
        attribute = np.bytes_("bfloat16") if i % 2 else "bfloat16"
        made.append(write(folder / f"types_{i}_{dtype.strip('<>')}.h5", policy, reference,
                          policy_side=Side(dtype, attribute=attribute), reference_side=Side(other, attribute=attribute),
                          targets=targets_of(policy, i, ["<i8", ">i4", "<u2", ">u8", "<i2", "<u4", "|u1"][i])))
    return made


def layout_files(folder: pathlib.Path) -> list[pathlib.Path]:
    layouts = [{"chunks": (3, 16)}, {"chunks": (7, 1000), "compression": "gzip"},
               {"chunks": (16, 100), "compression": "gzip", "shuffle": True}, {"chunks": True, "shuffle": True}]
    made = []
    for i, layout in enumerate(layouts):
        policy, reference = rows.matrix(rows.FINITE, 50, 1000, seed=20 + i)
        n = len(policy)
        made.append(write(folder / f"layout_{i}.h5", policy, reference, policy_side=Side("<f4", layout, 7 * i),
                          reference_side=Side("bf16" if i % 2 else "<f4", layouts[(i + 1) % 4], 24), vocab_size=1000,
                          targets=targets_of(policy, i), mask=mask_of(n, ["i1", "bool", "<u8", ">i4"][i], i),
                          sequence=sequences(n, ["unsorted", "huge", "one", "sorted"][i], i)))
    return made


def small_files(folder: pathlib.Path) -> list[pathlib.Path]:
    made = []
    for v, n in [(1, 3), (2, 7), (15, 1), (16, 2), (17, 3), (1000, 1), (1000, 2)]:
        policy, reference = rows.matrix(rows.FINITE[:4] if v < 15 else rows.FINITE, n, v, seed=v + n)
        made.append(write(folder / f"small_{n}x{v}.h5", policy, reference, targets=targets_of(policy, v),
                          sequence=sequences(n, "sorted" if n < 5 else "unsorted", v)))
    return made


def edge_files(folder: pathlib.Path) -> list[pathlib.Path]:
    policy, reference = rows.matrix(rows.MASKED, 28, 1000, seed=40)
    masked = [write(folder / f"masked_{t.strip('<')}.h5", policy, reference, policy_side=Side(t), reference_side=Side(t),
                    targets=targets_of(policy, 1), sequence=sequences(28, "unsorted", 1)) for t in ("<f4", "bf16")]
    policy, reference = rows.matrix(rows.INFINITE + rows.FINITE, 50, 130, seed=41)
    infinite = write(folder / "infinite.h5", policy, reference, targets=targets_of(policy, 2),
                     sequence=sequences(50, "unsorted", 2))
    policy, reference = rows.matrix(rows.FINITE, 50, 515, seed=42)
    bare = write(folder / "bare.h5", policy, reference)
    double = write(folder / "double.h5", policy, reference, policy_side=Side("<f8"), reference_side=Side(">f8"),
                   targets=targets_of(policy, 3), sequence=sequences(50, "unsorted", 3))
    return masked + [infinite, bare, double, ignored_rubbish(folder), overflow(folder), behind_the_mask(folder)]


def ignored_rubbish(folder: pathlib.Path) -> pathlib.Path:
    """Unknown objects, a soft link and a variable-length dataset among them, are not opened."""
    policy, reference = rows.matrix(rows.FINITE, 7, 64, seed=43)
    path = write(folder / "unknown_objects.h5", policy, reference, targets=targets_of(policy, 4))
    with h5py.File(path, "a") as file:
        file["notes"] = ["variable", "length"]
        file["link"] = h5py.SoftLink("/nowhere")
        file["elsewhere"] = h5py.ExternalLink("missing.h5", "/x")
        file.create_group("group/logp_policy")
        file.attrs["comment"] = "hello"
    return path


def overflow(folder: pathlib.Path) -> pathlib.Path:
    """Row 1: log r = 800 at the target. Row 2: chi_square overflows. Row 3: the other chi_square."""
    policy, reference = rows.matrix(rows.FINITE[:5], 5, 100, seed=44)
    targets = targets_of(policy, 5)
    policy[1, targets[1]], reference[1, targets[1]] = -800, 20
    reference[2, 3], policy[2, 3] = -1000, 5
    reference[3, 3], policy[3, 3] = 5, -1000
    return write(folder / "overflow.h5", policy, reference, targets=targets)


def behind_the_mask(folder: pathlib.Path) -> pathlib.Path:
    """NaN, +inf, no finite entry, a target out of range: all masked."""
    policy, reference = rows.matrix(rows.FINITE, 9, 70, seed=45)
    targets = targets_of(policy, 6)
    mask = np.ones(9, bool)
    policy[1, 3], reference[2, 69], policy[4], targets[7] = np.nan, np.inf, -np.inf, -1
    mask[[1, 2, 4, 7]] = False
    return write(folder / "behind_the_mask.h5", policy, reference, targets=targets, mask=mask)


def large_file(folder: pathlib.Path) -> pathlib.Path:
    """More rows than one rank reads at a time; many equal rows."""
    policy, reference = (np.tile(x, (25, 1)) for x in rows.matrix(rows.FINITE, 36, 10000, seed=49))
    return write(folder / "large.h5", policy, reference, policy_side=Side("<f2"), reference_side=Side("bf16"),
                 targets=np.tile(targets_of(policy[:36], 10), 25), sequence=sequences(900, "unsorted", 10))


def long_file(folder: pathlib.Path) -> pathlib.Path:
    """Enough rows that four vocabulary parts divide the work by rows."""
    policy, reference = (np.tile(x, (100, 1)) for x in rows.matrix(rows.FINITE, 42, 50, seed=50))
    return write(folder / "long.h5", policy, reference, targets=np.tile(targets_of(policy[:42], 11), 100),
                 mask=mask_of(4200, "bool", 11), sequence=sequences(4200, "sorted", 11))


def skip_file(folder: pathlib.Path) -> pathlib.Path:
    """Needs --skip-invalid: rows 1, 2, 5, 6 are broken, row 4 is masked and broken."""
    policy, reference = rows.matrix(rows.FINITE, 20, 300, seed=46)
    targets = targets_of(policy, 7)
    policy[1, 299], reference[2, 0], policy[5], reference[6] = np.nan, np.inf, -np.inf, -np.inf
    policy[4, 7] = np.nan
    mask = np.ones(20, np.int8)
    mask[4] = 0
    return write(folder / "skip.h5", policy, reference, targets=targets, mask=mask,
                 sequence=sequences(20, "unsorted", 8))


def logp_file(folder: pathlib.Path, name: str = "logp.h5", **changes: object) -> pathlib.Path:
    g = np.random.default_rng(47)
    policy = -g.exponential(3, 40)
    data = {"logp_policy": policy, "logp_reference": np.minimum(0, policy + 0.3 * g.standard_normal(40)),
            "mask": mask_of(40, "i1", 9), "sequence": sequences(40, "unsorted", 9), "targets": np.full(40, -3)}
    with h5py.File(folder / name, "w") as file:
        for key, value in (data | changes).items():
            if value is not None:
                file[key] = value
    return folder / name


def logp_files(folder: pathlib.Path) -> list[pathlib.Path]:
    g = np.random.default_rng(48)
    single = -g.exponential(2, 40).astype(np.float32)
    reference = -g.exponential(2, 40)
    reference[11] = -np.inf
    return [logp_file(folder), logp_file(folder, "logp_single.h5", logp_policy=single, mask=None, sequence=None),
            logp_file(folder, "logp_infinite.h5", logp_reference=reference, mask=None)]


def skip_logp_file(folder: pathlib.Path) -> pathlib.Path:
    """Needs --skip-invalid: rows 3, 17 and 38 are broken."""
    g = np.random.default_rng(49)
    policy, reference = -g.exponential(2, 40), -g.exponential(2, 40)
    policy[3], reference[17], policy[38], reference[38] = np.nan, np.nan, np.inf, np.nan
    return logp_file(folder, "skip_logp.h5", logp_policy=policy, logp_reference=reference, mask=None)


def good_files(folder: pathlib.Path) -> list[pathlib.Path]:
    return (type_files(folder) + layout_files(folder) + small_files(folder) + edge_files(folder)
            + logp_files(folder))


if __name__ == "__main__":
    for made in good_files(pathlib.Path(sys.argv[1])):
        print(made)
