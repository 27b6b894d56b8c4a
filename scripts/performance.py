#!/usr/bin/env python3
"""The table of docs/performance.md: Graft beside PyTorch on this machine, measured in turn, medians.

    python scripts/performance.py [--only ROWS] [--rounds N] [--seconds S] [--threads T]
                                  [--data DIR] [--peer SCRIPT] [--weights FILE] [--epochs N]
                                  [--protocol-repeats N] [--protocol-epochs N] [--into docs/performance.md]

ROWS are some of `steps`, `block`, `input`, `epochs`, `views`, `workers`, `protocol`, separated by commas; without
--only all but `protocol` are measured: that one alone takes the better part of an hour; with fewer repeats or epochs its
seconds are scaled up, start and report included, and its row says so. DIR is `hymenoptera_data` with
its folders train/ and val/, needed for all but `steps` and `block`. SCRIPT is a PyTorch script that trains the variants of
experiments/beeant.toml and prints a CSV row for each epoch (variant, repeat, epoch, ..., seconds); needed for `epochs`
and `protocol`. FILE holds the weights of a ResNet-18 in torchvision's names; without it initial ones are made up, which
does not change the time. --into replaces what is between the markers in a Markdown file, else the table goes to stdout.
Rows that can't be measured here are named. Needs torch, torchvision and safetensors.
"""
import argparse
import csv
import os
import pathlib
import platform
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

import bench
from bench import FORMATS, ROOT

GROUPS = ["steps", "block", "input", "epochs", "views", "workers", "protocol"]
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
# What the script calls the variants of experiments/beeant.toml, and how Graft's time may compare.
EPOCHS = {"scratch": "≤ 0.4", "pretrained": "≤ 0.7", "frozen": "≤ 0.6"}
PROTOCOL_REPEATS, PROTOCOL_EPOCHS = 10, 20


class Table:
    """Rows of the table, as they come in."""

    def __init__(self):
        self.rows, self.skipped = [], []

    def add(self, work, own, peer, unit, target, ratio=None):
        """A row: Graft's figure, the other one, and their ratio."""
        ratio = own / peer if ratio is None else ratio
        self.rows.append(f"| {work} | {own:.4g} {unit} | {peer:.4g} {unit} | **{ratio:.2f}** | {target} |")
        print(self.rows[-1], file=sys.stderr, flush=True)

    def skip(self, group, reason):
        self.skipped.append(f"{group}: {reason}")
        print(f"skipped {group}: {reason}", file=sys.stderr, flush=True)

    def markdown(self, args):
        lines = [*machine(args), "", "| work | Graft | PyTorch | ratio | target |", "|---|---|---|---|---|", *self.rows]
        if self.skipped:
            lines += ["", "Not measured in this run: " + "; ".join(self.skipped) + "."]
        return "\n".join(lines)


