#!/usr/bin/env python3
"""`graft bench` beside PyTorch: a few rounds of each in turn, medians, and their ratios.

    python scripts/bench.py [--model M] [--transfer fine-tune|frozen] [--batch-size N] [--size S] [--threads T]
                            [--measure train,forward,input] [--pictures DIR] [--seconds S] [--rounds N] [--json]

PyTorch is measured with its tensors in both memory formats, and Graft's times are divided by those of the faster one.
Every measurement is a process of its own, so that the memory is that of one network. `just bench` runs this where a
Python with torch is found, and `graft bench` alone otherwise. $GRAFT_BINARY measures another build. Needs torch and
torchvision.
"""
import argparse
import functools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

SCRIPTS = pathlib.Path(__file__).resolve().parent
ROOT = SCRIPTS.parent
FORMATS = ["contiguous", "channels_last"]
TIMES = {
    "train_step_ms_per_image": "training step",
    "forward_ms_per_image": "forward, evaluation",
    "input_ms_per_image": "input, first epoch",
    "input_later_ms_per_image": "input, later epochs",
}
# What PyTorch's figure is called where it has no own: it decodes a picture in every epoch.
PEERS = {"input_later_ms_per_image": "input_ms_per_image"}


def json_of(command, **options):
    """The last line that a command prints, as JSON."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=ROOT, **options)
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(map(str, command))}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


@functools.cache
def executable(*target):
    """Builds a target of the workspace and says where it is."""
    command = ["cargo", "build", "--release", "--quiet", "--message-format=json", *target]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode != 0:
        sys.exit(f"failed: {' '.join(command)}")
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return [message["executable"] for message in messages if message.get("executable")][-1]


def graft(*arguments):
    """A command line of `graft`: of $GRAFT_BINARY, else of what the sources are."""
    return [os.environ.get("GRAFT_BINARY") or executable("--bin", "graft"), *arguments]


def graft_bench(args, measure):
    options = ["--option", "dropout=0.5"] if args.model == "convnet" else []
    return json_of(graft("bench", "--json", "--transfer", args.transfer, *options, *shared(args, measure)))


def torch_bench(args, measure, memory_format):
    layout = ["--channels-last"] if memory_format == "channels_last" else []
    script = [sys.executable, SCRIPTS / "bench_torch.py", "--transfer", args.transfer]
    return json_of([*script, *layout, *shared(args, measure)])


def shared(args, measure):
    """The arguments that both sides take."""
    arguments = ["--model", args.model, "--batch-size", args.batch_size, "--seconds", args.seconds, "--measure",
                 ",".join(measure), "--threads", args.threads]
    if args.size:
        arguments += ["--size", args.size]
    if args.pictures:
        arguments += ["--pictures", args.pictures]
    return arguments


def medians(records):
    """The median of every figure that all records have."""
    keys = [key for key in [*TIMES, "peak_memory_mb", "memory_before_mb"]
            if all(record.get(key) is not None for record in records)]
    return {key: statistics.median(record[key] for record in records) for key in keys}


def compare(args):
    """Medians of Graft and of PyTorch in both memory formats, measured in turn."""
    measure = args.measure.split(",")
    # The input path does not know memory formats.
    steps = [part for part in measure if part != "input"]
    records = {"graft": [], **{name: [] for name in FORMATS}}
    for number in range(args.rounds):
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
        records["graft"].append(graft_bench(args, measure))
        records["contiguous"].append(torch_bench(args, measure, "contiguous"))
        if steps:
            records["channels_last"].append(torch_bench(args, steps, "channels_last"))
    result = {name: medians(found) for name, found in records.items() if found}
    result["version"] = {"graft": records["graft"][0]["version"], "torch": records["contiguous"][0]["version"]}
    return result


def best(result, key):
    """PyTorch's figure in the better memory format."""
    figures = [result[name][key] for name in FORMATS if key in result.get(name, {})]
    return min(figures, default=None)


def table(result):
    """The figures and their ratios as lines of text."""
    lines = [f"{'':35}{'Graft':>10}{'PyTorch':>10}{'channels_last':>15}{'Graft / best':>14}"]
    rows = [(key, f"{name}, ms a picture") for key, name in TIMES.items()] + [("peak_memory_mb", "peak memory, MiB")]
    for key, name in rows:
        own = result["graft"].get(key)
        if own is None:
            continue
        key = PEERS.get(key, key)
        cells = [result.get(name, {}).get(key) for name in FORMATS]
        peer = best(result, key)
        texts = ["-" if cell is None else f"{cell:.2f}" for cell in cells]
        ratio = "-" if peer is None else f"{own / peer:.2f}"
        lines.append(f"{name:35}{own:10.2f}{texts[0]:>10}{texts[1]:>15}{ratio:>14}")
    return "\n".join(lines)


def cores():
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def parser():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--transfer", default="fine-tune", choices=["fine-tune", "frozen"])
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--size", type=int)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--measure", default="train,forward,input")
    parser.add_argument("--pictures")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    return parser


def main():
    arguments = parser()
    arguments.add_argument("--json", action="store_true")
    args, others = arguments.parse_known_args()
    if others:
        print(f"{others[0]} has no counterpart in scripts/bench_torch.py: Graft alone", file=sys.stderr)
        sys.exit(subprocess.run(graft("bench", *sys.argv[1:]), cwd=ROOT).returncode)
    if args.pictures:
        args.pictures = str(pathlib.Path(args.pictures).resolve())
    with tempfile.TemporaryDirectory() as folder:
        if args.pictures is None and "input" in args.measure.split(","):
            # Both sides get the same files.
            from bench_torch import made_up_jpegs
            args.pictures = folder
            for number, content in enumerate(made_up_jpegs()):
                (pathlib.Path(folder) / f"{number}.jpg").write_bytes(content)
        result = compare(args)
    if args.json:
        print(json.dumps({"arguments": vars(args), **result}))
        return
    print(f"{args.model}, {args.transfer}, batches of {args.batch_size}, {args.threads} threads; "
          f"graft {result['version']['graft']}, torch {result['version']['torch']}; "
          f"medians of {args.rounds} interleaved rounds\n")
    print(table(result))


if __name__ == "__main__":
    main()
