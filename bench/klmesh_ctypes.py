"""The few calls of libklmesh_c that a comparison needs, through ctypes: one process, host memory."""
import ctypes
from ctypes import Structure, byref, c_double, c_int32, c_int64, c_size_t, c_uint8, c_uint16, c_uint32, c_void_p

FLOAT, BFLOAT = 2, 4  # DLPack's type codes

VALUES = ("kl_reverse", "kl_forward", "entropy_policy", "entropy_reference", "cross_entropy_policy_reference",
          "cross_entropy_reference_policy", "logp_policy", "logp_reference", "k1", "k2", "k3")


class DType(Structure):
    _fields_ = [("code", c_uint8), ("bits", c_uint8), ("lanes", c_uint16)]


class Logits(Structure):
    _fields_ = [("struct_size", c_size_t), ("data", c_void_p), ("shape", c_int64 * 2), ("strides", c_int64 * 2),
                ("dtype", DType), ("reserved", c_int32), ("row_index", c_void_p), ("scale", c_double)]


class GradientOutput(Structure):
    _fields_ = [("struct_size", c_size_t), ("data", c_void_p), ("shape", c_int64 * 2), ("strides", c_int64 * 2),
                ("dtype", DType), ("accumulate", c_int32)]


class RowInputs(Structure):
    _fields_ = [("struct_size", c_size_t), ("rows", c_int64), ("targets", c_void_p), ("mask", c_void_p),
                ("sequence", c_void_p)]


class Token(Structure):
    _fields_ = ([(name, c_double) for name in VALUES]
                + [(name, c_double) for name in (
                    "chi_square", "chi_square_reference_policy", "hellinger", "total_variation", "same_top",
                    "jensen_shannon", "renyi", "lse_reference", "lse_policy", "lse_difference",
                    "normalizer_kl_reverse", "normalizer_entropy_policy", "normalizer_kl_mixture")]
                + [("flags", c_uint32), ("invalid_column", c_int32)])


class RowScales(Structure):
    _fields_ = [("struct_size", c_size_t), ("rows", c_int64)] + [
        (name, c_void_p) for name in ("kl_reverse", "kl_forward", "logp_policy", "entropy_policy", "jensen_shannon")]


def sized(kind, **fields):
    """A struct with its struct_size set; what is not given is zero, the default."""
    return kind(struct_size=ctypes.sizeof(kind), **fields)


def matrix(kind, address, rows, columns, bits, code):
    return sized(kind, data=address, shape=(rows, columns), strides=(columns, 1), dtype=DType(code, bits, 1))


class Klmesh:
    """An engine of this process alone. Matrices are given as (address, rows, columns, bits, code)."""

    def __init__(self, path, vocab_size):
        self._library = ctypes.CDLL(path)
        self._library.klmesh_last_error.restype = ctypes.c_char_p
        self._library.klmesh_version.restype = ctypes.c_char_p
        self._mesh, self._engine = c_void_p(), c_void_p()
        self._call("klmesh_mesh_create_self", byref(self._mesh))
        self._call("klmesh_engine_create", self._mesh, c_int64(vocab_size), byref(self._engine))

    def close(self):
        self._library.klmesh_engine_destroy(self._engine)
        self._library.klmesh_mesh_destroy(self._mesh)

    def version(self):
        return self._library.klmesh_version().decode()

    def use_threads(self, threads):
        """Asks for threads as far as the library has them. @return the number it computes with"""
        if not hasattr(self._library, "klmesh_engine_set_threads"):
            return 1
        self._call("klmesh_engine_set_threads", self._engine, c_int32(threads))
        return threads

    def evaluate(self, policy, reference, targets, tokens):
        """Fills `tokens` (an array of Token) with the core quantities of every row."""
        inputs = sized(RowInputs, rows=policy[1], targets=targets)
        self._call("klmesh_evaluate", self._engine, byref(matrix(Logits, *policy)), byref(matrix(Logits, *reference)),
                   byref(inputs), None, tokens, c_size_t(ctypes.sizeof(Token)), c_int64(len(tokens)), None)

    def gradient(self, policy, reference, targets, tokens, kl_reverse_scales, output):
        """Writes d (sum of scale * kl_reverse) / d policy logits to `output`, a matrix."""
        inputs = sized(RowInputs, rows=policy[1], targets=targets)
        scales = sized(RowScales, rows=policy[1], kl_reverse=kl_reverse_scales)
        self._call("klmesh_gradient", self._engine, byref(matrix(Logits, *policy)), byref(matrix(Logits, *reference)),
                   byref(inputs), tokens, c_size_t(ctypes.sizeof(Token)), c_int64(len(tokens)), byref(scales),
                   byref(matrix(GradientOutput, *output)), None)

    def _call(self, name, *arguments):
        if getattr(self._library, name)(*arguments) != 0:
            raise RuntimeError(f"{name}: {self._library.klmesh_last_error().decode()}")
