#!/usr/bin/env python3
"""Golden values for crates/model/tests/model/backbones.rs: what torchvision's networks compute from made-up weights.

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, numpy 2 and safetensors 0.8 on a CPU, in float64:

    python scripts/golden_backbones.py crates/model/tests/golden/backbones [NAME...]

Of each network there are the logits in evaluation mode; logits, loss, every gradient and the running statistics of a training
pass; of gradients and statistics the norm, the products with two made-up vectors (which feel every element) and five elements.
They are sorted by name.

Deep networks need steady weights. Where rounding decides whether a unit is on, a gradient jumps by that unit's share, some 1e-3
of its norm, and a network has millions of units. So norms shift most channels far from 0, up or down, and only every 32nd
channel has units on either side; and what a residual block adds is small. The pictures are such that no unit is nearer to
0 than ten times the mean error of float32, the margin, which the script prints beside how far float32 is from float64 altogether.
NAME@DRAW prints them for other pictures and writes nothing.
"""
import math
import sys
from collections import namedtuple

import numpy as np
import torch
import torchvision
from golden_model import made_up
from safetensors.numpy import save_file
from torch import nn

CLASSES = 5
# Every so many channels one has units on either side of 0.
EVEN = 32

Case = namedtuple("Case", "build batch size draw")


class LeNet5(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, CLASSES)
        self.relu = nn.ReLU()

    def forward(self, x):
        x = torch.max_pool2d(self.relu(self.conv1(x)), 2)
        x = torch.max_pool2d(self.relu(self.conv2(x)), 2)
        return self.fc3(self.relu(self.fc2(self.relu(self.fc1(x.flatten(1))))))


class Cut(nn.Module):
    """A VGG cut at its `avgpool`, with a new head: without the 120 million weights of its linear layers."""

    def __init__(self, name):
        super().__init__()
        self.features = getattr(torchvision.models, name)().features
        self.avgpool = nn.AdaptiveAvgPool2d((7, 7))
        self.head = nn.ModuleDict({"fc": nn.Linear(512, CLASSES)})

    def forward(self, x):
        return self.head["fc"](self.avgpool(self.features(x)).mean((2, 3)))


def whole(name, **options):
    return lambda: getattr(torchvision.models, name)(num_classes=CLASSES, **options)


CASES = {
    "alexnet": Case(whole("alexnet", dropout=0.0), 2, 95, 2),
    "lenet5": Case(LeNet5, 4, 32, 0),
    "resnet34": Case(whole("resnet34"), 4, 40, 0),
    "resnet50": Case(whole("resnet50"), 4, 40, 2),
    "resnet101": Case(whole("resnet101"), 4, 40, 2),
    "resnet152": Case(whole("resnet152"), 4, 40, 2),
    "squeezenet1_0": Case(whole("squeezenet1_0", dropout=0.0), 4, 33, 0),
    "vgg11": Case(lambda: Cut("vgg11"), 4, 32, 0),
    "vgg11_bn": Case(lambda: Cut("vgg11_bn"), 4, 32, 0),
    "vgg13": Case(lambda: Cut("vgg13"), 4, 32, 0),
    "vgg13_bn": Case(lambda: Cut("vgg13_bn"), 4, 32, 0),
    "vgg16": Case(lambda: Cut("vgg16"), 4, 32, 0),
    "vgg16_bn": Case(whole("vgg16_bn", dropout=0.0), 2, 64, 4),
    "vgg19": Case(lambda: Cut("vgg19"), 4, 32, 0),
    "vgg19_bn": Case(lambda: Cut("vgg19_bn"), 4, 32, 0),
}


def kind_of(name, shape, last):
    """What a tensor is, and the middle and width of its made-up values: of most channels, and of those with units on either side."""
    if len(shape) > 1:
        width = math.sqrt(6 / math.prod(shape[1:]))
        return (0, width), (0, width)
    if name.endswith("running_mean"):
        return (0, 0.1), (0, 0.1)
    if name.endswith("running_var"):
        return (0.06, 0.01), (0.4, 0.1)
    if name.endswith("weight"):
        return ((0.05, 0.01), (0.3, 0.1)) if last else ((0.25, 0.05), (0.6, 0.2))
    return ((0.15, 0.05), (-0.1, 0.1)) if last else ((0.7, 0.3), (0, 0.1))


