#!/usr/bin/env python3
"""Golden values for crates/runner/tests/predict_imagenet.rs: torchvision's most probable class of some pictures.

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, Pillow 13 and safetensors 0.8 on a CPU, in float32:

    python scripts/golden_predict.py WEIGHTS hymenoptera_data/val crates/runner/tests/golden

WEIGHTS is a folder with squeezenet1_1-imagenet.safetensors, its .check.safetensors and resnet18-tiny-imagenet.safetensors.
`check.png` is the input of the .check file as a picture: rounded to bytes, in the middle of 256 × 256 black pixels.
"""
import csv
import sys
from pathlib import Path

import numpy as np
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file
from torchvision.transforms import v2

NETWORKS = {
    "squeezenet1_1": ("squeezenet1_1-imagenet", 1000, 256, 224),
    "resnet18": ("resnet18-tiny-imagenet", 200, 110, 96),
}
PHOTOGRAPHS = 12


def check_picture(weights):
    values = load_file(weights / "squeezenet1_1-imagenet.check.safetensors")["input"][0].permute(1, 2, 0).numpy()
    # Halves are rounded up, as Rust rounds them.
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[16:240, 16:240] = np.floor(values + 0.5).clip(0, 255).astype(np.uint8)
    return Image.fromarray(picture)


def main():
    weights, photographs, target = (Path(argument) for argument in sys.argv[1:4])
    found = sorted(photographs.glob("*/*.jpg"))
    pictures = {str(path.relative_to(photographs)): Image.open(path).convert("RGB")
                for path in found[:: len(found) // PHOTOGRAPHS]}
    pictures["check.png"] = check_picture(weights)
    torch.set_num_threads(1)
    target.mkdir(exist_ok=True)
    with open(target / "predict.csv", "w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["model", "picture", "index", "probability"])
        for model, (name, classes, resize, size) in NETWORKS.items():
            network = getattr(torchvision.models, model)(num_classes=classes)
            network.load_state_dict(load_file(weights / f"{name}.safetensors"))
            network.eval()
            prepare = v2.Compose([
                v2.Resize(resize), v2.CenterCrop(size), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
            ])
            for picture, pixels in pictures.items():
                with torch.no_grad():
                    probabilities = network(prepare(pixels)[None]).softmax(-1)[0]
                best = int(probabilities.argmax())
                rows.writerow([model, picture, best, f"{probabilities[best].item():.7f}"])


main()
