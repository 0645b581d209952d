"""Runs `klmesh eval` as its users do and judges it by the oracle.

  run_eval.py PROGRAM SUITE [--mpiexec mpirun] [--verbose]      SUITE: values, meshes, options, renyi, refusals,
                                                              refusals_on_meshes, or refusals_everywhere (minutes)
  run_eval.py PROGRAM gpus --backend cuda --launcher on_gpus.sh

Prints the worst error/bar of every quantity and every complaint. Exit code: 0 right, 1 wrong, 77 no h5py or no GPUs.
"""
import argparse
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import traceback

try:
    import h5py
    import numpy as np
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

import bad_files
import compare
import make_files
import oracle
from oracle import Options

GPU_REFUSALS = ["nan_in_policy_logits", "inf_in_reference_logits", "nothing_finite_in_policy_logits", "target_too_large",
                "target_impossible"]
SUBTREES = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "1x8", "3x1"]
OPEN_MPI = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
            "OMPI_MCA_rmaps_base_oversubscribe": "1", "OMPI_MCA_mpi_yield_when_idle": "1",
            "OMPI_MCA_hwloc_base_binding_policy": "none", "OPENBLAS_NUM_THREADS": "1"}


@dataclass
class Result:
    code: int
    out: str
    err: str


@dataclass
class Runner:
    program: str
    mpiexec: str
    backend: str = "cpu"
    launcher: str | None = None  # started as on_gpus.sh is: LAUNCHER RANKS SECONDS PROGRAM ARGS...

    def launch(self, ranks: int, *command: object) -> list[str]:
        """A command line that ends in time: the whole one."""
        if self.launcher:
            return [self.launcher, str(ranks if ranks > 1 else 0), "240", *map(str, command)]
        return ["timeout", "-k", "5", "60", *([self.mpiexec, "-n", str(ranks)] if ranks > 1 else []), *map(str, command)]

    def is_missing(self, ranks: int) -> str | None:
        """Why the launcher cannot start so many ranks, if it says so."""
        done = subprocess.run(self.launch(ranks, "true"), capture_output=True, text=True, env=os.environ | OPEN_MPI)
        return done.stdout.strip() or "no GPUs" if done.returncode == 77 else None

    def run(self, mesh: str, *arguments: object, ranks: int | None = None) -> Result:
        """1x1 without a launcher: the program alone is one rank."""
        batch, vocab = map(int, mesh.split("x"))
        command = self.launch(ranks or batch * vocab, self.program, "eval", "--mesh", mesh, "--backend", self.backend,
                              *arguments)
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | OPEN_MPI)
        return Result(done.returncode, done.stdout, done.stderr)


def flags(options: Options) -> list[str]:
    given = []
    for name, value in vars(options).items():
        if value != getattr(Options(), name):
            given += [f"--{name.replace('_', '-')}"] + ([] if value is True else [str(value)])
    return given


def rows_of(path: pathlib.Path) -> int:
    with h5py.File(path) as file:
        return len(file["policy_logits" if "policy_logits" in file else "logp_policy"])


def without_mesh(document: dict) -> str:
    return compare.json.dumps({key: value for key, value in document.items() if key not in compare.MESH_KEYS})


