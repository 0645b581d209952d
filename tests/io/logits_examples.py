# Writes the files that the tests of the reader open, into the directory given.
import sys
import zlib

import h5py
import numpy as np

directory = sys.argv[1]
rows, columns = 7, 5
i, j = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
P = (i * 8 + j - 20).astype("f8")
R = 0.25 * (j * 8 - i)
bits = lambda x: (x.astype("<f4").view("<u4") >> 16).astype("<u2")


def make(name, content, attributes={}, **options):
    with h5py.File(f"{directory}/{name}.h5", "w") as f:
        for key, value in content.items():
            f.create_dataset(key, data=value, **options)
        f.attrs.update(attributes)


def edit(name, change, content=None):
    """A good file of (rows, columns) float32, then changed."""
    with h5py.File(f"{directory}/{name}.h5", "w") as f:
        for key, value in (content or {"policy_logits": P.astype("f4"), "reference_logits": R.astype("f4")}).items():
            f[key] = value
        change(f)


def replace(name, make_dataset, target="reference_logits"):
    def change(f):
        del f[target]
        make_dataset(f)

    edit(name, change)


both = lambda t, **more: {"policy_logits": P.astype(t), "reference_logits": R.astype(t), **more}
logp = lambda p, r, **more: {"logp_policy": np.asarray(p), "logp_reference": np.asarray(r), **more}

# Good ones.
for name, t in [("f16_le", "<f2"), ("f16_be", ">f2"), ("f32_le", "<f4"), ("f32_be", ">f4"), ("f64_le", "<f8"), ("f64_be", ">f8")]:
    make(name, both(t))
for name, value in [("bf16_variable", "bfloat16"), ("bf16_fixed", np.bytes_("bfloat16")), ("bf16_padded", np.array(b"bfloat16", "S12")), ("bf16_one", np.array([b"bfloat16"]))]:
    with h5py.File(f"{directory}/{name}.h5", "w") as f:
        for key, x in [("policy_logits", bits(P)), ("reference_logits", bits(R).astype(">u2"))]:
            f[key] = x
            f[key].attrs["dtype"] = value
make("gzip", both("f4"), chunks=(3, 2), compression="gzip", shuffle=True)
make("checksum", both("f4"), chunks=(3, 2), fletcher32=True)
make("unlimited", both("f4"), maxshape=(None, None))
with h5py.File(f"{directory}/latest.h5", "w", libver="latest") as f:
    for key, x in both("f4").items():
        f.create_dataset(key, data=x, chunks=(3, 2), maxshape=(None, None))
with h5py.File(f"{directory}/user_block.h5", "w", userblock_size=512) as f:
    for key, x in both("f4").items():
        f[key] = x
make("mixed", {"policy_logits": P.astype("f2"), "reference_logits": R.astype(">f8")})
make("padded", {"policy_logits": P.astype("f4"), "reference_logits": np.pad(R, ((0, 0), (0, 3))).astype("f4")}, {"vocab_size": columns})
make("padded_both", both("f4"), {"vocab_size": np.array([4], "u1")})
targets = np.arange(rows) % columns
make("companions", both("f4", targets=targets.astype(">i2"), mask=np.array([1, 0, 1, 1, 0, 1, 1], "u8"), sequence=np.array([0, 0, 0, 1, 1, -2, 2], "i1")))
make("booleans", both("f4", mask=np.array([1, 0, 1, 1, 0, 1, 1], bool)))
big = np.array([0, 2**64 - 1, 2**63, 2**63 - 1, 1, 2, 3], "u8")
make("unsigned", both("f4", targets=big, sequence=big))
make("logp", logp(-np.arange(rows) / 4, -np.arange(rows) / 8, mask=np.ones(rows, bool), targets=["ignored"]))
make("logp_f16", logp((-np.arange(rows) / 4).astype(">f2"), (-np.arange(rows) / 8).astype("f4")))
with h5py.File(f"{directory}/logp_bf16.h5", "w") as f:
    for key, x in [("logp_policy", -np.arange(rows) / 4), ("logp_reference", -np.arange(rows) / 8)]:
        f[key] = bits(x)
        f[key].attrs["dtype"] = "bfloat16"
