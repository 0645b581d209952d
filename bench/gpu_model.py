"""How many instructions the GPU kernels take for a pair of logits, everything counted: loops, runs, rows.

rows_fp32: a warp has eight runs, of four lanes each. Counted are, each from the graph of the machine code:
  turn      of the loop over aligned rows, near columns, 128 columns of each run: the cheapest way around it
  end       the same behind the last whole turn: one vector of 32 columns, or a turn of the general loop
  run       the longest way from the kernel's entry to the loop, and from the loop to the next barrier; without loads of
            single 16-bit logits, calls and divisions, which are for odd alignments, rows of less than 64 runs and
            rare cases
  partials  two warps of a block make the partials of its 64 runs in fp64; the longest way
  fold      one warp folds them: log2(64) of the cheapest turns through a merge of equal pivots
  row       what the first warp writes, and the way of the other warps past all of this
"""
import math

SLICES = 64


def slice_begin(vocab, i):
    return vocab if i >= SLICES else min(vocab, 16 * ((i * vocab + 512) // 1024))


def runs_per_slice(vocab):
    runs = 1
    while runs < 64 and vocab > runs * 1200 * SLICES:
        runs *= 2
    return runs


def run_columns(vocab):
    """Columns of every run of a row, as run_begin() of the kernels has them."""
    runs = runs_per_slice(vocab)
    shift = 4 + int(math.log2(runs))
    for i in range(SLICES):
        columns = slice_begin(vocab, i + 1) - slice_begin(vocab, i)
        begins = [16 * ((r * columns + 8 * runs) >> shift) for r in range(runs)] + [columns]
        yield from (b - a for a, b in zip(begins, begins[1:]))


class RowsFp32:
    """The ways through one rows_fp32 kernel. Raises ValueError where the code does not look as expected."""

    def __init__(self, code):
        self.code = code
        holds = code.holds
        most = max(h["exponentials"] for h in holds.values())
        if most < 8:
            raise ValueError("no loop of near columns")
        self.pairs = most  # of a lane in a turn
        cheap = lambda n: [min(g, key=code.size) for g in self.groups(n)]
        loops = cheap(most)
        self.turn = code.turn(loops[0])
        self.general = code.turn(loops[1])
        ordinary = [max(g, key=code.size) for g in self.groups(most)][0]
        self.ordinary = code.turn(ordinary)
        ends = [] if most == 8 else cheap(8)
        self.barriers = [r for r in code.starts if holds[r]["barriers"] and r > loops[1]]
        self.cold = {r for r in code.starts if holds[r]["16-bit loads"] or holds[r]["calls"] or holds[r]["divisions"]
                     or holds[r]["exponentials"]}
        head = min(r for r in self.turn)
        before = code.longest(0, {head}, self.cold)
        # Of the ways out of the loop, the one that does not come back into it.
        inside = set(self.turn) | set(found for group in self.groups(most)[:1] for found in group)
        leave = next(f for r in self.turn for f in code.next(r)
                     if f not in inside and code.longest(f, {self.barriers[0]}, (self.cold - set(ends[:1])) | inside))
        end = code.longest(leave, {self.barriers[0]}, (self.cold - set(ends[:1])) | inside)
        plain = code.longest(leave, {self.barriers[0]}, self.cold | inside)
        if not before or not end:
            raise ValueError("no way through the loop")
        self.before, self.end = before, end
        self.plain = plain or []
        first, second = self.barriers[:2]
        self.partials = code.longest(first, {second}, self.cold)
        self.no_partials = code.cheapest(first, {second})
        merges = [r for r in code.starts if r > second and holds[r]["shared loads"] >= 12 and holds[r]["fp64"] >= 25]
        self.merge = code.turn(merges[0])
        exits = {r for r in code.starts if holds[r]["exits"]}
        self.past = code.cheapest(second, exits)
        # A thread without a row to write ends where the others begin to.
        self.write = code.longest(next(r for r in sorted(exits) if r > second), {max(exits)}, self.barriers)

    def groups(self, exponentials):
        """Runs of that many exponentials, by the loop they are in: the near ones and the ordinary ones of a chunk lie
        between the same jumps."""
        found = [r for r in self.code.starts if self.code.holds[r]["exponentials"] == exponentials]
        return [found[i:i + 2] for i in range(0, len(found) - 1, 2)]

    def per_pair(self, vocab, lane_vectors):
        """Instructions of a warp for a pair, by what they are for. @param lane_vectors of eight columns, in a turn"""
        n = lambda way: self.code.count(way)["all"]
        columns = list(run_columns(vocab))
        step = 32 * lane_vectors
        parts = dict.fromkeys(("turn", "end", "run", "partials", "fold", "row"), 0)
        tail = n(self.end) - n(self.plain) if self.plain else 0
        for first in range(0, len(columns), 8):
            warp = columns[first:first + 8]
            turns = min(warp) // step
            rest = -(-max(warp) // 32) - turns * lane_vectors
            parts["turn"] += turns * n(self.turn)
            while rest > 1 or (rest == 1 and lane_vectors == 1):
                parts["end"] += n(self.general)
                rest -= lane_vectors
            parts["end"] += tail if rest == 1 else 0
            parts["run"] += n(self.before) + (n(self.plain) or n(self.end))
        batches = len(columns) // SLICES
        parts["partials"] = batches * (2 * n(self.partials) + 6 * n(self.no_partials))
        parts["fold"] = batches * 6 * n(self.merge)
        parts["row"] = n(self.write) + 8 * n(self.past)
        return {what: count * 32 / vocab for what, count in parts.items()}


SHARED_BYTES = 22848  # of rows_fp32
ENOUGH_BLOCKS, MAX_GROUPS, RUNS_AT_A_TIME = 512, 8, 64


def launch(vocab, parts, rows):
    """(groups, tiles, threads) of rows_fp32: row_groups(), rows_per_tile() and launch_lanes() of the kernels."""
    slices, groups, per_group = SLICES // parts, 1, SLICES
    while per_group > SLICES // MAX_GROUPS and rows * groups < ENOUGH_BLOCKS:
        per_group //= 2
        groups = -(-slices // per_group)
    runs, tile = slices * runs_per_slice(vocab), 1
    while groups == 1 and 2 * tile * runs <= RUNS_AT_A_TIME and rows >= 2 * tile * ENOUGH_BLOCKS:
        tile *= 2
    runs = min(slices, per_group) * runs_per_slice(vocab) * tile
    return groups, -(-rows // tile), min(256, -(-runs * 4 // 32) * 32)
