#!/usr/bin/env python3
"""Golden values for crates/trainer: learning rates of torch.optim.lr_scheduler, and steps of torch.optim's optimizers.

Made with Python 3.11, torch 2.15.0 and torchvision 0.29.2:

    python scripts/golden_trainer.py crates/trainer/tests/golden

`schedules.json` holds, by name, the rate of every step of 12 epochs of 5 steps from 0.1 on. `plateaus.json` holds figures of
epochs and the rate of each epoch. `optimizers.json` holds weight and bias of a softmax regression after 25 and after 50 steps
on eight made-up samples. `mixing.json` holds made-up pictures mixed by torchvision.transforms.v2, and the cross entropy of mixed
labels with its gradient.
"""
import json
import pathlib
import sys

import torch
from torch.optim import lr_scheduler as schedulers
from torchvision.transforms import v2

LR, EPOCHS, STEPS = 0.1, 12, 5


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)


def rates(build, per):
    sgd = optimizer()
    schedule = build(sgd)
    found = []
    for _ in range(EPOCHS):
        for _ in range(STEPS):
            found.append(sgd.param_groups[0]["lr"])
            sgd.step()
            if per == "step":
                schedule.step()
        if per == "epoch":
            schedule.step()
    return found


def warmed(sgd, main, length):
    warm_up = schedulers.LinearLR(sgd, start_factor=0.01, total_iters=length)
    return schedulers.SequentialLR(sgd, [warm_up, main], milestones=[length])


def schedules():
    total = EPOCHS * STEPS
    return {
        "step": rates(lambda s: schedulers.StepLR(s, 5, 0.1), "epoch"),
        "multi-step": rates(lambda s: schedulers.MultiStepLR(s, [3, 9], 0.5), "epoch"),
        "exponential": rates(lambda s: schedulers.ExponentialLR(s, 0.9), "epoch"),
        "cosine": rates(lambda s: schedulers.CosineAnnealingLR(s, EPOCHS, 0.001), "epoch"),
        "cosine-by-step": rates(lambda s: schedulers.CosineAnnealingLR(s, total, 0.001), "step"),
        "polynomial": rates(lambda s: schedulers.PolynomialLR(s, EPOCHS, 2.0), "epoch"),
        "polynomial-by-step": rates(lambda s: schedulers.PolynomialLR(s, total, 0.9), "step"),
        "one-cycle": rates(
            lambda s: schedulers.OneCycleLR(s, LR, total_steps=total, pct_start=0.3, cycle_momentum=False), "step"),
        "warm-up-epochs-cosine": rates(
            lambda s: warmed(s, schedulers.CosineAnnealingLR(s, EPOCHS - 3, 0.0), 3), "epoch"),
        "warm-up-steps-cosine-by-step": rates(
            lambda s: warmed(s, schedulers.CosineAnnealingLR(s, total - 7, 0.0), 7), "step"),
    }


def plateaus():
    falling = [1.0, 0.8, 0.79999, 0.81, 0.8, 0.8, 0.7, 0.71, 0.7, 0.7, 0.7, 0.72, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7]
    rising = [0.5, 0.6, 0.6, 0.55, 0.6, 0.65, 0.65, 0.65, 0.65, 0.65, 0.65, 0.65, 0.66, 0.66, 0.66]
    cases = {}
    for name, figures, options in [
        ("loss", falling, dict(mode="min", factor=0.1, patience=2)),
        ("cooldown", falling, dict(mode="min", factor=0.5, patience=1, cooldown=2, min_lr=0.02)),
        ("accuracy", rising, dict(mode="max", factor=0.3, patience=2, threshold=0.05)),
    ]:
        sgd = optimizer()
        schedule = schedulers.ReduceLROnPlateau(sgd, **options)
        found = []
        for figure in figures:
            schedule.step(figure)
            found.append(sgd.param_groups[0]["lr"])
        cases[name] = {"figures": figures, "rates": found}
    return cases


def made_up(count, key):
    """Multiples of 1/64 in [-1, 1) that anybody can compute again."""
    return torch.tensor([((i * 37 + key * 101) % 128 - 64) / 64 for i in range(count)])


