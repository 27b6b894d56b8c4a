#!/usr/bin/env python3
"""The .pth files of crates/model/tests/model/torch_files.rs: every shape that people save, and some that nobody should load.

Made with Python 3.11, torch 2.15.0 and numpy 2 on a CPU:

    python scripts/golden_weights.py crates/model/tests/golden

Values come from a formula that the Rust test computes too. Files of the old format name storages by where they lay in memory,
so they differ from run to run.
"""
import argparse
import collections
import io
import math
import os
import sys
import zipfile

import numpy as np
import torch
from torch import nn

from golden_model import fill, made_up

OLD = {"_use_new_zipfile_serialization": False}


# PyTorch used to put the source of a network's class into the file; one made this way has none.
Net = type("Net", (nn.Linear,), {})


def numbers(name, *shape):
    return torch.from_numpy(made_up(name, math.prod(shape))).view(*shape)


class Hostile:
    """Runs a command when Python reads it."""

    def __reduce__(self):
        return os.system, ("touch graft-was-here",)


def layouts(folder):
    plain = {
        "weight": numbers("weight", 2, 3, 2, 2),
        "channels_last": numbers("channels_last", 2, 3, 2, 2).to(memory_format=torch.channels_last),
        "part": numbers("part", 10)[3:7],
        "transposed": numbers("transposed", 3, 4).t(),
        "half": numbers("half", 5).half(),
        "bfloat": numbers("bfloat", 5).bfloat16(),
        "double": numbers("double", 5).double(),
        "bn.num_batches_tracked": torch.tensor(7),
        "scalar": torch.tensor(0.5),
    }
    torch.save(plain, f"{folder}/plain.pth")
    torch.save(plain, f"{folder}/before-1.6.pth", **OLD)
    # Several tensors in one storage, and beside it storages of every other kind that PyTorch has.
    base = numbers("base", 12)
    shared = collections.OrderedDict(
        first=base[:4],
        middle=base[3:9],
        every_second=base[1::2],
        turned=base.view(3, 4).t(),
        base=base,
        again=base,
        nothing=torch.zeros(0, 3),
        flags=torch.tensor([True, False, True]),
        bytes=torch.arange(3, dtype=torch.uint8),
        signed=torch.arange(3, dtype=torch.int8),
        short=torch.arange(3, dtype=torch.int16),
        int=torch.arange(3, dtype=torch.int32),
        complex=torch.arange(3).to(torch.complex64),
        last=numbers("last", 3),
    )
    torch.save(shared, f"{folder}/shared.pth")
    torch.save(shared, f"{folder}/shared-before-1.6.pth", **OLD)
    # Types without a class of storages of their own.
    torch.save({"float8": numbers("base", 12).to(torch.float8_e4m3fn), "last": numbers("last", 3)}, f"{folder}/float8.pth")


def other_machines(folder):
    """Files as a big-endian machine writes them; that PyTorch reads the same numbers from them is checked here."""
    values = {"a": numbers("base", 12).view(3, 4).t(), "half": numbers("half", 5).half()}
    whole, turned = io.BytesIO(), io.BytesIO()
    torch.save(values, whole)
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(turned, "w", zipfile.ZIP_STORED) as target:
        for entry in source.namelist():
            content = source.read(entry)
            if entry.endswith("/byteorder"):
                content = b"big"
            elif "/data/" in entry:
                width = 2 if len(content) == 10 else 4
                content = np.frombuffer(content, f"<u{width}").byteswap().tobytes()
            # A fixed date, so that the file is the same every time.
            target.writestr(zipfile.ZipInfo(entry), content)
    # In the old format numbers are little-endian whatever wrote them, and the flag only says what that was.
    old = io.BytesIO()
    torch.save(values, old, **OLD)
    flag = b"X\x0d\x00\x00\x00little_endianq\x02\x88"
    assert old.getvalue().count(flag) == 1
    flagged = old.getvalue().replace(flag, flag[:-1] + b"\x89")
    for name, content in [("big-endian", turned.getvalue()), ("big-endian-before-1.6", flagged)]:
        read = torch.load(io.BytesIO(content), weights_only=True)
        assert all(torch.equal(read[key], value) for key, value in values.items())
        with open(f"{folder}/{name}.pth", "wb") as file:
            file.write(content)


def wrappings(folder):
    module = nn.Linear(3, 2)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            fill(name, parameter)
    state = module.state_dict()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    wrapped = {f"module.{name}": parameter for name, parameter in state.items()}
    torch.save({"epoch": 3, "state_dict": wrapped, "optimizer": optimizer.state_dict()}, f"{folder}/checkpoint.pth")
    torch.save(state, f"{folder}/protocol4.pth", pickle_protocol=4)
    torch.save(state, f"{folder}/protocol4-before-1.6.pth", pickle_protocol=4, **OLD)
    torch.save({name: nn.Parameter(parameter) for name, parameter in module.named_parameters()}, f"{folder}/parameters.pth")
    # As torchvision's reference scripts and timm write checkpoints.
    args = argparse.Namespace(lr=0.1, sizes=[1, 2], data_path="/data")
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 30)
    reference = {"model": state, "optimizer": optimizer.state_dict(), "lr_scheduler": scheduler.state_dict(), "epoch": 1, "args": args}
    torch.save(reference, f"{folder}/reference.pth")
    torch.save(reference, f"{folder}/reference-before-1.6.pth", **OLD)
    wrong = {name: torch.zeros_like(parameter) for name, parameter in state.items()}
    timm = {"epoch": 1, "arch": "net", "state_dict": state, "version": 2, "args": args, "metric": np.float64(0.5)}
    torch.save({**timm, "best": torch.tensor(0.5), "state_dict_ema": wrong}, f"{folder}/timm.pth")
    return module


def refused(folder, module):
    hostile = {"weight": module.weight.detach(), "extra": Hostile()}
    torch.save(module, f"{folder}/module.pth")
    torch.save(Net(3, 2), f"{folder}/module-before-1.6.pth", **OLD)
    torch.save(hostile, f"{folder}/hostile.pth")
    torch.save(hostile, f"{folder}/hostile-before-1.6.pth", **OLD)
    torch.save(module.weight.detach(), f"{folder}/tensor.pth")
    torch.save(module.weight.detach(), f"{folder}/tensor-before-1.6.pth", **OLD)
    torch.save(list(module.state_dict().values()), f"{folder}/list.pth")


def main():
    folder = sys.argv[1]
    layouts(folder)
    other_machines(folder)
    refused(folder, wrappings(folder))


if __name__ == "__main__":
    main()