class Suite:
    """Runs wait for launchers more than they compute, so several go on at a time."""

    def __init__(self, runner: Runner, folder: pathlib.Path) -> None:
        self.runner, self.folder, self.verdict = runner, folder, compare.Verdict()
        self.pool, self.jobs = ThreadPoolExecutor(1 if runner.launcher else 4), []

    def later(self, job: Callable, *arguments: object, **named: object) -> None:
        self.jobs.append(self.pool.submit(job, *arguments, **named))

    def finish(self) -> None:
        for job in self.jobs:
            if job.exception() is not None:
                self.complain("".join(traceback.format_exception(job.exception())[-3:]))

    def complain(self, text: str) -> None:
        self.verdict.complain(text)

    def document(self, path: pathlib.Path, mesh: str, options: Options = Options(), *more: object) -> dict | None:
        """The document on standard output, its mesh and form checked; None if the program failed."""
        where = f"{path.name} {mesh} {' '.join(flags(options))}"
        result = self.runner.run(mesh, path, "--json", "-", *flags(options), *more)
        if result.code != 0:
            self.complain(f"{where}: exit code {result.code}: {result.err.strip()}")
            return None
        try:
            document = compare.strict_json(result.out)
        except ValueError as error:
            self.complain(f"{where}: standard output is no JSON ({error}): {result.out[:200]}")
            return None
        compare.check_shortest(result.out, self.verdict, where)
        batch, vocab = map(int, mesh.split("x"))
        for key, value in (("mesh", {"batch": batch, "vocab": vocab}), ("backend", self.runner.backend),
                           ("reproducible", vocab & (vocab - 1) == 0 or document.get("exact") is None)):
            if document.get(key) != value:
                self.complain(f"{where}.{key}: {document.get(key)}, expected {value}")
        return document

    def judge(self, path: pathlib.Path, mesh: str, options: Options = Options()) -> dict | None:
        """One run with --per-token: the document and every token against the oracle, and against each other."""
        where = f"{path.name} {mesh} {' '.join(flags(options))}".strip()
        tokens_path = self.folder / f"tokens.{threading.get_ident()}.out.h5"
        tokens_path.unlink(missing_ok=True)
        document = self.document(path, mesh, options, "--per-token", tokens_path)
        if document is None:
            return None
        expected, tokens = oracle.document(str(path), options)
        compare.compare_document(expected, document, options, where, self.verdict)
        written = compare.compare_tokens(tokens, tokens_path, rows_of(path), options, where, self.verdict)
        compare.check_consistent(written, document, where, self.verdict)
        return document

    def same_everywhere(self, path: pathlib.Path, meshes: list[str], options: Options = Options()) -> None:
        self.expect_same(path, {mesh: self.document(path, mesh, options) for mesh in meshes})

    def judge_everywhere(self, path: pathlib.Path, meshes: list[str], options: Options = Options()) -> None:
        """Within the bars on every mesh, and the same bits."""
        self.expect_same(path, {mesh: self.judge(path, mesh, options) for mesh in meshes})

    def expect_same(self, path: pathlib.Path, documents: dict) -> None:
        texts = {mesh: without_mesh(document) for mesh, document in documents.items() if document is not None}
        for mesh in texts:
            if texts[mesh] != texts[next(iter(texts))]:
                self.complain(f"{path.name}: {mesh} and {next(iter(texts))} differ: "
                              + first_difference(texts[mesh], texts[next(iter(texts))]))


def first_difference(a: str, b: str) -> str:
    place = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return f"...{a[max(0, place - 60):place + 30]}... against ...{b[max(0, place - 60):place + 30]}..."


def values(suite: Suite) -> None:
    """Every kind of file, once, the meshes in turn."""
    meshes = ["1x1", "1x2", "2x1", "1x1", "1x3", "2x2"]
    for i, path in enumerate(make_files.good_files(suite.folder)):
        suite.later(suite.judge, path, meshes[i % len(meshes)])
    suite.later(suite.judge, make_files.large_file(suite.folder), "1x1")
    suite.later(suite.judge, make_files.long_file(suite.folder), "1x4")


def meshes(suite: Suite) -> None:
    """The same bits on every mesh of whole subtrees, within the bars on the others."""
    made = {path.stem: path for path in make_files.good_files(suite.folder)}
    for name in ("types_4_f4", "layout_1", "masked_f4"):
        suite.later(suite.same_everywhere, made[name], SUBTREES)
    for name in ("infinite", "small_2x16", "layout_2", "logp", "double"):
        suite.later(suite.same_everywhere, made[name], ["1x1", "2x2", "4x1"])
    suite.later(suite.same_everywhere, make_files.long_file(suite.folder), ["1x4", "2x2"])
    suite.later(suite.judge, made["layout_3"], "2x1")
    for name in ("types_4_f4", "small_3x1"):
        suite.later(suite.judge, made[name], "1x3")
        suite.later(suite.judge, made[name], "1x8")
    suite.later(suite.same_everywhere, make_files.skip_file(suite.folder), ["1x1", "2x2", "3x1"], Options(skip_invalid=True))


def options(suite: Suite) -> None:
    made = {path.stem: path for path in make_files.good_files(suite.folder)}
    bits = Options(unit="bits")
    for name in ("layout_0", "types_5_f8", "logp"):
        suite.later(suite.judge, made[name], "1x2" if name != "logp" else "2x1", bits)
    suite.later(suite.judge, made["layout_1"], "2x1", Options(quantities="core"))
    suite.later(suite.judge, made["infinite"], "1x1", Options(quantities="core", unit="bits"))
    suite.later(suite.judge, made["types_3_f4"], "1x2", Options(policy_scale=0.7, reference_scale=0.7))
    suite.later(suite.judge, made["layout_3"], "1x1", Options(policy_scale=0.5, reference_scale=1.25))
    suite.later(suite.judge, made["double"], "1x1", Options(policy_scale=0.7, reference_scale=0.7))
    suite.later(suite.judge, made["bare"], "1x1", Options(policy_scale=1.5))
    suite.later(suite.judge, make_files.skip_file(suite.folder), "2x2", Options(skip_invalid=True))
    skip_logp = make_files.skip_logp_file(suite.folder)
    suite.later(suite.judge, skip_logp, "1x3", Options(skip_invalid=True))
    suite.later(expect, suite, "1x2", [skip_logp, "--json", "-"], 65, ["logp_policy: row 3"])
    for aggregate in ("sequence-mean", "sequence-sum"):
        given = Options(aggregate=aggregate, unit="bits" if aggregate == "sequence-sum" else "nats")
        suite.later(suite.judge, made["layout_0"], "2x2", given)
        suite.later(suite.judge, made["logp"], "2x1", given)
        suite.later(suite.judge, made["infinite"], "1x2", given)
        suite.later(suite.judge, made["bare"], "1x1", given)
    suite.later(suite.same_everywhere, made["layout_0"], ["1x1", "2x2", "4x1"], Options(aggregate="sequence-mean"))
    suite.later(outputs, suite, made["layout_0"])
    usage(suite, made["layout_0"])