def optimizers():
    samples, features, classes = 8, 5, 3
    x, labels = made_up(samples * features, 1).view(samples, features), torch.arange(samples) % classes
    optim = torch.optim
    cases = {
        "sgd": (lambda p: optim.SGD(p, 0.1), {}),
        "momentum": (lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01), {}),
        "nesterov": (lambda p: optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True), {}),
        "adam": (lambda p: optim.Adam(p, 0.01, weight_decay=0.1), {}),
        "adamw": (lambda p: optim.AdamW(p, 0.01, betas=(0.8, 0.99), weight_decay=0.1), {}),
        "rmsprop": (lambda p: optim.RMSprop(p, 0.01, alpha=0.9, momentum=0.5, weight_decay=0.01), {}),
        "clip-norm": (lambda p: optim.SGD(p, 0.5, momentum=0.9), {"norm": 0.1}),
        "clip-value": (lambda p: optim.Adam(p, 0.01), {"value": 0.05}),
        "smoothing": (lambda p: optim.SGD(p, 0.1), {"smoothing": 0.1}),
        "class-weights": (lambda p: optim.SGD(p, 0.1), {"smoothing": 0.2, "weights": [1.0, 0.5, 2.0]}),
    }
    found = {}
    for name, (build, options) in cases.items():
        weight = torch.nn.Parameter(made_up(classes * features, 2).view(classes, features))
        bias = torch.nn.Parameter(made_up(classes, 3))
        optimizer = build([weight, bias])
        states = []
        for step in range(50):
            weights = options.get("weights")
            loss = torch.nn.functional.cross_entropy(
                torch.nn.functional.linear(x, weight, bias), labels, label_smoothing=options.get("smoothing", 0.0),
                weight=None if weights is None else torch.tensor(weights))
            optimizer.zero_grad()
            loss.backward()
            if "norm" in options:
                torch.nn.utils.clip_grad_norm_([weight, bias], options["norm"])
            if "value" in options:
                torch.nn.utils.clip_grad_value_([weight, bias], options["value"])
            optimizer.step()
            if step in (24, 49):
                states.append([float(v) for v in torch.cat([weight.flatten(), bias]).detach()])
        found[name] = states
    return found


def mixing():
    size, count = 6, 4
    images, labels = made_up(count * 3 * size * size, 7).view(count, 3, size, size), torch.arange(count)
    pictures = []
    for share, middle in [(0.3, None), (0.85, None), (0.3, (1, 4)), (0.75, (3, 2)), (0.0, (5, 0)), (0.99, (2, 2))]:
        if middle is None:
            transform = v2.MixUp(num_classes=count)
            params = {"lam": share}
        else:
            # What CutMix.make_params makes of these draws.
            transform = v2.CutMix(num_classes=count)
            draws = iter([torch.tensor([m]) for m in middle])
            transform._dist = type("Given", (), {"sample": lambda self, _: torch.tensor([share], dtype=torch.float64)})()
            randint, torch.randint = torch.randint, lambda *_, **__: next(draws)
            params = transform.make_params([images])
            torch.randint = randint
        params |= {"labels": labels, "batch_size": count}
        label_share = params.get("lam", params.get("lam_adjusted"))
        pixels = [float(v) for v in transform.transform(images, params).flatten()]
        pictures.append({"share": share, "middle": middle, "label_share": label_share, "pixels": pixels})
    losses = []
    for share, smoothing in [(0.3, 0.0), (0.8, 0.0), (0.65, 0.1), (1.0, 0.0)]:
        logits = torch.nn.Parameter(made_up(12, 8).view(4, 3) * 3)
        one_hot = [torch.nn.functional.one_hot(torch.tensor(t), 3).float() for t in ([0, 1, 2, 2], [2, 0, 1, 2])]
        targets = share * one_hot[0] + (1 - share) * one_hot[1]
        loss = torch.nn.functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        loss.backward()
        numbers = {name: [float(v) for v in t.detach().flatten()] for name, t in [("logits", logits), ("gradient", logits.grad)]}
        losses.append({"share": share, "smoothing": smoothing, "loss": float(loss.detach())} | numbers)
    return {"pictures": pictures, "losses": losses}


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in [("schedules", schedules()), ("plateaus", plateaus()), ("optimizers", optimizers()),
                         ("mixing", mixing())]:
        (folder / f"{name}.json").write_text(json.dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    main()
