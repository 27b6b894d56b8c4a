#!/usr/bin/env python3
"""The input path on one core, beside torchvision: decode, RandomResizedCrop 224, flip, normalise.

    cargo build --release -p graft-data --example speed
    python scripts/bench_input.py FOLDER [--rounds N] [--program target/release/examples/speed]

FOLDER has train/ and val/ with a folder per class. Graft's epochs (decoded, then kept) and an epoch of torchvision's
ImageFolder and DataLoader with one thread take turns on the same core; prints the medians as one line of JSON. Needs torch,
torchvision and Pillow.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

import PIL
import torch
import torchvision
from torchvision import transforms as T


def graft_round(program, folder):
    """Milliseconds a picture in a first and a later epoch."""
    found = subprocess.run([program, folder, "1"], check=True, stdout=subprocess.PIPE, text=True)
    line = json.loads(found.stdout)
    return line["first_ms_per_image"], line["later_ms_per_image"]


def torch_round(loader):
    """Milliseconds a picture in any epoch: nothing is kept."""
    start = time.perf_counter()
    for _ in loader:
        pass
    return (time.perf_counter() - start) * 1e3 / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--program", default="target/release/examples/speed")
    options = parser.parse_args()
    if not os.path.exists(options.program):
        sys.exit(f"no {options.program}: cargo build --release -p graft-data --example speed")
    torch.set_num_threads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    steps = [
        T.RandomResizedCrop(224),
        T.RandomHorizontalFlip(),
        T.ToTensor(),
        T.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]
    pictures = torchvision.datasets.ImageFolder(os.path.join(options.folder, "train"), T.Compose(steps))
    loader = torch.utils.data.DataLoader(pictures, batch_size=4, shuffle=True)
    # The files are in the page cache, and everything is loaded, before it counts.
    graft_round(options.program, options.folder)
    torch_round(loader)
    first, later, torch_times = [], [], []
    for _ in range(options.rounds):
        for times, time_ in zip((first, later), graft_round(options.program, options.folder)):
            times.append(time_)
        torch_times.append(torch_round(loader))
    median = statistics.median
    # Each round's ratio first: what else the machine does disturbs both sides of it.
    ratio = lambda times: round(median(ours / theirs for ours, theirs in zip(times, torch_times)), 4)
    print(json.dumps({
        "pictures": len(pictures),
        "rounds": options.rounds,
        "graft_first_ms_per_image": round(median(first), 4),
        "graft_later_ms_per_image": round(median(later), 4),
        "torchvision_ms_per_image": round(median(torch_times), 4),
        "first_ratio": ratio(first),
        "later_ratio": ratio(later),
        "torchvision": torchvision.__version__,
        "torch": torch.__version__,
        "pillow": PIL.__version__,
    }))


if __name__ == "__main__":
    main()