def renyi(suite: Suite) -> None:
    """Orders on both sides of 1, near it and at it, on every kind of file."""
    made = {path.stem: path for path in make_files.good_files(suite.folder)}
    names = ["layout_0", "types_4_f4", "types_5_f8", "masked_f4", "infinite", "double", "small_3x1"]
    for i, alpha in enumerate((0.5, 2.0, 0.25, 1.0, 10.0, 0.999, 1.001)):
        suite.later(suite.judge, made[names[i]], ["1x1", "1x2", "2x1"][i % 3], Options(renyi=alpha))
        suite.later(suite.judge, made["infinite"], "1x2", Options(renyi=alpha, quantities="core", unit="bits"))
        suite.later(suite.judge, made["masked_f4"], "1x1", Options(renyi=alpha, policy_scale=0.7, reference_scale=1.3))
    suite.later(suite.judge, made["logp"], "1x1", Options(renyi=2.0))
    suite.later(suite.same_everywhere, made["layout_0"], ["1x1", "2x2", "1x4"],
                Options(renyi=1.5, aggregate="sequence-sum"))


def gpus(suite: Suite) -> None:
    """Every type, padded columns, masks, sequences, infinities and invalid rows, with one GPU per rank."""
    made = {path.stem: path for path in make_files.good_files(suite.folder)}
    everywhere = ["1x1", "1x2", "2x2", "1x4"]
    for name in ("types_0_f2", "types_2_bf16", "types_4_f4", "layout_1", "infinite"):
        suite.later(suite.judge_everywhere, made[name], everywhere)
    suite.later(suite.judge_everywhere, made["types_5_f8"], ["1x1", "1x2"])
    suite.later(suite.judge_everywhere, made["behind_the_mask"], ["1x1", "2x2"])
    suite.later(suite.judge_everywhere, made["small_3x1"], ["1x1", "1x4"])  # ranks without columns
    suite.later(suite.judge_everywhere, make_files.skip_file(suite.folder), ["1x1", "2x2"], Options(skip_invalid=True))
    suite.later(suite.judge_everywhere, made["layout_0"], ["1x1", "2x2"],
                Options(renyi=0.5, policy_scale=0.7, reference_scale=1.3, aggregate="sequence-mean"))
    suite.later(suite.judge_everywhere, made["masked_f4"], ["1x1", "1x2"], Options(quantities="core", unit="bits"))
    for bad in bad_files.bad_files(suite.folder):
        if bad.path.stem in GPU_REFUSALS:
            suite.later(refuse, suite, bad, ["1x1", "2x2"])


def outputs(suite: Suite, path: pathlib.Path) -> None:
    """--json PATH writes what --json - prints, the table goes to standard output; an output that fails is 74."""
    json_path = suite.folder / "out.json"
    result = suite.runner.run("1x2", path, "--json", json_path)
    printed = suite.document(path, "1x2")
    if result.code != 0 or compare.strict_json(json_path.read_text()) != printed:
        suite.complain(f"--json PATH: code {result.code}, differs from --json -: {result.err}")
    if "kl_reverse" not in result.out:
        suite.complain(f"no table on standard output: {result.out[:300]}")
    for flag in ("--json", "--per-token"):
        for mesh in ("1x1", "2x1"):
            expect(suite, mesh, [path, flag, suite.folder / "no/such/folder/out"], 74, ["no/such/folder"])


