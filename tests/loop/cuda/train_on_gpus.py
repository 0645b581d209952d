"""`klmesh train` on one GPU per rank, mesh 2x2, beside the same job on CPUs.

  train_on_gpus.py PROGRAM SCENARIO [--mpiexec mpirun] [--seed N]

GPUs, or the command line in KLMESH_GPU_RUNNER, which then stands before the program. Exit code: 0 right, 1 wrong, 77
neither four GPUs nor a runner, or no h5py.
"""
import argparse
import contextlib
import json
import os
import pathlib
import random
import shlex
import signal
import subprocess
import sys
import tempfile
import traceback

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from job import Job, check, check_same_record, generations, lines, messages, write_config

RANKS, MESH = 4, "2x2"
ARMS = '["exact_reward", "k3_loss"]'
# Of a statistic, relative to max(1, |x|): the models differ in the last places of fp32, and learn from each other's.
TOLERANCE = 1e-5
DEADLINE = 5


def gpu_prefix():
    """What stands before the program; None: there are no GPUs."""
    if runner := os.environ.get("KLMESH_GPU_RUNNER"):
        return shlex.split(runner)
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True).stdout
    except FileNotFoundError:
        return None
    return [] if sum(line.startswith("GPU ") for line in listed.splitlines()) >= RANKS else None


def steps(run):
    """Every statistic of every arm: (steps) by file and name."""
    found = {}
    for path in sorted(run.rglob("statistics.h5")):
        with h5py.File(path) as file:
            for name, data in file["steps"].items():
                found[f"{path.relative_to(run)}:{name}"] = data[()]
    return found


def largest_difference(run, expected):
    """(difference relative to max(1, |x|), where); NaN only where both are."""
    ours, theirs = steps(run), steps(expected)
    check(theirs and ours.keys() == theirs.keys(), f"{run} and {expected} have other statistics")
    worst = (0.0, "")
    for name, want in theirs.items():
        got = ours[name]
        check(got.shape == want.shape, f"{name}: {got.shape[0]} steps, not {want.shape[0]}")
        check((np.isnan(got) == np.isnan(want)).all(), f"{name}: undefined elsewhere")
        with np.errstate(invalid="ignore"):
            difference = np.nan_to_num(np.abs(got - want) / np.maximum(1, np.abs(want)))
        if len(difference) and difference.max() > worst[0]:
            worst = (difference.max(), f"{name}, row {difference.argmax()}")
    return worst