def output(*command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def machine(args):
    """Where, when and with what the table was measured."""
    import torch
    import torchvision

    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    commit = output("git", "rev-parse", "--short", "HEAD") or "unknown"
    changed = " with uncommitted changes" if output("git", "status", "--porcelain", "--untracked-files=no") else ""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    # Without the folders of this machine.
    words = [word if word.startswith("--") or "/" not in word else pathlib.Path(word).name for word in sys.argv[1:]]
    command = shlex.join(["python", "scripts/performance.py", *words])
    return [
        f"- machine: {models[0] if models else platform.processor()}, {bench.cores()} cores, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}",
        f"- Graft: commit {commit}{changed}, {output('rustc', '--version')}",
        f"- peer: torch {torch.__version__}, torchvision {torchvision.__version__}, Python "
        f"{platform.python_version()}, float32, the better of NCHW and channels_last",
        f"- measured {time.strftime('%Y-%m-%d')}, {args.threads} threads on both sides unless the row says "
        f"something else, medians of {args.rounds} interleaved rounds: `{command}`",
    ]


def options(args, **changes):
    """Arguments for `bench.compare`."""
    defaults = dict(model="resnet18", transfer="fine-tune", batch_size=4, size=None, threads=args.threads,
                    measure="train", pictures=None, seconds=args.seconds, rounds=args.rounds)
    return argparse.Namespace(**{**defaults, **changes})


def steps(args, table):
    """Training step, forward pass and memory of single networks."""
    def add(result, key, work, unit, target):
        table.add(work, result["graft"][key], bench.best(result, key), unit, target)

    step, memory = "train_step_ms_per_image", "peak_memory_mb"
    for batch in 4, 32:
        measure = "train,forward" if batch == 32 else "train"
        result = bench.compare(options(args, batch_size=batch, measure=measure))
        add(result, step, f"ResNet-18 training step, batch {batch}", "ms a picture", "≤ 0.9, goal 0.7")
        if batch == 32:
            add(result, "forward_ms_per_image", "ResNet-18 forward, evaluation, batch 32", "ms a picture", "≤ 0.9")
        add(result, memory, f"ResNet-18 training step, batch {batch}, peak memory of the process", "MiB", "≤ 1")
        own, peer = result["graft"], result[bench_format(result, memory)]
        table.add("the same without what the libraries took before", own[memory] - own["memory_before_mb"],
                  peer[memory] - peer["memory_before_mb"], "MiB", "≤ 1")
    for model, name, target in ("squeezenet1_1", "SqueezeNet 1.1", "≤ 0.9"), ("convnet", "ConvNet", "≤ 0.7"):
        result = bench.compare(options(args, model=model))
        add(result, step, f"{name} training step, batch 4", "ms a picture", target)


def bench_format(result, key):
    """The memory format in which PyTorch's figure is the better one."""
    return min((name for name in FORMATS if key in result.get(name, {})), key=lambda name: result[name][key])


def block(args, table):
    """The depthwise-separable block."""
    example = bench.executable("-p", "graft-ops", "--example", "separable_block")
    for batch in 4, 32:
        given = options(args, model="separable-block", batch_size=batch)
        records = {"graft": [], **{name: [] for name in FORMATS}}
        for _ in range(args.rounds):
            records["graft"].append(bench.json_of([example, batch, args.threads, args.seconds]))
            for name in FORMATS:
                records[name].append(bench.torch_bench(given, ["train"], name))
        result = {name: bench.medians(found) for name, found in records.items()}
        key = "train_step_ms_per_image"
        table.add(f"depthwise 3×3 + pointwise 1×1, 128 channels at 56×56, training, batch {batch}",
                  result["graft"][key], bench.best(result, key), "ms a picture", "≤ 1.0")


def input_path(args, table):
    """Decoding, random crop, flip and normalisation on one core."""
    pictures = str(args.data / "train")
    result = bench.compare(options(args, measure="input", pictures=pictures, threads=1))
    peer = result["contiguous"]["input_ms_per_image"]
    work = "decode + RandomResizedCrop 224 + flip + normalise, one core, {} (PyTorch: torchvision with PIL)"
    table.add(work.format("first epoch"), result["graft"]["input_ms_per_image"], peer, "ms a picture", "≤ 0.8")
    table.add(work.format("later epochs, pictures kept decoded"), result["graft"]["input_later_ms_per_image"], peer,
              "ms a picture", "≤ 0.2")


def sweep(args, variants, *changes, jobs=1, cores=None):
    """Runs these variants of experiments/beeant.toml with changes; its seconds, and the rows of timing.csv."""
    text = (ROOT / "experiments" / "beeant.toml").read_text().split("[report]")[0]
    head, *parts = text.split("[[variant]]")
    parts = [part for part in parts if any(f'name = "{variant}"' in part for variant in variants)]
    settings = [f"data.path={args.data.name}", *changes]
    settings += [f"variant.{variant}.model.weights=file:{args.weights}" for variant in variants if variant != "scratch"]
    with tempfile.TemporaryDirectory() as folder:
        experiment = pathlib.Path(folder) / "beeant.toml"
        experiment.write_text("[[variant]]".join([head, *parts]))
        command = bench.graft("sweep", str(experiment), "--offline", "--data-dir", str(args.data.parent),
                              "--results-dir", folder, "--jobs", str(jobs))
        for setting in settings:
            command += ["--set", setting]
        pin = (lambda: os.sched_setaffinity(0, cores)) if cores else None
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, preexec_fn=pin)
        seconds = time.perf_counter() - start
        if done.returncode != 0:
            sys.exit(f"failed: {shlex.join(command)}\n{done.stderr}")
        with open(pathlib.Path(folder) / "beeant" / "timing.csv") as file:
            return seconds, list(csv.DictReader(file))


def per_epoch(rows, variant):
    """Mean seconds of an epoch of a variant, the first one included."""
    return statistics.mean(float(row["seconds"]) for row in rows if row["variant"] == variant)


def peer_epochs(args, channels_last):
    """Mean seconds of an epoch of every variant of the PyTorch script."""
    command = [sys.executable, args.peer, args.data, "--epochs", args.epochs, "--repeats", 1, "--threads", args.threads,
               "--weights", args.weights, *(["--channels-last"] if channels_last else [])]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    rows = list(csv.DictReader(line for line in done.stdout.splitlines() if not line.startswith("#")))
    return {variant: per_epoch(rows, variant) for variant in EPOCHS}


def epochs(args, table):
    """One epoch of beeant: training and validation. Returns the script's seconds by variant."""
    own, peers = [], {name: [] for name in FORMATS}
    for _ in range(args.rounds):
        _, rows = sweep(args, EPOCHS, "repeats=1", f"train.epochs={args.epochs}")
        own.append({variant: per_epoch(rows, variant) for variant in EPOCHS})
        for name in FORMATS:
            peers[name].append(peer_epochs(args, name == "channels_last"))
    best = {}
    for variant, target in EPOCHS.items():
        graft = statistics.median(times[variant] for times in own)
        best[variant] = min(statistics.median(times[variant] for times in found) for found in peers.values())
        table.add(f"beeant, one epoch, {variant} (mean of the first {args.epochs})", graft, best[variant], "s", target)
    return best