def usage(suite: Suite, path: pathlib.Path) -> None:
    for arguments in (["--unit", "bans"], ["--quantities", "some"], ["--policy-scale", "0"],
                      ["--reference-scale", "-1"], ["--policy-scale", "nan"], ["--reference-scale", "inf"],
                      ["--backend", "abacus"], ["--frobnicate"], ["--renyi", "0"], ["--renyi", "nan"], ["--aggregate", "mean"]):
        suite.later(expect, suite, "1x1", [path, *arguments], 64, [])
    suite.later(expect, suite, "2x2", [path], 64, [], ranks=2)
    suite.later(expect, suite, "1x65", [path], 64, [], ranks=1)
    suite.later(expect, suite, "1x1", [], 64, [])
    if not pathlib.Path("/dev/nvidia0").exists():
        suite.later(expect, suite, "1x1", [path, "--backend", "cuda"], 69, ["--backend cuda"])
        suite.later(expect, suite, "2x1", [path, "--backend", "cuda"], 69, ["--backend cuda"])


def messages(stderr: str) -> list[str]:
    """Lines of standard error without mpirun's notices, which stand between rules of dashes."""
    lines, inside = [], False
    for line in stderr.splitlines():
        if re.fullmatch(r"-{10,}", line):
            inside = not inside
        elif not inside and line.strip() and not re.match(r"\[[\w.-]+:\d+\]", line):
            lines.append(line)
    return lines


def expect(suite: Suite, mesh: str, arguments: list, code: int, words: list[str], ranks: int | None = None) -> str:
    """A refusal: the exit code, nothing on standard output, one message that holds the words."""
    result = suite.runner.run(mesh, *arguments, ranks=ranks)
    where = f"{mesh} {' '.join(getattr(x, 'name', str(x)) for x in arguments)}"
    said = messages(result.err)
    if result.code != code:
        suite.complain(f"{where}: exit code {result.code}, expected {code}: {' | '.join(said)}")
    if result.out.strip() and code != 64:
        suite.complain(f"{where}: standard output holds {result.out[:100]!r}")
    if len(said) != 1 and not (code == 64 and said):
        suite.complain(f"{where}: {len(said)} lines on standard error, expected one: {' | '.join(said)[:600]}")
    for word in words:
        if not re.search(word, " ".join(said)):
            suite.complain(f"{where}: the message lacks {word!r}: {' | '.join(said)[:300]}")
    return said[0] if said else ""


def refusals(suite: Suite) -> None:
    """Wrong data, which one rank alone may see, on several ranks; wrong files mostly on one."""
    for i, bad in enumerate(bad_files.bad_files(suite.folder)):
        data = bad_files.ROW_WORD in bad.words
        suite.later(refuse, suite, bad, [["2x2", "1x2", "2x1"][i % 3] if data or i % 6 == 0 else "1x1"])


def refuse(suite: Suite, bad: bad_files.Bad, meshes: list[str]) -> None:
    """The message is the same on every mesh, but for the rank."""
    words = [re.escape(bad.path.name), *bad.words]
    said = {re.sub(r"( \()?rank \d+(: |\))?", "", expect(suite, mesh, [bad.path, "--json", "-"], bad.code, words))
            for mesh in meshes}
    if len(said) > 1:
        suite.complain(f"{bad.path.name}: the message depends on the mesh: {said}")


def refusals_on_meshes(suite: Suite) -> None:
    """Some of every kind, where several ranks could each say something else."""
    for bad in bad_files.bad_files(suite.folder)[::5]:
        suite.later(refuse, suite, bad, ["1x1", "2x2", "1x3"])


def refusals_everywhere(suite: Suite) -> None:
    """Not run by ctest: minutes."""
    for bad in bad_files.bad_files(suite.folder):
        suite.later(refuse, suite, bad, ["1x1", "1x2", "2x1", "2x2", "1x3"])


def report(verdict: compare.Verdict, verbose: bool) -> None:
    for quantity, (ratio, where) in sorted(verdict.worst.items()):
        print(f"{quantity or 'other':32} worst error/bar {ratio:.3g} at {where}")
    for text in verdict.complaints if verbose else verdict.complaints[:40]:
        print("WRONG", text)
    print(f"{len(verdict.complaints)} complaints")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    suites = {f.__name__: f for f in (values, meshes, options, renyi, gpus, refusals, refusals_on_meshes,
                                         refusals_everywhere)}
    parser.add_argument("program")
    parser.add_argument("suite", choices=suites)
    parser.add_argument("--mpiexec", default="mpirun")
    parser.add_argument("--backend", default="cpu")
    parser.add_argument("--launcher", help="LAUNCHER RANKS SECONDS PROGRAM ARGS... instead of mpiexec")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    runner = Runner(given.program, given.mpiexec, given.backend, given.launcher)
    if runner.launcher and (missing := runner.is_missing(ranks=4)):
        print(missing)
        return 77
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(runner, pathlib.Path(folder))
        suites[given.suite](suite)
        suite.finish()
    report(suite.verdict, given.verbose)
    return 1 if suite.verdict.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
