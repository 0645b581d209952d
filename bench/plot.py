#!/usr/bin/env python3
"""Pictures (PNG) of what the benchmarks wrote with --json: scaling, simulated, headline, vs_torch, kernel_bench.

plot.py FILE.json ... [--directory DIR]: one picture or two for each file, named after it. Exits with 77 where
matplotlib is missing.
"""
import argparse
import json
import os
import sys


def label_of(batch, vocab):
    return f"{batch}x{vocab}"


def plot_scaling(document, plt):
    """Parts of a step by mesh, strong and weak, beside the baseline's."""
    figure, axes = plt.subplots(1, 2, figsize=(14, 5), squeeze=False)
    for axis, mode in zip(axes[0], ("strong", "weak")):
        results = [r for r in document["results"] if r["mode"] == mode]
        labels = [f'{label_of(r["batch"], r["vocab"])}\n{r["schedule"]}' for r in results]
        for side, shift, alpha in (("klmesh", -0.2, 1.0), ("baseline", 0.2, 0.5)):
            bottom = [0.0] * len(results)
            for part, color in (("compute", "tab:blue"), ("exchange", "tab:orange"), ("reduction", "tab:green"),
                                ("rest", "tab:gray")):
                heights = [max(0.0, r[side][part + "_ms"]) for r in results]
                axis.bar([i + shift for i in range(len(results))], heights, 0.38, bottom=bottom, color=color, alpha=alpha,
                         label=f"{part}, {side}")
                bottom = [a + b for a, b in zip(bottom, heights)]
        axis.set(title=f"{mode} scaling", ylabel="ms a step, without the record", xlabel="mesh (batch x vocabulary)")
        axis.set_xticks(range(len(results)), labels, fontsize=7)
    axes[0][0].legend(fontsize=7)
    figure.suptitle(f'{document["vocab_size"]} words, {document["dtype"]}, {document["ranks"]} ranks on '
                    f'{document["cores"]} cores')
    yield "steps", figure
    yield from plot_exchange(document, plt)


def plot_exchange(document, plt):
    if not document["exchange"]:
        return
    figure, axis = plt.subplots(figsize=(7, 5))
    for mesh in sorted({(r["batch"], r["vocab"]) for r in document["exchange"]}):
        for schedule in ("gather", "by_rows"):
            results = [r for r in document["exchange"]
                       if (r["batch"], r["vocab"]) == mesh and r["schedule"] == schedule]
            axis.plot([r["rows"] for r in results], [r["microseconds"]["median"] for r in results], marker="o",
                      label=f"{label_of(*mesh)} {schedule}")
        axis.plot([r["rows"] for r in results], [r["baseline_microseconds"]["median"] for r in results], "--", marker="x",
                  label=f"{label_of(*mesh)} separate all-reduces")
    axis.set(xscale="log", yscale="log", xlabel="rows", ylabel="us", title="one exchange over the vocabulary group")
    axis.legend(fontsize=7)
    yield "exchange", figure


def plot_simulated(document, plt):
    """Simulated time against ranks, for the most rows that all numbers of ranks have."""
    exchanges = [r for r in document["results"] if r["case"] == "exchange"]
    topologies = sorted({r["topology"] for r in exchanges})
    figure, axes = plt.subplots(1, len(topologies), figsize=(7 * len(topologies), 5), squeeze=False, sharey=True)
    for axis, topology in zip(axes[0], topologies):
        for vocab in sorted({r["vocab"] for r in exchanges}):
            rows = min(r["rows"] for r in exchanges)
            for schedule in ("gather", "by_rows"):
                chosen = [r for r in exchanges if (r["topology"], r["vocab"], r["rows"], r["schedule"])
                          == (topology, vocab, rows, schedule)]
                (line,) = axis.plot([r["ranks"] for r in chosen], [r["us"] for r in chosen], marker="o",
                                    label=f"{vocab} vocabulary parts, {rows} rows, {schedule}")
                axis.plot([r["ranks"] for r in chosen], [r["model_us"] for r in chosen], ":", color=line.get_color())
        reductions = {r["ranks"]: r for r in document["results"]
                      if r["case"] == "reduction" and r["topology"] == topology}
        axis.plot(list(reductions), [r["us"] for r in reductions.values()], "k", marker="s", label="statistics of a step")
        axis.plot(list(reductions), [r["model_us"] for r in reductions.values()], "k:")
        axis.set(xscale="log", yscale="log", xlabel="simulated ranks", ylabel="simulated us", title=topology)
        axis.legend(fontsize=7)
    figure.suptitle("simulated networks (SimGrid SMPI); dotted: alpha-beta model")
    yield "ranks", figure


