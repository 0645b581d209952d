"""Runs `klmesh eval` as its users do and judges it by the oracle.

  run_eval.py PROGRAM SUITE [--mpiexec mpirun] [--verbose]      SUITE: values, meshes, options, refusals, or
                                                              refusals_everywhere (minutes)

Prints the worst error/bar of every quantity and every complaint. Exit code: 0 right, 1 wrong, 77 no h5py.
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

    def run(self, mesh: str, *arguments: object, ranks: int | None = None) -> Result:
        """1x1 without a launcher: the program alone is one rank."""
        batch, vocab = map(int, mesh.split("x"))
        n = ranks or batch * vocab
        command = [self.program, "eval", "--mesh", mesh, *map(str, arguments)]
        if n > 1:
            command = [self.mpiexec, "-n", str(n), *command]
        done = subprocess.run(["timeout", "-k", "5", "60", *command], capture_output=True, text=True,
                              env=os.environ | OPEN_MPI)
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
        self.pool, self.jobs = ThreadPoolExecutor(4), []

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
        for key, value in (("mesh", {"batch": batch, "vocab": vocab}), ("backend", "cpu"),
                           ("reproducible", vocab & (vocab - 1) == 0 or document.get("exact") is None)):
            if document.get(key) != value:
                self.complain(f"{where}.{key}: {document.get(key)}, expected {value}")
        return document

    def judge(self, path: pathlib.Path, mesh: str, options: Options = Options()) -> None:
        """One run with --per-token: the document and every token against the oracle, and against each other."""
        where = f"{path.name} {mesh} {' '.join(flags(options))}".strip()
        tokens_path = self.folder / f"tokens.{threading.get_ident()}.out.h5"
        tokens_path.unlink(missing_ok=True)
        document = self.document(path, mesh, options, "--per-token", tokens_path)
        if document is None:
            return
        expected, tokens = oracle.document(str(path), options)
        compare.compare_document(expected, document, options, where, self.verdict)
        written = compare.compare_tokens(tokens, tokens_path, rows_of(path), options, where, self.verdict)
        compare.check_consistent(written, document, where, self.verdict)

    def same_everywhere(self, path: pathlib.Path, meshes: list[str], options: Options = Options()) -> None:
        documents = {mesh: self.document(path, mesh, options) for mesh in meshes}
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
    suite.later(outputs, suite, made["layout_0"])
    usage(suite, made["layout_0"])


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
                      ["--backend", "abacus"], ["--frobnicate"]):
        suite.later(expect, suite, "1x1", [path, *arguments], 64, [])
    suite.later(expect, suite, "2x2", [path], 64, [], ranks=2)
    suite.later(expect, suite, "1x65", [path], 64, [], ranks=1)
    suite.later(expect, suite, "1x1", [], 64, [])
    if not pathlib.Path("/dev/nvidia0").exists():
        suite.later(expect, suite, "1x1", [path, "--backend", "cuda"], 69, [])


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
    suites = {f.__name__: f for f in (values, meshes, options, refusals, refusals_everywhere)}
    parser.add_argument("program")
    parser.add_argument("suite", choices=suites)
    parser.add_argument("--mpiexec", default="mpirun")
    parser.add_argument("--verbose", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        suite = Suite(Runner(given.program, given.mpiexec), pathlib.Path(folder))
        suites[given.suite](suite)
        suite.finish()
    report(suite.verdict, given.verbose)
    return 1 if suite.verdict.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
