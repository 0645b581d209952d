"""Starts jobs whose ranks disagree, are stopped, are killed or lose their launcher, and looks at how they end.

  faults.py PROGRAM SCENARIO [--mpiexec mpirun] [--launcher ON_GPUS] [--seed N]

Exit code: 0 right, 1 wrong, 77 no h5py, or no GPUs for a scenario that needs them.
"""
import argparse
import contextlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

try:
    import h5py  # noqa: F401
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

from job import (Job, check, check_same_record, generations, lines, messages, write_config, write_endless_logits,
                 write_logits)

MESHES = {1: "1x1", 2: "1x2", 3: "3x1", 4: "2x2"}
DEADLINE = 3
GPU_DEADLINE = 10  # a chunk of rows takes some seconds where GPUs are stood in for
GRACE = 2  # seconds after the deadline in which all must be over


class Faults:
    def __init__(self, program, mpiexec, launcher, directory, rng):
        self.program, self.mpiexec, self.gpu_launcher, self.directory, self.rng = program, mpiexec, launcher, directory, rng

    def mpirun(self, ranks, *arguments):
        return [self.mpiexec, "-n", ranks, self.program, *arguments]

    def on_gpus(self, ranks, *arguments):
        return [self.gpu_launcher, ranks, 600, self.program, *arguments]

    def run(self, command, seconds=60):
        return subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=seconds)

    def expect_refusal(self, parts, code, message):
        """One application context per (ranks, environment, arguments), as mpirun A : B starts them."""
        command = [self.mpiexec]
        for i, (ranks, environment, *arguments) in enumerate(parts):
            command += [":"] if i else []
            command += ["-n", ranks] + [x for e in environment for x in ("-x", e)] + [self.program, *arguments]
        result = self.run(command)
        said = messages(result.stderr)
        what = " ".join(map(str, command))
        check(result.returncode == code, f"{what}: code {result.returncode}, not {code}\n{result.stderr}")
        check(said == ["klmesh: " + message], f"{what}: {said}, not {message!r}")

    # --- scenarios ---

    def disagreement(self):
        """Ranks that were started for different jobs: 65 with one message, before a run directory is made."""
        a, b = write_config(self.directory, "a.toml"), write_config(self.directory, "b.toml", steps=601)
        run = self.directory / "run"
        train = ["train", a, "--run", run]
        refuse = self.expect_refusal
        refuse([(1, [], *train), (1, [], "train", b, "--run", run)], 65,
               "ranks disagree about mle.steps: 600 on rank 0; 601 on rank 1")
        refuse([(2, [], *train), (2, [], *train, "--set", "seed=9")], 65,
               "ranks disagree about seed: 1 on ranks 0-1; 9 on ranks 2-3")
        refuse([(1, ["KLMESH_RLHF__BETA=0.5"], *train), (2, [], *train, "--set", "rlhf.beta=0.25")], 65,
               "ranks disagree about rlhf.beta: 0.5 on rank 0; 0.25 on ranks 1-2")
        refuse([(1, [], *train), (1, [], "train", a, "--run", self.directory / "other")], 65,
               f"ranks disagree about --run: {run} on rank 0; {self.directory / 'other'} on rank 1")
        refuse([(1, [], *train, "--mesh", "1x2"), (1, [], *train, "--mesh", "2x1")], 65,
               "ranks disagree about --mesh: 1x2 on rank 0; 2x1 on rank 1")
        refuse([(1, [], *train), (1, [], "info")], 65, "ranks disagree about subcommand: train on rank 0; info on rank 1")
        refuse([(1, [], "--help"), (1, [], *train)], 65, "ranks disagree about subcommand: help on rank 0; train on rank 1")
        refuse([(1, [], *train), (1, [], "train", "/nonexistent.toml")], 66,
               "cannot open config file /nonexistent.toml (rank 1)")
        refuse([(1, [], *train), (1, [], "train", a, "--set", "mle.stepz=1")], 64,
               "--set mle.stepz=1: unknown key mle.stepz; did you mean mle.steps? (rank 1)")
        check(not run.exists(), "a run directory was made")

    def different_files(self):
        """`eval` of another file on one rank, of the same shape, of another, or of none."""
        paths = {name: self.directory / f"{name}.h5" for name in ("a", "b", "same", "short")}
        for seed, name in enumerate(("a", "b")):
            write_logits(paths[name], 64, 50, seed)
        write_logits(paths["short"], 63, 50)
        shutil.copy(paths["a"], paths["same"])
        for other in ("b", "short"):
            result = self.run([*self.mpirun(2, "eval", paths["a"]), ":", "-n", 1, self.program, "eval", paths[other]])
            said = messages(result.stderr)
            check(result.returncode == 65, f"{other}: code {result.returncode}\n{result.stderr}")
            check(len(said) == 1 and said[0].startswith("klmesh: ranks disagree about the input file: ")
                  and said[0].count(" bytes, contents ") == 2 and " on ranks 0-1; " in said[0]
                  and said[0].endswith(" on rank 2"), said)
        self.expect_refusal([(1, [], "eval", paths["a"], "--unit", "bits"), (1, [], "eval", paths["a"])], 65,
                            "ranks disagree about --unit: bits on rank 0; not given on rank 1")
        result = self.run([*self.mpirun(1, "eval", paths["a"]), ":", "-n", 1, self.program, "eval", "/nonexistent.h5"])
        check(result.returncode == 65 and "cannot be read: No such file or directory on rank 1" in result.stderr, result.stderr)
        result = self.run([*self.mpirun(1, "eval", paths["a"]), ":", "-n", 1, self.program, "eval", paths["same"]])
        check(result.returncode == 0, f"a copy of the file: {result.stderr}")

    def expect_end_of_stopped(self, job, ranks, victim):
        os.kill(job.ranks(ranks)[victim], signal.SIGSTOP)
        code, seconds, err = job.end(DEADLINE + 20)
        said = messages(err)
        check(code == 75, f"rank {victim} of {ranks} stopped: code {code}\n{err}")
        check(len(said) == 1, f"{len(said)} messages\n{err}")
        check(" number " in said[0] and " was not complete after 3.0 s" in said[0], said[0])
        check(said[0].endswith(f"; no word from rank {victim}"), said[0])
        check(seconds <= DEADLINE + GRACE, f"took {seconds:.1f} s")
        left = job.survivors()
        check(not left, f"ranks {left} survive")
        print(f"rank {victim} of {ranks} stopped: {seconds:.2f} s, {said[0]}")

    def stopped_train(self):
        config = write_config(self.directory, steps=100_000)
        for ranks, victim in ((2, 1), (3, 0), (4, 2)):
            run = self.directory / f"stopped-{ranks}"
            with Job(self.mpirun(ranks, "train", config, "--run", run, "--deadline", DEADLINE)) as job:
                job.wait_until(lambda: lines(run / "progress.jsonl") > 0, "first step")
                self.expect_end_of_stopped(job, ranks, victim)

    def stopped_eval(self):
        path = self.directory / "large.h5"
        write_endless_logits(path)
        # Parts of the batch have nothing to exchange in the pass itself.
        for ranks, victim, mesh in ((2, 0, "1x2"), (2, 1, "2x1"), (4, 3, "2x2")):
            with Job(self.mpirun(ranks, "eval", path, "--mesh", mesh, "--deadline", DEADLINE)) as job:
                job.ranks(ranks)
                time.sleep(3)
                self.expect_end_of_stopped(job, ranks, victim)

    def gpu_eval(self):
        """`eval` on GPUs, a rank stopped or killed in the middle of the file."""
        small, large = self.directory / "small.h5", self.directory / "large.h5"
        write_logits(small, 64, 50)
        write_endless_logits(large)
        # What is made of the kernels at their first run is then there.
        first = self.run(self.on_gpus(2, "eval", small, "--mesh", "1x2", "--backend", "cuda"), 600)
        if first.returncode == 77:
            print(first.stdout + first.stderr)
            sys.exit(77)
        check(first.returncode == 0, first.stderr)
        for ranks, victim, mesh, what in ((2, 1, "1x2", signal.SIGSTOP), (4, 0, "2x2", signal.SIGSTOP), (2, 0, "1x2", signal.SIGKILL)):
            command = self.on_gpus(ranks, "eval", large, "--mesh", mesh, "--backend", "cuda", "--quantities", "core",
                                   "--deadline", GPU_DEADLINE)
            with Job(command) as job:
                pids = job.ranks(ranks)
                time.sleep(6)
                os.kill(pids[victim], what)
                code, seconds, err = job.end(GPU_DEADLINE + 20)
                said = messages(err)
                print(f"rank {victim} of {ranks}, {what.name}: code {code} after {seconds:.2f} s, {said}", flush=True)
                check(seconds <= GPU_DEADLINE + GRACE, f"took {seconds:.1f} s")
                check(not job.survivors(3), "a rank survives")
                if what == signal.SIGKILL:  # the launcher ends the others before they notice
                    check(code != 0, "the job ended well")
                    continue
                check(code == 75, f"code {code}\n{err}")
                # By its own deadline, or, if it is blocked in a call for longer, by the watchdog's.
                check(said and re.match(r"klmesh: rank \d.* number \d+ (was not complete after|did not return within) 1\d\.\d s: "
                                        "a peer is lost, stopped or elsewhere", said[0]), said)

    def killed(self):
        """kill -9 of a random rank at random times, resumed on other meshes: the record of an uninterrupted run."""
        config = write_config(self.directory, steps=2000)  # more than seven legs do, as a rule
        whole, run = self.directory / "whole", self.directory / "killed"
        result = self.run([self.program, "train", config, "--run", whole])
        check(result.returncode == 0, result.stderr)
        what = ["train", config, "--run", run]
        kills = 0
        for ranks in [*self.rng.sample([1, 2, 3, 4], 4), *self.rng.sample([2, 3, 4], 3)]:
            with Job(self.mpirun(ranks, *what, "--mesh", MESHES[ranks])) as job:
                pids = job.ranks(ranks)
                known = set(generations(run))
                # The last of them may be done before there is a new one, and before the signal comes: both end with 0.
                job.wait_until(lambda: set(generations(run)) - known or job.process.poll() == 0, "new generation")
                time.sleep(self.rng.uniform(0, 0.3))
                victim = self.rng.randrange(ranks)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pids[victim], signal.SIGKILL)
                code, seconds, err = job.end(15)
                check(not job.survivors(3), "a rank survives")
                kills += code != 0
                print(f"rank {victim} of {ranks} killed: code {code} after {seconds:.2f} s, {lines(run / 'progress.jsonl')} steps")
                if code == 0:
                    break
            what = ["train", "--resume", run]
        check(kills > 0, "nothing was killed")
        result = self.run(self.mpirun(2, "train", "--resume", run, "--mesh", "2x1"))
        check(result.returncode == 0, result.stderr)
        check_same_record(run, whole)

    def launcher(self):
        """kill -9 of mpirun, with the ranks its children and behind a shell that survives it."""
        config = write_config(self.directory, steps=100_000)
        for name, wrapper in (("plain", []), ("wrapped", ["sh", "-c", '"$@"; true', "sh"])):
            run = self.directory / name
            command = [self.mpiexec, "-n", 3, *wrapper, self.program, "train", config, "--run", run]
            with Job(command) as job:
                pids = job.ranks(3)
                job.wait_until(lambda: lines(run / "progress.jsonl") > 0, "first step")
                os.kill(job.process.pid, signal.SIGKILL)
                start = time.monotonic()
                left = job.survivors(5)
                check(not left, f"{name}: ranks {left} of {pids} survive")
                print(f"{name}: all gone after {time.monotonic() - start:.2f} s")

    def terminated(self):
        """SIGTERM to mpirun: the job ends, and can go on to the same record."""
        config = write_config(self.directory)
        whole, run = self.directory / "whole", self.directory / "terminated"
        result = self.run([self.program, "train", config, "--run", whole])
        check(result.returncode == 0, result.stderr)
        with Job(self.mpirun(2, "train", config, "--run", run, "--mesh", "1x2")) as job:
            job.ranks(2)
            job.wait_until(lambda: generations(run), "generation")
            job.process.send_signal(signal.SIGTERM)
            code, seconds, err = job.end(15)
            check(not job.survivors(3), "a rank survives")
            print(f"code {code} after {seconds:.2f} s, {lines(run / 'progress.jsonl')} steps, {messages(err)}")
        result = self.run(self.mpirun(3, "train", "--resume", run, "--mesh", "3x1"))
        check(result.returncode == 0, result.stderr)
        check_same_record(run, whole)


SCENARIOS = ("disagreement", "different_files", "stopped_train", "stopped_eval", "gpu_eval", "killed", "launcher", "terminated")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--mpiexec", default="mpirun")
    parser.add_argument("--launcher", help="how programs are started on GPUs: tests/support/on_gpus.sh")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="klmesh-faults-") as directory:
        faults = Faults(options.program, options.mpiexec, options.launcher, pathlib.Path(directory), random.Random(options.seed))
        try:
            getattr(faults, options.scenario)()
        except (AssertionError, subprocess.TimeoutExpired):
            traceback.print_exc()
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
