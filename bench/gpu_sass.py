"""What a compiled GPU kernel is made of: sections of the ELF file, and its machine code as a graph of straight runs.

A run is a piece of code without a jump, named by the index of its first instruction. Ways through the graph are
lists of runs; their length is counted in instructions of a warp.
"""
import collections
import heapq
import struct
import sys

sys.setrecursionlimit(20000)

# The low nine bits of an instruction.
MUFU, BRA, EXIT, LDG, LD, RET, BRX, CALL, BAR, LDS = 0x108, 0x147, 0x14D, 0x181, 0x180, 0x150, 0x149, 0x144, 0x11D, 0x184
FP32 = {0x20, 0x21, 0x23}  # FMUL, FADD, FFMA
FP64 = {0x28, 0x29, 0x2B}  # DMUL, DADD, DFMA
EX2, RCP, RCP64 = 2, 4, 6  # functions of MUFU


def sections(elf):
    offset, size, count, names = struct.unpack_from("<Q", elf, 40)[0], *struct.unpack_from("<HHH", elf, 58)
    headers = [struct.unpack_from("<IIQQQQ", elf, offset + i * size) for i in range(count)]
    strings = headers[names][4]
    for name, _, _, _, start, length in headers:
        yield elf[strings + name:elf.index(b"\0", strings + name)].decode(), elf[start:start + length]


def max_threads(info):
    """EIATTR_MAX_THREADS of a kernel's .nv.info section, which __launch_bounds__ leaves there."""
    at = 0
    while at + 4 <= len(info):
        kind, attribute, size = struct.unpack_from("<BBH", info, at)
        if kind == 4 and attribute == 5:
            x, y, z = struct.unpack_from("<III", info, at + 4)
            return x * y * z
        at += 4 + (size if kind == 4 else 0)
    return 0


def together(word):
    """BRA.DIV and BRA.CONV ask whether the lanes of a warp are together, which those of these kernels are at a vote: whether
    that one jumps; None for others."""
    if word & 0x1FF != BRA or not word >> 91 & 1:
        return None
    return word >> 32 & 3 == 3


def jumps(word):
    """BRA; and CALL under a predicate, by which sm_80 leaves a loop."""
    return word & 0x1FF == BRA or (word & 0x1FF == CALL and word >> 12 & 15 != 7)


class Code:
    def __init__(self, text, arch):
        self.words = [int.from_bytes(text[i:i + 16], "little") for i in range(0, len(text) - 15, 16)]
        self.arch = arch
        leaders = {0}
        for i, word in enumerate(self.words):
            if word & 0x1FF in (EXIT, RET, BRX) or jumps(word):
                leaders.add(i + 1)
                if jumps(word):
                    leaders.add(self.target(i))
        self.starts = sorted(s for s in leaders if 0 <= s < len(self.words))
        self.ends = dict(zip(self.starts, self.starts[1:] + [len(self.words)]))
        self.holds = {run: self.count([run]) for run in self.starts}

    def target(self, i):
        word = self.words[i]
        if self.arch < 90:
            offset = (word >> 32) & ((1 << 50) - 1)
            offset -= (1 << 50) if offset >> 49 else 0
        else:
            high = (word >> 34) & ((1 << 48) - 1)
            high -= (1 << 48) if high >> 47 else 0
            offset = (high << 10) | (((word >> 16) & 0xFF) << 2)
        return i + 1 + offset // 16

    def next(self, run):
        last = self.ends[run] - 1
        word = self.words[last]
        conditional = (word >> 12) & 15 != 7 or (word & 0x1FF == BRA and (word >> 87) & 15 != 7)
        known = together(word)
        if jumps(word) and known is not False:
            yield self.target(last)
        if known is not True and (word & 0x1FF not in (BRA, EXIT, RET, BRX) or conditional or known is False):
            yield last + 1

    def size(self, run):
        return self.ends[run] - run

    def count(self, way):
        """What the instructions of a way are."""
        found = collections.Counter()
        for run in way:
            for word in self.words[run:self.ends[run]]:
                code = word & 0x1FF
                found["all"] += 1
                found["mufu"] += code == MUFU
                found["fp32"] += code in FP32
                found["fp64"] += code in FP64
                found["loads"] += code == LDG
                found["calls"] += code == CALL and not jumps(word)
                found["barriers"] += code == BAR
                found["exits"] += code == EXIT
                found["shared loads"] += code == LDS
                found["exponentials"] += code == MUFU and (word >> 74) & 15 == EX2
                found["divisions"] += code == MUFU and (word >> 74) & 15 in (RCP, RCP64)
                found["16-bit loads"] += code in (LDG, LD) and (word >> 73) & 7 == 2
        return found

    def cheapest(self, start, goals):
        """Fewest instructions from the beginning of `start` until one of `goals` is reached, as the runs on the way."""
        queue, seen = [(0, start, [])], set()
        while queue:
            cost, run, way = heapq.heappop(queue)
            if run in goals and way:
                return way
            if run in seen or run not in self.ends:
                continue
            if way:
                seen.add(run)
            for follower in self.next(run):
                heapq.heappush(queue, (cost + self.size(run), follower, way + [run]))
        return None

    def turn(self, run):
        """The cheapest way around the loop that `run` is in."""
        return self.cheapest(run, {run})

    def longest(self, start, goals, without=frozenset()):
        """Most instructions from the beginning of `start` until one of `goals` is reached, no run twice, and none of
        `without`; as the runs on the way. A bound from above of what a warp does there."""
        best, open_runs = {}, set()

        def visit(run):
            if run in goals and open_runs:
                return (0, ())
            if run in best:
                return best[run]
            if run in open_runs or run in without or run not in self.ends:
                return None
            open_runs.add(run)
            ways = [way for way in map(visit, self.next(run)) if way]
            open_runs.discard(run)
            longest = max(ways, default=None)
            best[run] = longest and (longest[0] + self.size(run), (run,) + longest[1])
            return best[run]

        found = visit(start)
        return list(found[1]) if found else None
