"""The program on two hosts: the results of one host, and an end when a host is cut off.

  hosts.py PROGRAM [--mpiexec mpirun]

The environment variable KLMESH_TEST_HOSTS holds a command that makes test hosts with a common file system: its arguments
`up 2`, `mpirun ARGS...`, `link kn2 down`, `down`. Exit code: 0 right, 1 wrong, 77 not set, hosts in use, or no h5py.
"""
import argparse
import os
import pathlib
import shlex
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

from job import Job, check, check_same_record, lines, lives, messages, write_config, write_logits

DEADLINE = 3
GRACE = 2
LAUNCHER = 4  # seconds that mpirun gets to end by itself


def run(command, seconds=60):
    return subprocess.run([str(c) for c in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=seconds)


def processes_of(directory):
    """All ranks whose command line names this directory, on whatever host."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "comm").read_text() == "klmesh\n" \
                    and str(directory).encode() in (entry / "cmdline").read_bytes() and lives(int(entry.name)):
                found.append(int(entry.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def wait_for_end_of(directory, seconds):
    end = time.monotonic() + seconds
    while (left := processes_of(directory)) and time.monotonic() < end:
        time.sleep(0.05)
    return left


class Hosts:
    def __init__(self, command, program, mpiexec, directory):
        self.command, self.program, self.mpiexec, self.directory = command, program, mpiexec, directory

    def on_two(self, *arguments):
        return [*self.command, "mpirun", "-n", 2, self.program, *arguments]

    def same_results(self):
        path = self.directory / "logits.h5"
        write_logits(path, 200, 321)
        arguments = ["eval", path, "--mesh", "1x2", "--json", "-"]
        one = run([self.mpiexec, "-n", 2, self.program, *arguments])
        two = run(self.on_two(*arguments))
        check(one.returncode == 0, one.stderr)
        check(two.returncode == 0, two.stderr)
        check(one.stdout == two.stdout and '"kl_reverse"' in one.stdout, f"eval differs:\n{one.stdout}\n{two.stdout}")
        config = write_config(self.directory, steps=30)
        for name, command in (("one", [self.program]), ("two", self.on_two())):
            result = run([*command, "train", config, "--run", self.directory / name])
            check(result.returncode == 0, result.stderr)
        check_same_record(self.directory / "two", self.directory / "one")

    def started(self, name):
        config = write_config(self.directory, "long.toml", steps=100_000)
        directory = self.directory / name
        job = Job(self.on_two("train", config, "--run", directory, "--deadline", DEADLINE))
        try:
            job.wait_until(lambda: lines(directory / "progress.jsonl") > 0, "first step")
        except BaseException:
            job.__exit__()
            raise
        return job, directory

    def cut_off(self):
        job, directory = self.started("cut")
        with job:
            check(len(processes_of(directory)) == 2, "not two ranks")
            run([*self.command, "link", "kn2", "down"])
            try:
                code, seconds, err = job.end(60)
                print(f"cut off: code {code} after {seconds:.2f} s, {messages(err)}")
                check(code != 0, "code 0")
                check(seconds <= DEADLINE + GRACE + LAUNCHER, f"took {seconds:.1f} s")
                check(len(messages(err)) == 1 and "was not complete after 3.0 s" in err, err)
                left = wait_for_end_of(directory, DEADLINE + 5)
                check(not left, f"processes {left} survive")
            finally:
                run([*self.command, "link", "kn2", "up"])

    def launcher_killed(self):
        job, directory = self.started("launcher")
        with job:
            os.kill(job.process.pid, signal.SIGKILL)
            start = time.monotonic()
            left = wait_for_end_of(directory, DEADLINE + 5)
            check(not left, f"processes {left} survive")
            print(f"launcher killed: all gone after {time.monotonic() - start:.2f} s")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--mpiexec", default="mpirun")
    options = parser.parse_args()
    command = shlex.split(os.environ.get("KLMESH_TEST_HOSTS", ""))
    if not command:
        print("skipped: KLMESH_TEST_HOSTS is not set")
        return 77
    with tempfile.TemporaryDirectory(prefix="klmesh-hosts-") as directory:
        command = ["env", f"TMPDIR={directory}", *command]
        up = run([*command, "up", 2])
        if up.returncode != 0:
            print(f"skipped: no test hosts: {up.stderr}")
            return 77
        try:
            hosts = Hosts(command, pathlib.Path(options.program).resolve(), options.mpiexec, pathlib.Path(directory))
            hosts.same_results()
            hosts.cut_off()
            hosts.launcher_killed()
        except (AssertionError, subprocess.TimeoutExpired):
            traceback.print_exc()
            return 1
        finally:
            run([*command, "down"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