make("logp_masked", logp([-1, np.nan, -np.inf], [0, 1.5, -2], mask=np.array([1, 0, 1])))
make("no_rows", {"policy_logits": np.zeros((0, 5)), "reference_logits": np.zeros((0, 5)), "mask": np.zeros(0, bool)})


def strangers(f):
    f["other"] = h5py.SoftLink("/nowhere")
    f["external"] = h5py.ExternalLink("nowhere.h5", "/x")
    f.create_dataset("text", data=["a", "bc"], dtype=h5py.string_dtype())
    f.create_group("logp_policies")
    f.attrs["note"] = "kept"


edit("strangers", strangers)

# Bad ones.
make("empty", {})
make("no_reference", {"policy_logits": P})
make("no_policy", {"reference_logits": P})
make("no_logp_reference", {"logp_policy": -np.ones(3)})
make("both_kinds", both("f4", **logp(-np.ones(rows), -np.ones(rows))))
make("both_kinds_halves", {"policy_logits": P, "logp_policy": -np.ones(rows)})
make("rows_differ", {"policy_logits": P, "reference_logits": R[1:]})
make("columns_differ", {"policy_logits": P, "reference_logits": R[:, 1:]})
make("vocab_large", both("f4"), {"vocab_size": 6})
make("vocab_huge", both("f4"), {"vocab_size": np.uint64(2**64 - 1)})
make("vocab_zero", both("f4"), {"vocab_size": 0})
make("vocab_float", both("f4"), {"vocab_size": 5.0})
make("vocab_two", both("f4"), {"vocab_size": [5, 5]})
make("vocab_text", both("f4"), {"vocab_size": "5"})
make("one_dimension", {"policy_logits": P[0], "reference_logits": R[0]})
make("three_dimensions", {"policy_logits": P[None], "reference_logits": R[None]})
make("scalar", {"policy_logits": 1.0, "reference_logits": 1.0})
replace("null", lambda f: f.create_dataset("reference_logits", data=h5py.Empty("f4")))
make("no_columns", {"policy_logits": np.zeros((3, 0)), "reference_logits": np.zeros((3, 0))})
make("integers", both("i4"))
make("uint16_plain", {"policy_logits": bits(P), "reference_logits": bits(R)})
with h5py.File(f"{directory}/uint16_other.h5", "w") as f:
    for key, x in [("policy_logits", bits(P)), ("reference_logits", bits(R))]:
        f[key] = x
        f[key].attrs["dtype"] = "float16"
make("long_double", both("longdouble"))
replace("compound", lambda f: f.create_dataset("reference_logits", data=np.zeros((rows, columns), [("a", "f4"), ("b", "f4")])))
replace("complex", lambda f: f.create_dataset("reference_logits", data=R.astype("c8")))
replace("opaque", lambda f: f.create_dataset("reference_logits", data=np.zeros((rows, columns), "V4")))
replace("variable_length", lambda f: f.create_dataset("reference_logits", (rows, columns), dtype=h5py.vlen_dtype("f4")))
replace("reference", lambda f: f.create_dataset("reference_logits", (rows, columns), dtype=h5py.ref_dtype))
replace("text_dataset", lambda f: f.create_dataset("reference_logits", (rows, columns), dtype=h5py.string_dtype()))
replace("array", lambda f: f.create_dataset("reference_logits", (rows,), dtype=np.dtype(("f4", (columns,)))))
replace("group", lambda f: f.create_group("reference_logits"))
replace("named_type", lambda f: f.__setitem__("reference_logits", np.dtype("f4")))


def soft(f):
    f["hidden"] = R.astype("f4")
    f["reference_logits"] = h5py.SoftLink("/hidden")


replace("soft_link", soft)
replace("dangling_link", lambda f: f.__setitem__("reference_logits", h5py.SoftLink("/nowhere")))
replace("external_link", lambda f: f.__setitem__("reference_logits", h5py.ExternalLink("f32_le.h5", "/reference_logits")))
edit("mask_link", lambda f: f.__setitem__("mask", h5py.SoftLink("/nowhere")))
replace("external_storage", lambda f: f.create_dataset("reference_logits", (rows, columns), "f4", external=[(f"{directory}/raw", 0, 140)]))


