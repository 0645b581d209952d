#!/usr/bin/env python3
"""klmesh against torch on the CPU: the same quantities and gradient of the same logits, in turn, in one run.

torch does what its users write: log_softmax of both sides, the core quantities from them, autograd for the gradient
of the mean kl_reverse; in the type that the logits have. klmesh is called through its C library. Every pair of
allocator and number of threads is a process of its own; `stock` is the C library's malloc as it comes, `warmed` keeps
freed memory (no mmap, no trim), which spares torch the page faults of its temporaries. Peak memory: what the process
grew by, one for each.
Exits with 77 where torch is missing.
"""
import argparse
import ctypes
import json
import os
import resource
import subprocess
import sys
import time

from klmesh_ctypes import BFLOAT, FLOAT, VALUES, Klmesh, Token

NOISE = 0.1
WARMED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(64 << 20)}
# torch's own rounding: absolute and relative differences that are torch's to answer for
TOLERANCE = {"fp32": (2e-4, 2e-4), "bf16": (0.25, 0.05)}


def torch_core(policy, reference, targets):
    """All core quantities, (rows) each, in the order of VALUES. kl_reverse alone keeps its graph."""
    import torch
    logp, logq = torch.log_softmax(policy, dim=-1), torch.log_softmax(reference, dim=-1)
    p = logp.exp()
    kl_reverse = (p * (logp - logq)).sum(-1)
    with torch.no_grad():
        q = logq.exp()
        kl_forward = (q * (logq - logp)).sum(-1)
        entropy_policy, entropy_reference = -(p * logp).sum(-1), -(q * logq).sum(-1)
        cross_policy_reference, cross_reference_policy = -(p * logq).sum(-1), -(q * logp).sum(-1)
        logp_y = logp.gather(-1, targets[:, None])[:, 0]
        logq_y = logq.gather(-1, targets[:, None])[:, 0]
        log_r = logq_y - logp_y
        k1, k2, k3 = -log_r, log_r * log_r / 2, torch.expm1(log_r) - log_r
    return (kl_reverse, kl_forward, entropy_policy, entropy_reference, cross_policy_reference,
            cross_reference_policy, logp_y, logq_y, k1, k2, k3)


class Case:
    """Logits of one shape and type, and both ways to their quantities."""

    def __init__(self, library, rows, vocab, dtype, threads):
        import torch
        torch.manual_seed(1)
        torch.set_num_threads(threads)
        self.dtype, self.rows, self.vocab = dtype, rows, vocab
        kind = torch.float32 if dtype == "fp32" else torch.bfloat16
        self.policy, self.reference = torch.empty(rows, vocab, dtype=kind), torch.empty(rows, vocab, dtype=kind)
        for row in range(rows):  # row by row: no temporary as large as the logits
            logits = 3 * torch.randn(vocab)
            self.policy[row] = logits
            self.reference[row] = logits + NOISE * torch.randn(vocab)
        self.targets = torch.randint(vocab, (rows,))
        self.output = None
        self.scales = torch.full((rows,), 1.0 / rows, dtype=torch.float64)
        self.tokens = (Token * rows)()
        ctypes.memset(self.tokens, 1, ctypes.sizeof(self.tokens))  # the caller's memory: there before, not extra
        self.engine = Klmesh(library, vocab)
        self.klmesh_threads = self.engine.use_threads(threads)
        self._torch = torch

    def _matrix(self, tensor):
        bits, code = (32, FLOAT) if self.dtype == "fp32" else (16, BFLOAT)
        return tensor.data_ptr(), self.rows, self.vocab, bits, code

    def torch_forward(self):
        with self._torch.no_grad():
            return torch_core(self.policy, self.reference, self.targets)

    def torch_gradient(self):
        policy = self.policy.detach().requires_grad_()
        torch_core(policy, self.reference, self.targets)[0].mean().backward()
        return policy.grad

    def klmesh_forward(self):
        self.engine.evaluate(self._matrix(self.policy), self._matrix(self.reference), self.targets.data_ptr(),
                             self.tokens)

    def klmesh_gradient(self):
        self.klmesh_forward()
        if self.output is None:
            self.output = self._torch.empty_like(self.policy)
        self.engine.gradient(self._matrix(self.policy), self._matrix(self.reference), self.targets.data_ptr(),
                             self.tokens, self.scales.data_ptr(), self._matrix(self.output))
        return self.output

    def work(self, name):
        return {"forward": (self.torch_forward, self.klmesh_forward),
                "forward+gradient": (self.torch_gradient, self.klmesh_gradient)}[name]

    def check_forward(self):
        """The largest difference of each quantity. Raises if one is not torch's rounding."""
        self.klmesh_forward()
        torch, (absolute, relative) = self._torch, TOLERANCE[self.dtype]
        differences = {}
        for name, theirs in zip(VALUES, self.torch_forward()):
            ours = torch.tensor([getattr(token, name) for token in self.tokens], dtype=torch.float64)
            difference = (ours - theirs.double()).abs()
            if not bool((difference <= absolute + relative * ours.abs()).all()):
                raise SystemExit(f"vs_torch.py: {name} differs by {difference.max().item():g}")
            differences[name] = difference.max().item()
        return differences

    def check_gradient(self):
        """The largest difference over the largest gradient."""
        theirs, ours = self.torch_gradient().float(), self.klmesh_gradient().float()
        difference = ((ours - theirs).abs().max() / ours.abs().max()).item()
        if not difference <= {"fp32": 1e-3, "bf16": 0.3}[self.dtype]:
            raise SystemExit(f"vs_torch.py: the gradients differ by {difference:g} of the largest")
        return difference


