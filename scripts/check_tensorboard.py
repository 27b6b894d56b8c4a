"""Reads the event files of results folders with TensorBoard's own reader and compares them with the trials' records.

    python scripts/check_tensorboard.py results/quickstart...

Every curve must have a point for each epoch of `epochs.csv`, with the same value as a 32-bit float. Written for tensorboard 2.21.0.
"""

import csv
import pathlib
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

TAGS = {
    "loss/train": "train_loss",
    "loss/val": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/val": "val_accuracy",
    "lr": "lr",
}
ALL = {"scalars": 0, "histograms": 0, "images": 0, "tensors": 0}


def check(trial, run):
    """Compares a run with the record of its trial; returns how much there is in it."""
    rows = list(csv.DictReader((trial / "epochs.csv").open()))
    events = EventAccumulator(str(run), size_guidance=ALL)
    events.Reload()
    assert set(events.scalars.Keys()) == set(TAGS), events.scalars.Keys()
    for tag, column in TAGS.items():
        points = events.Scalars(tag)
        expected = [(int(row["epoch"]), float(np.float32(row[column]))) for row in rows]
        found = [(point.step, point.value) for point in points]
        assert found == expected, f"{run}: {tag}: {found} is not {expected}"
    epochs = {int(row["epoch"]) for row in rows}
    histograms = events.histograms.Keys()
    for tag in histograms:
        steps = [entry.step for entry in events.Histograms(tag)]
        assert steps == sorted(set(steps)) and set(steps) <= epochs, f"{run}: {tag}: {steps}"
        for entry in events.Histograms(tag):
            value = entry.histogram_value
            assert sum(value.bucket) == value.num and value.bucket_limit[-1] == value.max, f"{run}: {tag}"
    recipe = events.Tensors("recipe")[0].tensor_proto.string_val[0].decode()
    assert "```toml" in recipe and "[recipe" in recipe, recipe
    for tag in events.images.Keys():
        assert events.Images(tag)[0].encoded_image_string.startswith(b"\x89PNG"), tag
    return len(rows), len(histograms), len(events.images.Keys())


def main():
    checked = 0
    for root in map(pathlib.Path, sys.argv[1:]):
        trials = sorted(path.parent for path in root.glob("trials/*/epochs.csv"))
        assert trials, f"{root} has no trials"
        for trial in trials:
            run = root / "tensorboard" / trial.name
            epochs, histograms, images = check(trial, run)
            print(f"{trial.name}: {epochs} epochs, {histograms} histograms, {images} pictures: equal")
            checked += 1
    assert checked, "no results folder was named"
    print(f"{checked} trials: the curves are those of the records")


main()
