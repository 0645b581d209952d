#!/usr/bin/env python3
"""The communication layer at 8 to 4,096 ranks of simulated clusters, beside the alpha-beta model.

Runs build/bench/simulated under SimGrid's smpirun on a fat tree and a dragonfly of 4,096 hosts. What is simulated is
the network: who sends what to whom, contention, topology. Times are not those of any real cluster. Computing costs
nothing. alpha (latency) and beta (time per byte) of the model come from ping-pongs on the same platform.
"""
import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile

PARTIAL_BYTES, NORMALIZER_BYTES, BASELINE_COLLECTIVES = 104, 32, 12
BUFFER_BYTES = 1.5e9  # of all simulated ranks together, which share this machine's memory
FLOWS = 10000  # at once across switches: what they take from each other costs the simulator their square
HOST = 'speed="1Gf" bw="12.5GBps" lat="500ns" loopback_bw="100GBps" loopback_lat="100ns"'
TOPOLOGIES = {
    # 16 hosts a switch, 16 switches a block, 16 blocks; every level above the first has half the bandwidth below it
    "fat_tree": 'topology="FAT_TREE" topo_parameters="3;16,16,16;1,8,8;1,1,1"',
    # 16 groups of 16 chassis of 4 routers of 4 hosts
    "dragonfly": 'topology="DRAGONFLY" topo_parameters="16,4;16,2;4,2;4"',
}
HOSTS = 4096
SIMULATION = [
    "--cfg=smpi/coll-selector:ompi", "--cfg=smpi/reduce:binomial", "--cfg=smpi/bcast:binomial_tree",
    "--cfg=contexts/factory:raw", "--cfg=network/crosstraffic:0", "--cfg=smpi/simulate-computation:no",
    "--log=root.thres:warning",
    # links as they are, not corrected towards one measured cluster; 0.3 us of each side's processor per message
    "--cfg=smpi/bw-factor:0:1", "--cfg=smpi/lat-factor:0:1",
    "--cfg=smpi/os:0:3e-7:0", "--cfg=smpi/ois:0:3e-7:0", "--cfg=smpi/or:0:3e-7:0",
]


def write_platform(directory, topology):
    path = os.path.join(directory, topology + ".xml")
    with open(path, "w") as file:
        file.write(
            "<?xml version='1.0'?>\n"
            '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">\n'
            '<platform version="4.1"><zone id="world" routing="Full">\n'
            f'<cluster id="cluster" prefix="n" suffix="" radical="0-{HOSTS - 1}" {HOST} {TOPOLOGIES[topology]}/>\n'
            "</zone></platform>\n")
    return path


def write_hosts(directory):
    path = os.path.join(directory, "hosts")
    with open(path, "w") as file:
        file.writelines(f"n{i}\n" for i in range(HOSTS))
    return path


def cases_of(ranks, vocab_parts, row_counts):
    """MESH:ROWS,... arguments of `simulated`, as far as the buffers fit."""
    cases = []
    for vocab in vocab_parts:
        if ranks % vocab or (vocab > 16 and ranks * (vocab - 1) > FLOWS):
            continue
        fitting = [r for r in row_counts if ranks * r * vocab * PARTIAL_BYTES * 2 <= BUFFER_BYTES]
        if fitting:
            cases.append(f"{ranks // vocab}x{vocab}:" + ",".join(map(str, fitting)))
    return cases


