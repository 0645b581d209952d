"""Files that `klmesh eval` must refuse, each with one thing wrong and the words its message must hold."""
from dataclasses import dataclass, field
import pathlib

import h5py
import numpy as np

import rows
from make_files import Side, logp_file, targets_of, to_bfloat16, write

ROWS, V, ROW, COLUMN = 20, 300, 13, 287  # the broken place: neither the first part of rows nor of columns


@dataclass
class Bad:
    path: pathlib.Path
    words: list[str] = field(default_factory=list)  # regular expressions, the file's name aside
    code: int = 65


def number(n: int) -> str:
    return rf"(?<![\d.]){n}(?!\d)"


ROW_WORD, COLUMN_WORD = "row " + number(ROW), number(COLUMN)


def good_data(seed: int = 60) -> dict:
    policy, reference = rows.matrix(rows.FINITE, ROWS, V, seed)
    return {"policy_logits": policy.astype("<f4"), "reference_logits": reference.astype("<f4"),
            "targets": targets_of(policy, seed) % (COLUMN - 1), "mask": np.ones(ROWS, np.int8)}


def save(folder: pathlib.Path, name: str, vocab_size: object = None, **changes: object) -> pathlib.Path:
    with h5py.File(folder / f"{name}.h5", "w") as file:
        for key, value in (good_data() | changes).items():
            if value is not None:
                file[key] = value
        if vocab_size is not None:
            file.attrs["vocab_size"] = vocab_size
    return folder / f"{name}.h5"


def changed(key: str, place: object, value: object) -> dict:
    data = good_data()[key]
    data[place] = value
    return {key: data}


def broken_logits(folder: pathlib.Path) -> list[Bad]:
    made = []
    for side in ("policy_logits", "reference_logits"):
        for what, value in (("nan", np.nan), ("inf", np.inf)):
            path = save(folder, f"{what}_in_{side}", **changed(side, (ROW, COLUMN), value))
            made.append(Bad(path, [side, ROW_WORD, COLUMN_WORD]))
        made.append(Bad(save(folder, f"nothing_finite_in_{side}", **changed(side, ROW, -np.inf)), [side, ROW_WORD]))
    bits = to_bfloat16(good_data()["policy_logits"])
    bits[ROW, COLUMN] = 0x7F80
    path = save(folder, "inf_in_bfloat16", policy_logits=bits)
    with h5py.File(path, "a") as file:
        file["policy_logits"].attrs["dtype"] = "bfloat16"
    return made + [Bad(path, ["policy_logits", ROW_WORD, COLUMN_WORD])]


def broken_targets(folder: pathlib.Path) -> list[Bad]:
    words = ["targets", ROW_WORD]
    hidden = changed("targets", ROW, COLUMN)
    unreachable = good_data()["policy_logits"]
    unreachable[ROW, COLUMN] = -np.inf
    huge = changed("targets", ROW, 0)["targets"].astype(np.uint64)
    huge[ROW] = 2**64 - 1
    return [Bad(save(folder, "target_too_large", **changed("targets", ROW, V)), words),
            Bad(save(folder, "target_in_padding", vocab_size=COLUMN, **hidden), words),
            Bad(save(folder, "target_negative", **changed("targets", ROW, -1)), words),
            Bad(save(folder, "target_huge", targets=huge), words),
            Bad(save(folder, "target_impossible", policy_logits=unreachable, **hidden), [ROW_WORD]),
            Bad(save(folder, "targets_float", targets=np.zeros(ROWS)), ["targets"]),
            Bad(save(folder, "targets_short", targets=np.zeros(ROWS - 1, int)), ["targets"]),
            Bad(save(folder, "targets_2d", targets=np.zeros((ROWS, 1), int)), ["targets"])]


def broken_masks(folder: pathlib.Path) -> list[Bad]:
    return [Bad(save(folder, "mask_two", **changed("mask", ROW, 2)), ["mask", ROW_WORD]),
            Bad(save(folder, "mask_negative", **changed("mask", ROW, -1)), ["mask", ROW_WORD]),
            Bad(save(folder, "mask_zero", mask=np.zeros(ROWS, bool)), ["no .*tokens?|masked"]),
            Bad(save(folder, "mask_float", mask=np.ones(ROWS)), ["mask"]),
            Bad(save(folder, "mask_long", mask=np.ones(ROWS + 1, int)), ["mask"]),
            Bad(save(folder, "sequence_float", sequence=np.ones(ROWS)), ["sequence"]),
            Bad(save(folder, "sequence_short", sequence=np.ones(3, int)), ["sequence"])]


def broken_shapes(folder: pathlib.Path) -> list[Bad]:
    narrow = good_data()["reference_logits"][:, :-8]
    empty = np.zeros((0, V), "f4")
    none = {"policy_logits": empty, "reference_logits": empty, "targets": None, "mask": None}
    return [Bad(save(folder, "no_rows", **none)),
            Bad(save(folder, "no_columns", policy_logits=np.zeros((ROWS, 0), "f4"),
                     reference_logits=np.zeros((ROWS, 0), "f4"))),
            Bad(save(folder, "rank_one", policy_logits=np.zeros(ROWS, "f4")), ["policy_logits"]),
            Bad(save(folder, "rank_three", reference_logits=np.zeros((ROWS, V, 1), "f4")), ["reference_logits"]),
            Bad(save(folder, "scalar", policy_logits=np.float32(1)), ["policy_logits"]),
            Bad(save(folder, "unequal_columns", reference_logits=narrow), ["_logits"]),
            Bad(save(folder, "unequal_rows", reference_logits=good_data()["reference_logits"][:-1]), ["_logits"]),
            Bad(save(folder, "vocab_size_large", vocab_size=V + 1), ["vocab_size|_logits"]),
            Bad(save(folder, "vocab_size_between", vocab_size=V - 4, reference_logits=narrow), ["vocab_size|_logits"]),
            Bad(save(folder, "vocab_size_zero", vocab_size=0), ["vocab_size"]),
            Bad(save(folder, "vocab_size_negative", vocab_size=-5), ["vocab_size"]),
            Bad(save(folder, "vocab_size_text", vocab_size="many"), ["vocab_size"])]


