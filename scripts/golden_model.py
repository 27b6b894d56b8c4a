#!/usr/bin/env python3
"""Golden values for crates/model/tests/model/golden.rs: what torchvision's networks compute from made-up weights.

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, numpy 2 and safetensors 0.8 on a CPU, in float32:

    python scripts/golden_model.py crates/model/tests/golden

Weights, inputs and labels come from a formula that the Rust test computes too, so the files hold results only. Of every
gradient, and of every change after ten steps, there are the norm, the products with three made-up vectors (which feel every
element) and 32 elements.
"""
import math
import sys

import numpy as np
import torch
import torchvision
from safetensors.numpy import save_file
from torch import nn

CLASSES, STEPS, MOMENTUM = 5, 10, 0.9


def made_up(name, count):
    """Numbers in [-1, 1), multiples of 2^-23: SplitMix64 started from the FNV-1a hash of the name."""
    key = 0xCBF29CE484222325
    for byte in name.encode():
        key = ((key ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(key) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-23) - np.float32(1)


def fill(name, tensor):
    """Weights that keep the size of activations; scales near 1; small biases; positive variances."""
    u = made_up(name, tensor.numel())
    if tensor.dim() > 1:
        values = np.float32(math.sqrt(6 / tensor[0].numel())) * u
    elif name.endswith("running_var"):
        values = np.float32(3) + np.float32(0.5) * u
    elif name.endswith("weight"):
        values = np.float32(1) + np.float32(0.2) * u
    else:
        values = np.float32(0.1) * u
    tensor.copy_(torch.from_numpy(values).view_as(tensor))


def fingerprint(name, tensor):
    flat = tensor.detach().double().flatten().numpy()
    products = [flat @ made_up(f"{name}/{k}", flat.size).astype(np.float64) for k in range(3)]
    elements = [flat[j * flat.size // 32] for j in range(32)]
    return np.array([np.linalg.norm(flat), *products, *elements], dtype=np.float32)


class ConvNet(nn.Module):
    def __init__(self, size, classes):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 4, 5, padding=2), nn.Conv2d(4, 8, 5, padding=2)
        self.fc1, self.fc2 = nn.Linear((size // 4) ** 2 * 8, 512), nn.Linear(512, classes)

    def forward(self, x):
        x = torch.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2)
        return self.fc2(self.fc1(x.flatten(1)).relu())


def record(net, modes, batch, size, dtype=torch.float32):
    out = {}
    for mode, lr in modes.items():
        with torch.no_grad():
            for name, tensor in net.state_dict().items():
                if not name.endswith("num_batches_tracked"):
                    fill(name, tensor)
        net.to(dtype).train(mode == "train")
        start = {name: p.detach().clone() for name, p in net.named_parameters()}
        x = torch.from_numpy(made_up("input", batch * 3 * size * size)).view(batch, 3, size, size).to(dtype)
        y = torch.arange(batch) % CLASSES
        sgd = torch.optim.SGD(net.parameters(), lr=lr, momentum=MOMENTUM)
        losses = []
        for step in range(STEPS):
            logits = net(x)
            loss = nn.functional.cross_entropy(logits, y)
            sgd.zero_grad()
            loss.backward()
            losses.append(loss.item())
            if step == 0:
                out[f"{mode}/logits"] = logits.detach().float().numpy()
                for name, p in net.named_parameters():
                    out[f"{mode}/gradient/{name}"] = fingerprint(name, p.grad)
            sgd.step()
        out[f"{mode}/losses"] = np.array(losses, dtype=np.float32)
        for name, p in net.named_parameters():
            out[f"{mode}/change/{name}"] = fingerprint(name, p - start[name])
        for name, b in net.named_buffers():
            if not name.endswith("num_batches_tracked") and mode == "train":
                out[f"{mode}/buffer/{name}"] = fingerprint(name, b)
        net.eval()
        with torch.no_grad():
            out[f"{mode}/logits_after"] = net(x).float().numpy()
    return out


def main():
    # Small pictures and small steps: where rounding decides whether a unit near 0 is on, gradients of float32 jump, and the
    # more units and steps there are, the likelier that is.
    torch.set_num_threads(2)
    cases = {
        "convnet": (lambda: ConvNet(36, CLASSES), {"train": 0.001}, 4, 36),
        "resnet18": (lambda: torchvision.models.resnet18(num_classes=CLASSES), {"train": 0.001, "eval": 0.001}, 4, 64),
        "squeezenet1_1": (lambda: torchvision.models.squeezenet1_1(num_classes=CLASSES, dropout=0.0), {"train": 0.0003}, 4, 32),
    }
    for name, (build, modes, batch, size) in cases.items():
        out = record(build(), modes, batch, size)
        exact = record(build().double(), modes, batch, size, torch.float64)
        save_file(out, f"{sys.argv[1]}/{name}.safetensors")
        # How far float32 is from float64 here: what the tolerances of the test stand on.
        worst = {}
        for key, value in out.items():
            parts = key.split("/")
            scale = np.abs(exact[key]).max() if parts[1] not in ("gradient", "change", "buffer") else exact[key][0]
            error = np.abs(value - exact[key]).max() / scale
            kind = "/".join(parts[:2])
            worst[kind] = max(worst.get(kind, (0, "")), (float(error), key))
        print(name, *worst.items(), *(out[f"{mode}/losses"] for mode in modes), sep="\n  ")


if __name__ == "__main__":
    main()