def views(args, table):
    """Ten frozen repeats with fixed views against one."""
    times = {1: [], 10: []}
    for _ in range(args.rounds):
        for repeats, found in times.items():
            changes = [f"repeats={repeats}", f"train.epochs={PROTOCOL_EPOCHS}", "data.transform.views=20"]
            found.append(sweep(args, ["frozen"], *changes, jobs=bench.cores())[0])
    one, ten = (statistics.median(times[repeats]) for repeats in (1, 10))
    work = f"ten frozen repeats × {PROTOCOL_EPOCHS} epochs with `views = 20` against one (both Graft, one on the right)"
    table.add(work, ten, one, "s", "≤ 1.5")


def workers(args, table):
    """Throughput of two one-thread workers against one."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    rates = {1: [], 2: []}
    for _ in range(args.rounds):
        for count, found in rates.items():
            changes = [f"repeats={count}", f"train.epochs={args.epochs}"]
            _, rows = sweep(args, ["pretrained"], *changes, jobs=count, cores=cores[:count])
            # The workers run side by side for as long as the slower one takes.
            seconds = {}
            for row in rows:
                seconds[row["repeat"]] = seconds.get(row["repeat"], 0) + float(row["seconds"])
            found.append(60 * len(rows) / max(seconds.values()))
    one, two = (statistics.median(rates[count]) for count in (1, 2))
    work = "fine-tune, throughput of two one-thread workers against one (both Graft, one on the right)"
    table.add(work, two, one, "epochs a minute", "≥ 1.8")


def protocol(args, table, best):
    """The whole of experiments/beeant.toml with as many workers as cores, or a part of it."""
    repeats, length = args.protocol_repeats, args.protocol_epochs
    seconds, _ = sweep(args, EPOCHS, f"repeats={repeats}", f"train.epochs={length}", jobs=bench.cores())
    share = repeats * length / (PROTOCOL_REPEATS * PROTOCOL_EPOCHS)
    seconds /= share
    if best is None:
        peers = [peer_epochs(args, name == "channels_last") for name in FORMATS]
        best = {variant: min(times[variant] for times in peers) for variant in EPOCHS}
    trials = PROTOCOL_REPEATS * PROTOCOL_EPOCHS
    work = (f"beeant, 3 × {PROTOCOL_REPEATS} × {PROTOCOL_EPOCHS} epochs, {bench.cores()} workers, against the "
            f"script's epochs × {len(EPOCHS) * trials}")
    if share < 1:
        work += f"; from {len(EPOCHS)} × {repeats} × {length} epochs"
    table.add(work, seconds / 60, sum(best.values()) * trials / 60, "min", "≤ 0.33, goal 0.2")


def initial_weights(folder):
    """A weight file for ResNet-18 that nobody trained."""
    import torch
    import torchvision
    from safetensors.torch import save_file

    torch.manual_seed(0)
    path = pathlib.Path(folder) / "resnet18.safetensors"
    save_file(torchvision.models.resnet18().state_dict(), path)
    return path


def missing(args, group):
    """Why a group of rows can't be measured; empty if it can."""
    if group in ("steps", "block"):
        return ""
    if args.data is None or not (args.data / "train").is_dir():
        return "needs --data DIR with hymenoptera_data"
    if group in ("epochs", "protocol") and (args.peer is None or not args.peer.is_file()):
        return "needs --peer SCRIPT"
    if group == "workers" and bench.cores() < 2:
        return "needs two cores"
    return ""


def measure(args, table):
    """Fills the table."""
    best = None
    for group in args.only:
        reason = missing(args, group)
        if reason:
            table.skip(group, reason)
        elif group == "epochs":
            best = epochs(args, table)
        elif group == "protocol":
            protocol(args, table, best)
        else:
            others = {"steps": steps, "block": block, "input": input_path, "views": views, "workers": workers}
            others[group](args, table)


def groups(text):
    """The groups of `--only`, in their order."""
    wanted = text.split(",")
    unknown = [group for group in wanted if group not in GROUPS]
    if unknown:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(GROUPS)}")
    return [group for group in GROUPS if group in wanted]


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", type=groups, default=GROUPS[:-1])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=bench.cores())
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--protocol-repeats", type=int, default=PROTOCOL_REPEATS)
    parser.add_argument("--protocol-epochs", type=int, default=PROTOCOL_EPOCHS)
    for option in "--data", "--peer", "--weights", "--into":
        parser.add_argument(option, type=lambda path: pathlib.Path(path).resolve())
    return parser.parse_args()


def main():
    args = arguments()
    with tempfile.TemporaryDirectory() as folder:
        args.weights = args.weights or initial_weights(folder)
        table = Table()
        measure(args, table)
    text = table.markdown(args)
    if args.into is None:
        print(text)
        return
    page = args.into.read_text()
    before, rest = page.split(BEGIN)
    args.into.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