class Gpus:
    def __init__(self, program, mpiexec, prefix, directory, rng):
        self.program, self.mpiexec, self.prefix = program, mpiexec, prefix
        self.directory, self.rng = directory, rng

    def command(self, backend, *arguments):
        prefix = self.prefix if backend == "cuda" else []
        return [self.mpiexec, "-n", RANKS, *prefix, self.program, "train", *arguments, "--mesh", MESH, "--backend", backend]

    def run(self, backend, *arguments, seconds=400):
        result = subprocess.run([str(c) for c in self.command(backend, *arguments)], stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, timeout=seconds)
        check(result.returncode == 0, f"{backend}: code {result.returncode}\n{result.stderr}")
        return result.stdout

    def config(self, mle_steps=6):
        """Small, but with rows on both batch parts in all phases, and padding in the head."""
        changes = (f"rlhf.arms={ARMS}", "rlhf.steps=3", "rlhf.sequences=32", "rlhf.length=8", "mle.batch_tokens=200",
                   "model.head_multiple=24", "checkpoint.every=2")
        return [write_config(self.directory, steps=mle_steps), *(x for change in changes for x in ("--set", change))]

    # --- scenarios ---

    def agrees(self):
        """The CPU's tokens replayed: its statistics. Sampled freely: the first step's tokens, but for rare near-ties."""
        host, replayed, free = (self.directory / name for name in ("host", "replayed", "free"))
        tokens, free_tokens = self.directory / "host.tokens", self.directory / "free.tokens"
        what = self.config()
        self.run("cpu", *what, "--run", host, "--dump-tokens", tokens)
        said = self.run("cuda", *what, "--run", replayed, "--replay-tokens", tokens)
        check("backend cuda" in said.splitlines()[0], said)
        check("memory of backend cuda on rank 0, at its peak" in said, said)
        difference, where = largest_difference(replayed, host)
        print(f"replayed: largest difference {difference:.2g} ({where})")
        check(difference <= TOLERANCE, f"{where}: {difference:.3g}")
        check(generations(replayed), "no generation was written")

        self.run("cuda", *what, "--run", free, "--dump-tokens", free_tokens)
        first = []
        for path in (tokens, free_tokens):
            drawn = [json.loads(line) for line in path.read_text().splitlines()]
            first.append(np.array([step["tokens"] for step in drawn if step["step"] == 1]))
        check(first[0].shape == first[1].shape and first[0].size, "other numbers of tokens")
        equal = (first[0] == first[1]).mean()
        print(f"sampled freely: {100 * equal:.2f} % of the first step's {first[0].size} tokens are equal")
        check(equal >= 0.999, f"only {equal} of the first step's tokens are equal")

    def interrupted(self, backend, what, run):
        """Runs until there is a new generation, then kills a rank."""
        known = set(generations(run))
        with Job(self.command(backend, *what)) as job:
            pids = job.ranks(RANKS, 60)
            job.wait_until(lambda: set(generations(run)) - known or job.process.poll() == 0, "new generation", 120)
            victim = self.rng.randrange(RANKS)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pids[victim], signal.SIGKILL)
            code, seconds, _ = job.end(30)
            check(not job.survivors(3), "a rank survives")
            print(f"{backend}: rank {victim} killed, code {code} after {seconds:.2f} s, {lines(run / 'progress.jsonl')} steps")
        return code

    def resumes(self):
        """Begun on CPUs, killed, resumed on GPUs, killed, resumed on CPUs: the statistics of the CPUs alone."""
        host, run, tokens = self.directory / "host", self.directory / "run", self.directory / "tokens"
        what = self.config()
        self.run("cpu", *what, "--run", host, "--dump-tokens", tokens)
        check(self.interrupted("cpu", [*what, "--run", run, "--replay-tokens", tokens], run) != 0, "was done before the kill")
        again = ["--resume", run, "--replay-tokens", tokens]
        check(self.interrupted("cuda", again, run) != 0, "was done before the kill")
        self.run("cpu", *again)
        difference, where = largest_difference(run, host)
        print(f"CPU, GPU, CPU: largest difference {difference:.2g} ({where})")
        check(0 < difference <= TOLERANCE, f"{where}: {difference:.3g}")

    def killed(self):
        """kill -9 of ranks on GPUs, resumed there: the same bits as in one go."""
        whole, run = self.directory / "whole", self.directory / "run"
        what = self.config(mle_steps=9)
        self.run("cuda", *what, "--run", whole)
        arguments = [*what, "--run", run]
        kills = 0
        for _ in range(2):
            kills += self.interrupted("cuda", arguments, run) != 0
            arguments = ["--resume", run]
        check(kills > 0, "nothing was killed")
        self.run("cuda", *arguments)
        check_same_record(run, whole)

    def stopped(self):
        """A rank that takes part no more: 75 within the deadline, one message, nothing left."""
        run = self.directory / "run"
        what = [*self.config(mle_steps=100_000), "--run", run, "--deadline", DEADLINE]
        with Job(self.command("cuda", *what)) as job:
            pids = job.ranks(RANKS, 60)
            job.wait_until(lambda: lines(run / "progress.jsonl") > 0, "first step", 120)
            victim = self.rng.randrange(RANKS)
            os.kill(pids[victim], signal.SIGSTOP)
            code, seconds, err = job.end(DEADLINE + 25)
            print(f"rank {victim} stopped: code {code} after {seconds:.2f} s, {messages(err)}")
            check(code == 75, f"code {code}\n{err}")
            check(len(messages(err)) == 1, err)
            check(seconds <= DEADLINE + 5, f"took {seconds:.1f} s")
            check(not job.survivors(3), "a rank survives")


SCENARIOS = ("agrees", "resumes", "killed", "stopped")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--mpiexec", default="mpirun")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    prefix = gpu_prefix()
    if prefix is None:
        print(f"skipped: needs {RANKS} GPUs; KLMESH_GPU_RUNNER is not set")
        return 77
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="klmesh-gpus-") as directory:
        gpus = Gpus(options.program, options.mpiexec, prefix, pathlib.Path(directory), random.Random(options.seed))
        try:
            getattr(gpus, options.scenario)()
        except (AssertionError, subprocess.TimeoutExpired):
            traceback.print_exc()
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