def seconds_of(work):
    start = time.perf_counter()
    result = work()
    elapsed = time.perf_counter() - start
    del result  # freed outside the timed part
    return elapsed


def spread(numbers):
    ordered = sorted(numbers)
    return {"median": ordered[len(ordered) // 2], "min": ordered[0], "max": ordered[-1]}


def compare(case, name, repeats, budget_seconds):
    """Rounds of torch, then klmesh; at least three, at most `repeats`, until the budget is used up."""
    theirs, ours = case.work(name)
    theirs(), ours()
    start, torch_seconds, klmesh_seconds = time.perf_counter(), [], []
    while len(torch_seconds) < repeats and (len(torch_seconds) < 3 or time.perf_counter() - start < budget_seconds):
        torch_seconds.append(seconds_of(theirs))
        klmesh_seconds.append(seconds_of(ours))
    pairs = case.rows * case.vocab
    return {"rounds": len(torch_seconds), "torch_ns_per_pair": spread(torch_seconds)["median"] * 1e9 / pairs,
            "klmesh_ns_per_pair": spread(klmesh_seconds)["median"] * 1e9 / pairs,
            "ratio": spread([a / b for a, b in zip(torch_seconds, klmesh_seconds)])}


def run_speed(options, shape):
    """In a child: all comparisons of one shape and type under this process's allocator."""
    rows, vocab, dtype = shape
    case = Case(options.library, rows, vocab, dtype, options.threads)
    agreement = {"forward": case.check_forward(), "gradient": case.check_gradient()}
    for name in ("forward", "forward+gradient"):
        result = compare(case, name, options.repeats, options.budget)
        yield {"work": name, "klmesh_threads": case.klmesh_threads, "differences": agreement, **result}


def reset_peak():
    """Gives freed memory back and makes the peak what the process holds now. @return that, in KB"""
    ctypes.CDLL(None).malloc_trim(0)  # or else work could hide in what making the inputs left
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_peak(options, shape):
    """In a child: bytes that the process grew by in one piece of work, above inputs and libraries."""
    rows, vocab, dtype = shape
    side, name = options.peak.split(":")
    index = 0 if side == "torch" else 1
    small = Case(options.library, 2, 1000, dtype, 1)
    small.work(name)[index]()  # what is loaded at the first call is not the work's
    case = Case(options.library, rows, vocab, dtype, 1)
    before = reset_peak()
    result = case.work(name)[index]()
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    del result
    yield {"extra_bytes": max(0, after - before) * 1024}


def in_child(options, shape, allocator, threads, peak=None):
    """Lines of JSON that a child of this script prints."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    environment.update(WARMED if allocator == "warmed" else {})
    environment.update({"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)})
    command = [sys.executable, os.path.abspath(__file__), "--library", options.library, "--threads", str(threads),
               "--repeats", str(options.repeats), "--budget", str(options.budget),
               "--child", ":".join(map(str, shape))] + (["--peak", peak] if peak else [])
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"vs_torch.py: {shape}, {allocator}, {threads} threads: the child ended with code {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def fits(shape, dtype):
    """torch keeps about nine matrices alive in forward + gradient."""
    with open("/proc/meminfo") as file:
        available = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    return 12 * shape[0] * shape[1] * (4 if dtype == "fp32" else 2) < available


def measure(options, table):
    print_head(table)
    for dtype in options.dtypes:
        for vocab in options.vocab:
            for rows in options.rows:
                shape = (rows, vocab, dtype)
                if not fits(shape, dtype):
                    print(f"# {dtype} {rows} x {vocab}: left out, needs more memory than there is", file=table)
                    continue
                for allocator in options.allocators:
                    for threads in options.thread_counts:
                        for result in in_child(options, shape, allocator, threads):
                            record = {"dtype": dtype, "rows": rows, "vocab_size": vocab, "allocator": allocator,
                                      "threads": threads, **result}
                            print_speed(record, table)
                            yield record


def measure_peaks(options, table):
    """At each type's first shape with the most rows; of the first type alone where it has to be quick."""
    print("#\n# memory that one call needs above its inputs (the gradient's output included)\n"
          "# type   rows   vocab             work       torch      klmesh    klmesh\n"
          "#                                             (MB)        (MB)   (B/row)", file=table)
    for dtype in options.dtypes[:1] if options.quick else options.dtypes:
        shape = (max(options.rows), options.vocab[0], dtype)
        if not fits(shape, dtype):
            continue
        for work in ("forward", "forward+gradient"):
            extra = {side: in_child(options, shape, "stock", 1, f"{side}:{work}")[0]["extra_bytes"]
                     for side in ("torch", "klmesh")}
            print("{:>6} {:6d} {:7d} {:>16} {:11.1f} {:11.2f} {:9.0f}".format(
                dtype, shape[0], shape[1], work, extra["torch"] / 1e6, extra["klmesh"] / 1e6,
                extra["klmesh"] / shape[0]), file=table, flush=True)
            yield {"dtype": dtype, "rows": shape[0], "vocab_size": shape[1], "work": work,
                   "torch_extra_bytes": extra["torch"], "klmesh_extra_bytes": extra["klmesh"]}


def print_head(table):
    print("# klmesh vs_torch: CPU, all core quantities; gradient of the mean kl_reverse\n"
          f"# logits 3 N(0,1), the reference {NOISE} N(0,1) away; ratio = torch time / klmesh time, of each round\n"
          "# type   rows   vocab             work allocator threads  klmesh       torch   klmesh    ratio     min"
          "     max rounds\n"
          "#                                               (torch) threads   (ns/pair)    (ns) (median)", file=table)


def print_speed(r, table):
    print("{dtype:>6} {rows:6d} {vocab_size:7d} {work:>16} {allocator:>9} {threads:7d} {klmesh_threads:7d} "
          "{torch_ns_per_pair:11.2f} {klmesh_ns_per_pair:8.3f} {0[median]:8.1f} {0[min]:7.1f} {0[max]:7.1f} {rounds:6d}"
          .format(r["ratio"], **r), file=table, flush=True)


def parse_arguments():
    def numbers(text):
        return [int(part) for part in text.split(",")]

    def words(text):
        return text.split(",")

    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--library", default=os.path.join(here, "..", "build", "src", "capi", "libklmesh_c.so"))
    parser.add_argument("--rows", type=numbers, default=[128, 512, 2048], metavar="R,R,...")
    parser.add_argument("--vocab", type=numbers, default=[50257, 32000, 128256], metavar="V,V,...")
    parser.add_argument("--dtypes", type=words, default=["fp32", "bf16"], metavar="fp32,bf16")
    parser.add_argument("--allocators", type=words, default=["stock", "warmed"], metavar="stock,warmed")
    parser.add_argument("--thread-counts", type=numbers, default=[1, 2], metavar="N,N,...")
    parser.add_argument("--repeats", type=int, default=9, help="rounds at most")
    parser.add_argument("--budget", type=float, default=15.0, help="seconds of a comparison after which it ends")
    parser.add_argument("--json", metavar="PATH", help="- for stdout alone")
    parser.add_argument("--quick", action="store_true", help="one small shape: seconds")
    for name in ("--child", "--peak"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.vocab, options.thread_counts, options.repeats = [16], [5003], [1], 3
        options.allocators = options.allocators[-1:]
    if not set(options.dtypes) <= {"fp32", "bf16"} or not set(options.allocators) <= {"stock", "warmed"}:
        parser.error("--dtypes are of fp32,bf16 and --allocators of stock,warmed")
    options.library = os.path.abspath(options.library)
    return options


def main():
    options = parse_arguments()
    try:
        import torch
    except ImportError as error:
        print(f"vs_torch.py: {error}; torch is needed (Debian: python3-torch), for {sys.executable}", file=sys.stderr)
        return 77
    if options.child:
        rows, vocab, dtype = options.child.split(":")
        run = run_peak if options.peak else run_speed
        for result in run(options, (int(rows), int(vocab), dtype)):
            print(json.dumps(result), flush=True)
        return 0
    table = sys.stderr if options.json == "-" else sys.stdout
    engine = Klmesh(options.library, 1)
    document = {"schema": "klmesh.vs_torch/1", "klmesh_version": engine.version(), "torch_version": torch.__version__}
    engine.close()
    document["results"] = list(measure(options, table))
    document["peak_memory"] = list(measure_peaks(options, table))
    if options.json == "-":
        print(json.dumps(document, indent=1))
    elif options.json:
        with open(options.json, "w") as file:
            file.write(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