def simulate(program, platform, hosts, ranks, cases):
    """What `simulated` reports, one dictionary per line. The program has no mutable globals to keep apart."""
    command = ["smpirun", "-quiet", "-no-privatize", "-np", str(ranks), "-platform", platform, "-hostfile", hosts]
    done = subprocess.run(command + SIMULATION + [program] + cases, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"simulated.py: {ranks} ranks ended with code {done.returncode}:\n{done.stderr[-2000:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def alpha_beta(record, ranks, near, far):
    """Microseconds by the alpha-beta model, of the algorithms that are used: trees, and linear exchanges."""
    vocab, rows = record["vocab"], record.get("rows", 0)
    latency, per_byte = near if vocab <= 16 else far
    block = -(-rows // vocab)
    tree = 2 * math.ceil(math.log2(vocab)) * latency if vocab > 1 else 0.0
    if record["case"] == "exchange":
        agree = tree
        if record["schedule"] == "gather":
            return agree + latency + (vocab - 1) * rows * PARTIAL_BYTES * per_byte
        return agree + 2 * latency + (vocab - 1) * block * (PARTIAL_BYTES + NORMALIZER_BYTES) * per_byte
    if record["case"] == "baseline":
        return record["collectives"] * math.ceil(math.log2(vocab)) * (latency + 4 * rows * per_byte)
    depth = 2 * math.ceil(math.log2(ranks))  # up and down the tree; the agreement, the sums, the maxima
    return depth * (3 * far[0] + record["bytes"] * far[1])


def bytes_received(record):
    """By a rank, for the rows of one batch part; agreement not counted."""
    vocab, rows = record["vocab"], record["rows"]
    block = -(-rows // vocab)
    if record["schedule"] == "gather":
        return (vocab - 1) * rows * PARTIAL_BYTES
    return (vocab - 1) * block * (PARTIAL_BYTES + NORMALIZER_BYTES)


def results_of(topology, ranks, records):
    pings = [(r["alpha_us"], r["beta_us_per_byte"]) for r in records if r["case"] == "ping_pong"]
    near, far = pings[0], pings[-1]
    baselines = {(r["vocab"], r["rows"]): r["us"] for r in records if r["case"] == "baseline"}
    results = []
    for record in records:
        if record["case"] == "ping_pong":
            continue
        result = {"topology": topology, "ranks": ranks, **record, "model_us": alpha_beta(record, ranks, near, far)}
        if record["case"] == "exchange":
            result["us"] = record["agree_us"] + record["send_us"] + record["share_us"]
            result["bytes_received"] = bytes_received(record)
            result["baseline_us"] = baselines[record["vocab"], record["rows"]]
        result["simulated_over_model"] = result["us"] / result["model_us"]
        results.append(result)
    return results, {"topology": topology, "ranks": ranks, "near": near, "far": far}


def print_results(results, links, out):
    print("# klmesh simulated: communication alone, on simulated networks; no real cluster was timed", file=out)
    for link in links:
        print("# {topology} {ranks} ranks: alpha {0:.2f} us near, {1:.2f} us far; beta {2:.3f} ns per KB"
              .format(link["near"][0], link["far"][0], link["far"][1] * 1e6, **link), file=out)
    print("#\n# the exchange of one batch part's rows: agreement, partials, normalisers back (by_rows)", file=out)
    print("# topology   ranks    mesh    rows schedule   received simulated    model sim/model  baseline  "
          "base/sim errors", file=out)
    print("#                                                    B        us       us                  us"
          "                 ", file=out)
    for r in results:
        if r["case"] == "exchange":
            print("{topology:>10} {ranks:7d} {mesh:>7} {rows:7d} {schedule:>8} {bytes_received:10d} {us:9.1f} "
                  "{model_us:8.1f} {simulated_over_model:9.2f} {baseline_us:9.1f} {gain:9.2f} {errors:6d}"
                  .format(mesh=f'{r["batch"]}x{r["vocab"]}', gain=r["baseline_us"] / r["us"], **r), file=out)
    print("#\n# the statistics of a step over the world: agreement, sums, maxima", file=out)
    print("# topology   ranks    mesh      bytes simulated    model sim/model errors", file=out)
    print("#                                   B        us       us                 ", file=out)
    for r in results:
        if r["case"] == "reduction":
            print("{topology:>10} {ranks:7d} {mesh:>7} {bytes:10d} {us:9.1f} {model_us:8.1f} "
                  "{simulated_over_model:9.2f} {errors:6d}"
                  .format(mesh=f'{r["batch"]}x{r["vocab"]}', **r), file=out)
    errors = sum(r.get("errors", 0) for r in results)
    print(f"#\n# errors: {errors}{' OK' if errors == 0 else ' FAILED'}", file=out)
    return errors


def parse_arguments():
    def numbers(text):
        return [int(part) for part in text.split(",")]

    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default=os.path.join(here, "..", "build", "bench", "simulated"))
    parser.add_argument("--ranks", type=numbers, default=[8, 64, 512, 4096], metavar="N,N,...")
    parser.add_argument("--vocab", type=numbers, default=[2, 8, 64], metavar="V,V,...", help="vocabulary parts")
    parser.add_argument("--rows", type=numbers, default=[16, 256, 1024], metavar="R,R,...", help="of a batch part")
    parser.add_argument("--topology", choices=sorted(TOPOLOGIES), action="append")
    parser.add_argument("--json", metavar="PATH", help="- for stdout alone")
    parser.add_argument("--quick", action="store_true", help="8 ranks, two meshes: seconds")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.ranks, arguments.vocab, arguments.rows = [8], [2, 8], [16, 100]
    if min(arguments.ranks) < 2 or max(arguments.ranks) > HOSTS:
        parser.error(f"--ranks: from 2 to {HOSTS}")
    return arguments


def main():
    arguments = parse_arguments()
    if not shutil.which("smpirun") or not os.path.exists(arguments.program):
        print("simulated.py: needs smpirun (libsimgrid-dev) and", arguments.program, file=sys.stderr)
        return 77
    results, links = [], []
    with tempfile.TemporaryDirectory() as directory:
        hosts = write_hosts(directory)
        for topology in arguments.topology or sorted(TOPOLOGIES):
            platform = write_platform(directory, topology)
            for ranks in arguments.ranks:
                print(f"simulated.py: {topology}, {ranks} ranks", file=sys.stderr)
                cases = cases_of(ranks, arguments.vocab, arguments.rows)
                records = simulate(os.path.abspath(arguments.program), platform, hosts, ranks, cases)
                more, link = results_of(topology, ranks, records)
                results += more
                links.append(link)
    errors = print_results(results, links, sys.stderr if arguments.json == "-" else sys.stdout)
    if arguments.json:
        text = json.dumps({"schema": "klmesh.simulated/1", "simulated": True, "links": links, "results": results},
                          indent=1)
        if arguments.json == "-":
            print(text)
        else:
            with open(arguments.json, "w") as file:
                file.write(text + "\n")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
