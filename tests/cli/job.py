"""Jobs under mpirun, their processes by rank, and a small training set: what the tests of faults share."""
import json
import os
import pathlib
import signal
import subprocess
import tempfile
import time

import h5py
import numpy as np

CONFIG = """[data]
paths = ["{texts}"]
vocab_size = 300
validation_fraction = 0.15
heldout_fraction = 0.15
[model]
context = 2
embedding = 6
hidden = 10
[mle]
steps = {steps}
batch_tokens = 300
learning_rate = 0.02
evaluate_every = 0
[reward]
steps = 3
preferred = "science"
rejected = "songs"
pairs = 7
[rlhf]
steps = 5
arms = ["exact_reward", "none"]
sequences = 20
length = 7
learning_rate = 0.01
[checkpoint]
every = 10
"""


def check(condition, message):
    if not condition:
        raise AssertionError(message)


def word(subject, number):
    text = subject
    while True:
        text += chr(ord("a") + number % 26)
        number //= 26
        if number == 0:
            return text


def write_texts(directory):
    """Two subjects of 120 texts each, no two alike."""
    directory.mkdir()
    for subject, letter in (("science", "s"), ("songs", "m")):
        texts = []
        for text in range(120):
            words = [word(letter, (text * 7 + i * i) % 60) for i in range(5 + text % 9)] + [word("t", text)]
            texts.append(" ".join(words) + "\n%\n")
        (directory / subject).write_text("".join(texts))


def write_config(directory, name="small.toml", steps=600):
    if not (directory / "texts").exists():
        write_texts(directory / "texts")
    path = directory / name
    path.write_text(CONFIG.format(texts=directory / "texts", steps=steps))
    return path


def write_logits(path, rows, columns, seed=0):
    rng = np.random.default_rng(seed)
    with h5py.File(path, "w") as file:
        for name in ("policy_logits", "reference_logits"):
            file[name] = rng.normal(size=(rows, columns)).astype("f4")
        file["targets"] = rng.integers(columns, size=rows)


def write_endless_logits(path):
    """Large to compute, small on disk: chunks that were never written hold the fill value."""
    with h5py.File(path, "w") as file:
        for name, value in (("policy_logits", 0.5), ("reference_logits", 0.25)):
            file.create_dataset(name, (4_000_000, 4096), "f4", chunks=(64, 4096), fillvalue=value)


def stat(pid):
    """(state, parent) of a process, None if there is none."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])


def lives(pid):
    found = stat(pid)
    return found is not None and found[0] not in "ZX"


def descendants(pid):
    parents = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and (found := stat(entry.name)):
            parents.setdefault(found[1], []).append(int(entry.name))
    found, open_ = [], [pid]
    while open_:
        children = parents.get(open_.pop(), [])
        found += children
        open_ += children
    return found


def rank_of(pid):
    try:
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        name = pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    ranks = [e.partition(b"=")[2] for e in environment if e.startswith(b"OMPI_COMM_WORLD_RANK=")]
    return int(ranks[0]) if ranks and name == "klmesh" else None


class Job:
    """A started mpirun. Ends with its block, whatever happens; nothing of it survives."""

    def __init__(self, command):
        self.start = time.monotonic()
        # No pipe: what the launcher leaves on another host may keep it open.
        self.output = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen([str(c) for c in command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=self.output)
        self.seen = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in [*descendants(self.process.pid), *self.seen.values(), self.process.pid]:
            if lives(pid):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.output.close()

    def err(self):
        self.output.seek(0)
        return self.output.read()

    def ranks(self, count, seconds=30):
        """Process ids by rank, once all are there."""
        end = time.monotonic() + seconds
        while len(self.seen) < count:
            check(time.monotonic() < end, f"only ranks {sorted(self.seen)} started")
            check(self.process.poll() is None, f"ended with {self.process.returncode} at once")
            for pid in descendants(self.process.pid):
                if (rank := rank_of(pid)) is not None:
                    self.seen[rank] = pid
            time.sleep(0.02)
        return self.seen

    def wait_until(self, condition, what, seconds=30):
        end = time.monotonic() + seconds
        while not condition():
            check(time.monotonic() < end, f"no {what} after {seconds} s")
            if self.process.poll() is not None:
                raise AssertionError(f"ended before {what}: code {self.process.returncode}\n{self.err()}")
            time.sleep(0.01)

    def end(self, seconds):
        """(exit code, seconds it took from now, stderr)."""
        start = time.monotonic()
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"no end within {seconds} s\n{self.err()}") from None
        return code, time.monotonic() - start, self.err()

    def survivors(self, seconds=1.0):
        end = time.monotonic() + seconds
        while (left := [rank for rank, pid in self.seen.items() if lives(pid)]) and time.monotonic() < end:
            time.sleep(0.02)
        return left


def messages(err):
    return [line for line in err.splitlines() if line.startswith("klmesh: ")]


def lines(path):
    return path.read_text().count("\n") if path.exists() else 0


def generations(run):
    return [path for path in run.glob("gen-*") if path.name[4:].isdigit()]


def record(run):
    """Everything of a run that two equal runs have in common: /steps and progress of every arm, NaN as one value."""
    contents = {}
    for path in sorted(run.rglob("statistics.h5")):
        with h5py.File(path) as file:
            for name, data in file["steps"].items():
                contents[f"{path.relative_to(run)}:{name}"] = np.nan_to_num(data[()], nan=1e300).tobytes()
    for path in sorted(run.rglob("progress.jsonl")):
        steps = [json.loads(line) for line in path.read_text().splitlines()]
        contents[str(path.relative_to(run))] = [{k: v for k, v in step.items() if "second" not in k} for step in steps]
    return contents


def check_same_record(run, expected):
    ours, theirs = record(run), record(expected)
    check(theirs, f"{expected}: no record")
    differing = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    check(not differing, f"{run} and {expected} differ in {differing[:5]} and {max(0, len(differing) - 5)} more")
