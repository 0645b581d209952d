"""A benchmark from outside: it runs, its results have the promised form, and it found no error.

run_bench.py OUT.json COMMAND...: runs COMMAND --json OUT.json. A command that is skipped (77) skips the test.
"""
import json
import math
import os
import subprocess
import sys


def require(condition, what):
    if not condition:
        sys.exit(f"run_bench.py: {what}")


def numbers_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from numbers_in(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield value


def check_scaling(document):
    ranks = document["ranks"]
    meshes = {(r["mode"], r["batch"], r["vocab"], r["schedule"]) for r in document["results"]}
    require({("strong", 1, 1, "none"), ("weak", 1, 1, "none")} <= meshes, "no mesh of one rank")
    require(ranks == 1 or ("strong", 1, ranks, "by_rows") in meshes, "the vocabulary is not split over all ranks")
    require(len({r["kl_reverse_mean"] for r in document["results"] if r["mode"] == "strong" and r["vocab"] in (1, 2, 4)})
            == 1, "the mean KL depends on the mesh")
    require(all(r["klmesh"]["total_ms"] > 0 and r["baseline"]["compute_ms"] > 0 for r in document["results"]), "no time")
    require(all(r["received_bytes_per_row"] > 100 for r in document["results"] if r["schedule"] == "gather"), "no bytes")
    require(ranks == 1 or document["exchange"], "no exchange alone")
    parts = {r["vocab"]: r["received_bytes"] for r in document["exchange"]
             if r["schedule"] == "gather" and r["rows"] == 33}
    require(all(count == (vocab - 1) * 33 * 104 for vocab, count in parts.items()), f"bytes of a gather: {parts}")


def check_simulated(document):
    results = [r for r in document["results"] if r["case"] == "exchange"]
    require({r["topology"] for r in results} == {"fat_tree", "dragonfly"}, "a topology is missing")
    require({r["schedule"] for r in results} == {"gather", "by_rows"}, "a schedule is missing")
    require(all(0.9 < r["simulated_over_model"] < 10 for r in document["results"]), "far from the model")
    gathers = {(r["topology"], r["vocab"], r["rows"]): r["us"] for r in results if r["schedule"] == "gather"}
    require(all(gathers[t, 8, rows] > gathers[t, 2, rows] for t, _, rows in gathers), "more parts cost no more")


def check_headline(document):
    for result in document["results"]:
        require(result["kl_reverse_mean"] > 0 and min(result["exact_seconds"]) > 0, "no KL or no time")
        expected = result["noise"] ** 2 / 2  # of a small normal perturbation
        require(0.5 < result["kl_reverse_mean"] / expected < 2, "not the KL of this noise")
        for name, estimator in result["estimators"].items():
            require(name == "k2" or abs(estimator["error"]) < 6 * estimator["stderr"], f"{name} is biased")


def check_vs_torch(document):
    require({r["dtype"] for r in document["results"]} == {"fp32", "bf16"}, "a type is missing")
    require({r["work"] for r in document["results"]} == {"forward", "forward+gradient"}, "a piece of work is missing")
    require(all(0 < r["ratio"]["min"] <= r["ratio"]["median"] <= r["ratio"]["max"] for r in document["results"]), "no ratio")
    require(document["peak_memory"], "no peak memory")


CHECKS = {"klmesh.scaling/1": check_scaling, "klmesh.simulated/1": check_simulated,
          "klmesh.headline/1": check_headline, "klmesh.vs_torch/1": check_vs_torch}


def main():
    path, command = sys.argv[1], sys.argv[2:]
    if os.path.exists(path):
        os.remove(path)
    done = subprocess.run(command + ["--json", path], check=False)
    if done.returncode == 77:
        return 77
    require(done.returncode == 0, f"the benchmark ended with code {done.returncode}")
    with open(path) as file:
        document = json.load(file)
    require(all(math.isfinite(x) for x in numbers_in(document)), "a number is not finite")
    require(all(r.get("errors", 0) == 0 for r in document["results"]), "there are errors")
    CHECKS[document["schema"]](document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
