#!/usr/bin/env python3
"""Golden values for crates/model/tests/model/backbones_depthwise.rs: what torchvision's and timm's networks compute from
made-up weights.

Made with Python 3.11, torch 2.15.0, torchvision 0.29.2, timm 1.0.31, numpy 2 and safetensors 0.8 on a CPU, in float64:

    python scripts/golden_backbones_depthwise.py crates/model/tests/golden/backbones [NAME...]

Of each network there are the logits in evaluation mode; logits (also of auxiliary classifiers), loss, every gradient and the
running statistics of a training pass; of gradients and statistics the norm, the products with two made-up vectors (which feel
every element) and five elements. They are sorted by name.

Deep networks need steady weights. Where rounding decides whether a unit is on, or which of a pool's values is the largest, a
gradient jumps by that unit's share, some 1e-3 of its norm; and with units on either side of 0 in equal numbers a network
doubles its rounding error every few layers. So norms shift their units up: one in fourteen is off, and fewer where
there are very many. The maps that the Inceptions
normalise are so small that the eps of their norms counts as much as the variance, which keeps channels that hardly vary from
being blown up. Of the made-up pictures those are taken on which neither float32 nor noise as large as its rounding in every
convolution switches a unit: the script prints how far the values of both are from those of float64. On pictures of 299 pixels,
which Inception v3's auxiliary classifier needs, some unit always switches, so that only gradients near the two ends are kept,
which few units come after; smaller pictures give all of them, without that classifier.
"""
import math
import sys
import warnings
from collections import namedtuple

import numpy as np
import timm
import torch
import torchvision
from golden_backbones import differences, fingerprint
from golden_model import made_up
from safetensors.numpy import save_file
from torch import nn

CLASSES = 5
# What the noise is, as a share of the largest output of a convolution.
NOISE = 1e-7

# How much smaller than usual the weights of the Inceptions' convolutions are.
SMALL = 0.022

# `gradients`: what the names of the parameters whose gradients are kept begin with.
Case = namedtuple("Case", "build batch size draw auxiliary small gradients shift", defaults=[[], False, ("",), 1.5])


def vision(name, **options):
    return lambda: getattr(torchvision.models, name)(num_classes=CLASSES, dropout=0.0, **options)


def from_timm(name):
    return lambda: timm.create_model(name, num_classes=CLASSES)


NEAR_THE_ENDS = ("AuxLogits.", "Mixed_7c.", "fc.")
CASES = {
    "googlenet": Case(vision("googlenet", dropout_aux=0.0, init_weights=False), 2, 32, 1, [0.3, 0.3], True),
    "inception_v3": Case(vision("inception_v3", init_weights=False), 2, 299, 0, [0.4], True, NEAR_THE_ENDS, 2),
    "inception_v3_small": Case(vision("inception_v3", init_weights=False, aux_logits=False), 2, 107, 4, [], True),
    "mobilenet_v1": Case(from_timm("mobilenetv1_100"), 4, 64, 0),
    "mobilenet_v2": Case(vision("mobilenet_v2"), 4, 64, 0),
    "mobilenet_v3_large": Case(vision("mobilenet_v3_large"), 4, 64, 2),
    "mobilenet_v3_small": Case(vision("mobilenet_v3_small"), 4, 64, 0),
    "xception": Case(from_timm("legacy_xception"), 2, 64, 1, shift=2),
}


def steady(name, shape, is_norm, case):
    """Made-up values of a tensor; `is_norm` says whether it belongs to batch norm, `case` how large they are."""
    u = made_up(name, math.prod(shape))
    scale = SMALL if case.small else 1
    if len(shape) > 1:
        middle, width = 0, math.sqrt(6 / math.prod(shape[1:])) * (scale if len(shape) == 4 else 1)
    elif name.endswith("running_var"):
        middle, width = scale**2, 0.2 * scale**2
    elif name.endswith("running_mean"):
        middle, width = 0, 0.1 * scale
    elif is_norm and name.endswith("weight"):
        middle, width = 1.4 if case.small else 1, 0.2
    elif is_norm and name.endswith("bias"):
        middle, width = case.shift, 0.1
    else:
        middle, width = 0, 0.1
    return torch.from_numpy(np.float32(middle) + np.float32(width) * u).view(shape)


def fill(net, case):
    state = net.state_dict()
    with torch.no_grad():
        for name, tensor in state.items():
            if not name.endswith("num_batches_tracked"):
                is_norm = name.rsplit(".", 1)[0] + ".running_var" in state
                tensor.copy_(steady(name, tensor.shape, is_norm, case))


def disturb(net):
    """Adds noise to what every convolution gives."""
    generator = torch.Generator().manual_seed(0)

    def add_noise(_, __, output):
        noise = torch.randn(output.shape, generator=generator, dtype=output.dtype)
        return output + NOISE * output.detach().abs().max() * noise

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(add_noise)


def record(case, dtype, disturbed=False):
    net = case.build()
    fill(net, case)
    net.to(dtype)
    if disturbed:
        disturb(net)
    x = torch.from_numpy(made_up(f"input/{case.draw}", case.batch * 3 * case.size**2))
    x = x.view(case.batch, 3, case.size, case.size).to(dtype)
    y = torch.arange(case.batch) % CLASSES
    with torch.no_grad():
        out = {"eval": net.eval()(x).numpy()}
    logits = net.train()(x)
    # GoogLeNet's come last first.
    logits, *auxiliary = [logits[0], *logits[:0:-1]] if case.auxiliary else [logits]
    loss = nn.functional.cross_entropy(logits, y)
    for weight, other in zip(case.auxiliary, auxiliary):
        loss = loss + weight * nn.functional.cross_entropy(other, y)
    loss.backward()
    out |= {"train": logits.detach().numpy(), "loss": np.array([loss.item()])}
    out |= {f"auxiliary/{i}": other.detach().numpy() for i, other in enumerate(auxiliary)}
    gradients = sorted(net.named_parameters())
    norms = {name: p.grad.norm().item() for name, p in gradients}
    # A shift of maps that only go through convolutions to other norms has no gradient; what there is comes from rounding.
    nothing = {name for name in norms if norms[name] < 1e-9 * norms[name.replace("bias", "weight")]}
    kept = [(name, p) for name, p in gradients if name.startswith(case.gradients)]
    prints = [fingerprint(name, p.grad * 0 if name in nothing else p.grad) for name, p in kept]
    out["gradients"] = np.stack(prints)
    buffers = sorted((name, b) for name, b in net.named_buffers() if not name.endswith("num_batches_tracked"))
    out["buffers"] = np.stack([fingerprint(name, b) for name, b in buffers])
    return out


def main():
    warnings.simplefilter("ignore")
    folder, names = sys.argv[1], sys.argv[2:] or list(CASES)
    torch.set_num_threads(2)
    for name in names:
        name, _, draw = name.partition("@")
        case = CASES[name]._replace(draw=int(draw)) if draw else CASES[name]
        exact = record(case, torch.float64)
        if not draw:
            save_file({key: value.astype(np.float32) for key, value in exact.items()}, f"{folder}/{name}.safetensors")
        print(name, case.draw, flush=True)
        print("  float32:", *differences(record(case, torch.float32), exact), flush=True)
        print("  noise:  ", *differences(record(case, torch.float64, disturbed=True), exact), flush=True)


if __name__ == "__main__":
    main()