def broken_choice(folder: pathlib.Path) -> list[Bad]:
    logp = np.full(ROWS, -1.0)
    only = {"policy_logits": None, "reference_logits": None}
    return [Bad(save(folder, "reference_missing", reference_logits=None), ["reference_logits"]),
            Bad(save(folder, "policy_missing", policy_logits=None), ["policy_logits"]),
            Bad(save(folder, "nothing_there", **only), []),
            Bad(save(folder, "both_kinds", logp_policy=logp, logp_reference=logp), ["logp_"]),
            Bad(save(folder, "logp_half", logp_policy=logp, **only), ["logp_reference"])]


def broken_logp(folder: pathlib.Path) -> list[Bad]:
    made = []
    for name, value in (("positive", 0.25), ("nan", np.nan), ("inf", np.inf)):
        for side in ("logp_policy", "logp_reference"):
            x = np.full(40, -1.0)
            x[ROW] = value
            made.append(Bad(logp_file(folder, f"{side}_{name}.h5", mask=None, **{side: x}), [side, ROW_WORD]))
    x = np.full(40, -1.0)
    x[ROW] = -np.inf
    made.append(Bad(logp_file(folder, "logp_impossible.h5", mask=None, logp_policy=x), ["logp_policy", ROW_WORD]))
    return made


def broken_types(folder: pathlib.Path) -> list[Bad]:
    compound = np.zeros((ROWS, V), [("re", "f4"), ("im", "f4")])
    bits = to_bfloat16(good_data()["policy_logits"])
    made = [Bad(save(folder, "compound", policy_logits=compound), ["policy_logits"]),
            Bad(save(folder, "text_dataset", reference_logits=np.full((ROWS, 2), b"abc")), ["reference_logits"]),
            Bad(save(folder, "integers", policy_logits=np.zeros((ROWS, V), "i4")), ["policy_logits"]),
            Bad(save(folder, "uint16_without_attribute", policy_logits=bits), ["policy_logits"])]
    ragged = save(folder, "variable_length", policy_logits=None)
    with h5py.File(ragged, "a") as file:
        file.create_dataset("policy_logits", (ROWS, V), h5py.vlen_dtype(np.float32))
    odd = save(folder, "uint16_other_attribute", policy_logits=bits)
    with h5py.File(odd, "a") as file:
        file["policy_logits"].attrs["dtype"] = "float16"
    group = save(folder, "group", policy_logits=None)
    with h5py.File(group, "a") as file:
        file.create_group("policy_logits")
    return made + [Bad(path, ["policy_logits"]) for path in (ragged, odd, group)]


def broken_links(folder: pathlib.Path) -> list[Bad]:
    other = save(folder, "other")
    other.rename(folder / "other.bin")
    made = []
    for name, link in (("soft_link", h5py.SoftLink("/x")), ("dangling_link", h5py.SoftLink("/nowhere")),
                       ("external_link", h5py.ExternalLink("other.bin", "/policy_logits"))):
        path = save(folder, name, policy_logits=None, x=good_data()["policy_logits"])
        with h5py.File(path, "a") as file:
            file["policy_logits"] = link
        made.append(Bad(path, ["policy_logits"]))
    raw = save(folder, "external_storage", policy_logits=None)
    good_data()["policy_logits"].tofile(folder / "raw.bin")
    with h5py.File(raw, "a") as file:
        file.create_dataset("policy_logits", (ROWS, V), "<f4", external=[(str(folder / "raw.bin"), 0, ROWS * V * 4)])
    target_link = save(folder, "targets_link", targets=None, x=good_data()["targets"])
    with h5py.File(target_link, "a") as file:
        file["targets"] = h5py.SoftLink("/x")
    return made + [Bad(raw, ["policy_logits"]), Bad(target_link, ["targets"])]


def broken_files(folder: pathlib.Path) -> list[Bad]:
    whole = save(folder, "whole").read_bytes()
    contents = {"truncated": whole[:len(whole) // 2], "header_only": whole[:96], "empty": b"",
                "text": b"these are no logits\n" * 100}
    made = []
    for name, content in contents.items():
        (folder / f"{name}.h5").write_bytes(content)
        made.append(Bad(folder / f"{name}.h5"))
    (folder / "whole.h5").unlink()
    return made + [corrupt_chunk(folder), Bad(folder / "missing.h5", code=66)]


def corrupt_chunk(folder: pathlib.Path) -> Bad:
    data = good_data()
    layout = {"chunks": (5, 100), "compression": "gzip"}
    path = write(folder / "corrupt_chunk.h5", data["policy_logits"], data["reference_logits"],
                 policy_side=Side("<f4", layout), reference_side=Side("<f4", layout))
    with h5py.File(path) as file:
        place = file["policy_logits"].id.get_chunk_info(7)
    with open(path, "r+b") as file:
        file.seek(place.byte_offset)
        file.write(b"\xff" * place.size)
    return Bad(path, ["policy_logits"])


def bad_files(folder: pathlib.Path) -> list[Bad]:
    return [bad for make in (broken_logits, broken_targets, broken_masks, broken_shapes, broken_choice, broken_logp,
                             broken_types, broken_links, broken_files) for bad in make(folder)]