def virtual(f):
    layout = h5py.VirtualLayout((rows, columns), "f4")
    layout[...] = h5py.VirtualSource(f"{directory}/f32_le.h5", "reference_logits", (rows, columns))
    f.create_virtual_dataset("reference_logits", layout)


replace("virtual", virtual)
replace("lzf", lambda f: f.create_dataset("reference_logits", data=R.astype("f4"), compression="lzf"))
replace("scale_offset", lambda f: f.create_dataset("reference_logits", data=R.astype("f4"), scaleoffset=2))


def huge(f, shape, chunks=(1, 1024)):
    del f["reference_logits"], f["policy_logits"]
    for key in ["policy_logits", "reference_logits"]:
        f.create_dataset(key, shape, "f4", chunks=chunks)


edit("too_large", lambda f: huge(f, (2**40, 2**40)))
edit("large_sparse", lambda f: huge(f, (2**40, 50257)))


def unwritten(f):
    space = h5py.h5s.create_simple((rows, columns))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    h5py.h5d.create(f.id, b"reference_logits", h5py.h5t.IEEE_F32LE, space, properties)


replace("unwritten", unwritten)
make("targets_float", both("f4", targets=targets.astype("f4")))
make("targets_short", both("f4", targets=targets[1:]))
make("targets_matrix", both("f4", targets=targets[:, None]))
make("mask_two", both("f4", mask=np.array([1, 1, 1, 0, 0, 2, 1])))
make("mask_negative", both("f4", mask=np.array([1, -1, 1, 0, 0, 2, 1], "i1")))
make("mask_huge", both("f4", mask=np.array([1, 1, 1, 2**64 - 1, 0, 2, 1], "u8")))
make("mask_float", both("f4", mask=np.ones(rows)))
make("mask_long", both("f4", mask=np.ones(rows + 1, bool)))
for name, values in [("mask_colours", {"RED": 0, "BLUE": 1}), ("mask_inverted", {"FALSE": 1, "TRUE": 0}), ("mask_three", {"FALSE": 0, "TRUE": 1, "OTHER": 2})]:
    edit(name, lambda f: f.create_dataset("mask", data=np.ones(rows, "i1"), dtype=h5py.enum_dtype(values, "i1")))
make("sequence_text", both("f4", sequence=["a"] * rows))
make("logp_positive", logp([-1, -2, -3.0], [0, 0.5, -1]))
make("logp_nan", logp([-1, -2, np.nan], [0, 0, -1.0]))
make("logp_rows", logp([-1, -2, -3.0], [0, 0.0]))
make("logp_integers", logp([-1, -2], [0, 0]))

whole = open(f"{directory}/gzip.h5", "rb").read()
for name, data in [("truncated", whole[:-1]), ("half", whole[: len(whole) // 2]), ("text", b"hello\n" * 100), ("nothing", b"")]:
    open(f"{directory}/{name}.h5", "wb").write(data)
with h5py.File(f"{directory}/gzip.h5", "r") as f:
    chunk = f["policy_logits"].id.get_chunk_info(2)
    offset, size = chunk.byte_offset, chunk.size
open(f"{directory}/bad_chunk.h5", "wb").write(whole[:offset] + b"\0" * size + whole[offset + size :])
# A chunk of zlib data that is fine but for its length; HDF5 itself does not look.
for name, n in [("chunk_short", 20), ("chunk_long", 28)]:
    with h5py.File(f"{directory}/{name}.h5", "w") as f:
        for key, x in both("f4").items():
            f.create_dataset(key, data=x, chunks=(3, 2), compression=1, fletcher32=False)
        f["reference_logits"].id.write_direct_chunk((6, 4), zlib.compress(b"\0" * n))
for name, options in [("gzip_checksum", {"fletcher32": True}), ("shuffled", {"compression": None, "shuffle": True})]:
    make(name, both("f4", mask=np.ones(rows, bool)), **({"compression": 1} | options), chunks=True)
print("made")
