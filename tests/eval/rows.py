"""Pairs of logit rows (policy, reference) that break naive implementations, one function a kind. (V) float64 each."""
import numpy as np

Row = tuple[np.ndarray, np.ndarray]


def noise(sigma: float):
    def make(g, v: int) -> Row:
        a = 4 * g.standard_normal(v)
        return a, a + sigma * g.standard_normal(v)
    return make


def top_moved(by: float):
    def make(g, v: int) -> Row:
        a = 3 * g.standard_normal(v)
        b = a.copy()
        b[np.argmax(a)] += by
        return a, b
    return make


def identical(g, v: int) -> Row:
    a = 5 * g.standard_normal(v)
    return a, a.copy()


def flat_with_one_moved(g, v: int) -> Row:
    a = np.zeros(v)
    b = a.copy()
    b[v // 3] += 1e-4
    return a, b


def light_slice(g, v: int) -> Row:
    """The first 64th of the columns holds next to no mass, and differs by 15."""
    a = g.standard_normal(v)
    b = a + 1e-5 * g.standard_normal(v)
    light = slice(0, max(1, v // 64))
    a[light] -= 40
    b[light] = a[light] + 15
    return a, b


def wide_dominated(g, v: int) -> Row:
    a = 30 * g.standard_normal(v)
    b = a + 20 * g.standard_normal(v)
    a[v // 2] = b[v // 2] = max(a.max(), b.max()) + 30
    return a, b


def peaked(g, v: int) -> Row:
    a = g.standard_normal(v)
    b = a + 0.5 * g.standard_normal(v)
    a[v // 5] += 30
    b[v // 5] += 30
    return a, b


def disjoint(gap: float):
    def make(g, v: int) -> Row:
        a, b = g.standard_normal(v), g.standard_normal(v)
        a[v // 2:] -= gap
        b[:v // 2] -= gap
        return a, b
    return make


def offset(g, v: int) -> Row:
    a = 2 * g.standard_normal(v)
    return a, a + 160 + 1e-5 * g.standard_normal(v)


def minus_infinity_in_both(g, v: int) -> Row:
    a = 3 * g.standard_normal(v)
    b = a + 0.01 * g.standard_normal(v)
    hole = g.random(v) < 0.3
    hole[v // 2] = False
    a[hole] = b[hole] = -np.inf
    return a, b


def minus_infinity_in_policy(g, v: int) -> Row:
    a, b = noise(0.1)(g, v)
    a[1::7] = -np.inf
    return a, b


def minus_infinity_in_reference(g, v: int) -> Row:
    b, a = minus_infinity_in_policy(g, v)
    return a, b


def masked_in_both(value: float):
    def make(g, v: int) -> Row:
        a, b = noise(0.01)(g, v)
        a[1::3] = b[1::3] = value
        return a, b
    return make


def masked_in_reference(value: float):
    def make(g, v: int) -> Row:
        a, b = noise(0.3)(g, v)
        b[1::5] = value
        return a, b
    return make


def masked_in_policy(value: float):
    def make(g, v: int) -> Row:
        b, a = masked_in_reference(value)(g, v)
        return a, b
    return make


LOWEST = float(np.finfo(np.float32).min)
FINITE = ([noise(s) for s in (1e-6, 1e-4, 1e-2, 0.3, 3)] + [identical]
          + [top_moved(by) for by in (1e-4, 1e-3, 0.3, -20, -30, -40)]
          + [flat_with_one_moved, light_slice, wide_dominated, peaked, disjoint(120), offset])
MASKED = [masked_in_both(-1e9), masked_in_both(LOWEST), masked_in_reference(-1e9), masked_in_policy(-1e9),
          masked_in_policy(LOWEST), minus_infinity_in_both, disjoint(500)]
INFINITE = [minus_infinity_in_policy, minus_infinity_in_reference]


def matrix(kinds: list, rows: int, v: int, seed: int) -> Row:
    """(rows, v) of both sides, the kinds in turn"""
    g = np.random.default_rng(seed)
    pairs = [kinds[(i + seed) % len(kinds)](g, v) for i in range(rows)]
    return np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
