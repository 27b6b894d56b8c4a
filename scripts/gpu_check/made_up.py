#!/usr/bin/env python3
"""Makes up what a machine lacks: `made_up.py pictures FOLDER`, in the layout and number of hymenoptera_data, or
`made_up.py NETWORK FILE.pth`, initial weights of torchvision's network. Times with them are those with real ones."""
import pathlib
import sys

import torch
import torchvision

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import bench_torch  # noqa: E402

COUNTS = {"train": {"ants": 123, "bees": 121}, "val": {"ants": 70, "bees": 83}}


def pictures(folder):
    made = iter(bench_torch.made_up_jpegs(sum(sum(counts.values()) for counts in COUNTS.values())))
    for split, counts in COUNTS.items():
        for name, count in counts.items():
            place = folder / split / name
            place.mkdir(parents=True)
            for number in range(count):
                (place / f"{number:03}.jpg").write_bytes(next(made))


def main():
    what, place = sys.argv[1], pathlib.Path(sys.argv[2])
    if what == "pictures":
        return pictures(place)
    place.parent.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.save(torchvision.models.get_model(what).state_dict(), place)


if __name__ == "__main__":
    main()