def steady(name, shape, last):
    """Made-up values of a tensor; `last` says whether it belongs to the last norm of a residual block."""
    u = made_up(name, math.prod(shape))
    (middle, width), even = kind_of(name, shape, last)
    shifts_up_or_down = name.endswith("bias") and not last
    middle = np.where(u < 0, np.float32(-middle), np.float32(middle)) if shifts_up_or_down else np.float32(middle)
    values = middle + np.float32(width) * u
    if len(shape) == 1:
        channels = slice(EVEN // 2, None, EVEN)
        values[channels] = np.float32(even[0]) + np.float32(even[1]) * u[channels]
    return torch.from_numpy(values).view(shape)


def fill(net):
    last = {f"{name}.bn{3 if hasattr(m, 'conv3') else 2}" for name, m in net.named_modules() if hasattr(m, "downsample")}
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                tensor.copy_(steady(name, tensor.shape, name.rsplit(".", 1)[0] in last))


def fingerprint(name, tensor):
    flat = tensor.detach().double().flatten().numpy()
    products = [flat @ made_up(f"{name}/{k}", flat.size).astype(np.float64) for k in range(2)]
    elements = [flat[j * flat.size // 5] for j in range(5)]
    return np.array([np.linalg.norm(flat), *products, *elements])


def record(case, dtype):
    """The values, and what is rectified in training."""
    with torch.device("meta"):
        net = case.build()
    net.to_empty(device="cpu")
    fill(net)
    net.to(dtype)
    rectified = []

    def note(_, inputs):
        rectified.append(inputs[0].detach().double())

    x = torch.from_numpy(made_up(f"input/{case.draw}", case.batch * 3 * case.size**2))
    x = x.view(case.batch, 3, case.size, case.size).to(dtype)
    y = torch.arange(case.batch) % CLASSES
    with torch.no_grad():
        out = {"eval": net.eval()(x).numpy()}
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
            module.register_forward_pre_hook(note)
    logits = net.train()(x)
    loss = nn.functional.cross_entropy(logits, y)
    loss.backward()
    out |= {"train": logits.detach().numpy(), "loss": np.array([loss.item()])}
    gradients, norms = sorted(net.named_parameters()), {}
    for name, p in gradients:
        norms[name] = p.grad.norm().item()
    # A bias before batch norm has no gradient; what there is comes from rounding.
    nothing = {name for name in norms if norms[name] < 1e-9 * norms[name.replace("bias", "weight")]}
    prints = [fingerprint(name, p.grad * 0 if name in nothing else p.grad) for name, p in gradients]
    out["gradients"] = np.stack(prints)
    buffers = sorted((name, b) for name, b in net.named_buffers() if not name.endswith("num_batches_tracked"))
    if buffers:
        out["buffers"] = np.stack([fingerprint(name, b) for name, b in buffers])
    return out, rectified


def differences(rough, exact):
    """How far values are from those of float64, relative to the largest logit or to the norm."""
    for key, value in rough.items():
        error = np.abs(value - exact[key]).reshape(len(value), -1).max(1)
        scale = exact[key][:, 0] if value.ndim == 2 and key in ("gradients", "buffers") else np.abs(exact[key]).max()
        relative = np.where(scale > 0, error / np.where(scale > 0, scale, 1), 0)
        yield f"{key} {relative.max():.1e}"


def main():
    folder, names = sys.argv[1], sys.argv[2:] or list(CASES)
    torch.set_num_threads(2)
    for name in names:
        name, _, draw = name.partition("@")
        case = CASES[name]._replace(draw=int(draw)) if draw else CASES[name]
        rough, rectified = record(case, torch.float32)
        exact, exactly = record(case, torch.float64)
        if not draw:
            save_file({key: value.astype(np.float32) for key, value in exact.items()}, f"{folder}/{name}.safetensors")
        pairs = list(zip(rectified, exactly))
        margin = min((b.abs().min() / (a - b).abs().mean()).item() for a, b in pairs)
        other = sum(((a > 0) != (b > 0)).sum().item() for a, b in pairs)
        print(name, case.draw, *differences(rough, exact), f"margin {margin:.1f}, {other} units differ", sep="\n  ", flush=True)


if __name__ == "__main__":
    main()