def plot_headline(document, plt):
    """Time of both ways, and the error that the estimators have left."""
    figure, (times, errors) = plt.subplots(1, 2, figsize=(12, 4.5))
    for i, result in enumerate(document["results"]):
        for shift, key, color in ((-0.2, "exact_seconds", "tab:blue"), (0.2, "estimators_seconds", "tab:orange")):
            seconds = sorted(result[key])[len(result[key]) // 2]
            times.bar(i + shift, seconds, 0.38, color=color, label=key.split("_")[0] if i == 0 else None)
        names = list(result["estimators"])
        errors.plot(names, [100 * result["estimators"][k]["stderr"] / result["kl_reverse_mean"] for k in names],
                    marker="o", label=f'noise {result["noise"]:g}')
    labels = [f'noise {r["noise"]:g}' for r in document["results"]]
    times.set_xticks(range(len(labels)), labels)
    times.set(ylabel="s", title=f'{document["pairs"]:.3g} pairs, {document["dtype"]}, {document["ranks"]} ranks')
    errors.set(yscale="log", ylabel="standard error / exact KL (%)", title=f'{document["tokens"]} sampled tokens')
    times.legend()
    errors.legend()
    yield "headline", figure


def plot_vs_torch(document, plt):
    """Ratio of each shape, one axis for each kind of work."""
    works = sorted({r["work"] for r in document["results"]})
    figure, axes = plt.subplots(len(works), 1, figsize=(12, 4 * len(works)), squeeze=False)
    for axis, work in zip(axes[:, 0], works):
        results = [r for r in document["results"] if r["work"] == work]
        shapes = sorted({(r["dtype"], r["vocab_size"], r["rows"]) for r in results})
        kinds = sorted({(r["allocator"], r["threads"]) for r in results})
        for k, kind in enumerate(kinds):
            chosen = {(r["dtype"], r["vocab_size"], r["rows"]): r["ratio"] for r in results
                      if (r["allocator"], r["threads"]) == kind}
            x = [shapes.index(s) + 0.8 * (k + 0.5) / len(kinds) - 0.4 for s in chosen]
            middle = [s["median"] for s in chosen.values()]
            spread = [[s["median"] - s["min"] for s in chosen.values()], [s["max"] - s["median"] for s in chosen.values()]]
            axis.bar(x, middle, 0.8 / len(kinds), yerr=spread, label=f"{kind[0]}, {kind[1]} threads", capsize=2)
        axis.set_xticks(range(len(shapes)), [f"{d}\n{r} x {v}" for d, v, r in shapes], fontsize=7)
        axis.set(ylabel="torch time / klmesh time", title=work)
        axis.legend(fontsize=7)
    yield "ratio", figure


def plot_kernel_bench(document, plt):
    """Fraction of the slower floor, case by case."""
    results = document["results"]
    figure, axis = plt.subplots(figsize=(max(8, 0.25 * len(results)), 5))
    labels = [f'{r["dtype"]} {r["kind"]} {r["rows"]} x {r["vocab_size"]}' for r in results]
    axis.bar(range(len(results)), [r["ratio"]["median"] for r in results])
    axis.set_xticks(range(len(results)), labels, rotation=90, fontsize=6)
    axis.set(ylabel="slower floor / kernel", title=f'one thread, {document["instruction_set"]}')
    yield "floors", figure


PLOTS = {"klmesh.scaling/1": plot_scaling, "klmesh.simulated/1": plot_simulated, "klmesh.headline/1": plot_headline,
         "klmesh.vs_torch/1": plot_vs_torch, "klmesh.kernel_bench/1": plot_kernel_bench}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE.json")
    parser.add_argument("--directory", help="of the pictures; default: beside each file")
    arguments = parser.parse_args()
    try:
        import matplotlib
    except ImportError as error:
        print(f"plot.py: {error}; matplotlib is needed (Debian: python3-matplotlib)", file=sys.stderr)
        return 77
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    for path in arguments.files:
        with open(path) as file:
            document = json.load(file)
        if document.get("schema") not in PLOTS:
            sys.exit(f"plot.py: {path}: schema {document.get('schema')!r} is none of {', '.join(PLOTS)}")
        stem = os.path.splitext(path)[0]
        if arguments.directory:
            stem = os.path.join(arguments.directory, os.path.basename(stem))
        for name, figure in PLOTS[document["schema"]](document, plt):
            figure.tight_layout()
            figure.savefig(f"{stem}-{name}.png", dpi=120)
            plt.close(figure)
            print(f"{stem}-{name}.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
