"""The parts that compare numbers: with the CPU's, with a second run's, with what an experiment should show."""
import csv
import json
import math
import statistics
import time

from .commands import Failed
from .material import RESNET, SQUEEZENET

# What is compared to the byte when a sweep is repeated, in its folder and in the trials' folders.
TABLES = ["epochs.csv", "summary.csv", "comparisons.csv", "metrics.csv"]
RECORDS = ["*.safetensors", "predictions.csv"]
# Has steps recorded: CUDA graphs.
RECORDED = {"GRAFT_CUDA_GRAPHS": "1"}
RECORDED_LINE = "are recorded from here on"
# How far a validation loss of the smoke sweep may be from the CPU's.
BOUNDS = {"f32": 1e-2, "tf32": 3e-2, "bf16": 1e-1}
# The validation accuracy that SqueezeNet's pretrained variants have to reach in four epochs; 0.90 is usual.
ACCURACY = 0.75


def rows(file):
    with open(file, newline="") as text:
        return list(csv.DictReader(text))


def operations(check):
    """Every operation and its gradient against the CPU."""
    command = [check.graft, "check-device", "--device", check.args.device, "--json"]
    start = time.monotonic()
    try:
        found = json.loads(check.run(command, good=(0, 1)))
    except (Failed, json.JSONDecodeError):
        # Where each launch is waited for, the error names the operation that made it.
        check.run(command, good=(0, 1), CUDA_LAUNCH_BLOCKING="1")
        raise
    took = time.monotonic() - start
    check.table.about.append(f"- device: {found['device']}")
    check.table.add("`graft check-device`: wall time with start", f"{took:.1f} s")
    for (kind, way), (error, name) in sorted(worst(found["cases"]).items()):
        check.table.add(f"operations, {kind}, {way}: largest relative error", f"{error:.1e} ({name})", "the CPU")
    bad = [case for case in found["cases"] if not case["passed"]]
    check.table.check(not bad, f"operations: {len(found['cases'])} cases", f"{len(bad)} beyond their bound", "the CPU",
                      "\n".join(described(case) for case in bad[:40]))


def worst(cases):
    """The largest error of each kind of numbers and each way, with the operation that has it."""
    errors = {}
    for case in cases:
        for way in ("forward", "backward"):
            # JSON has no infinity and no NaN: they are `null`, as is the gradients' error where there are none.
            error = math.inf if way == "forward" and case[way] is None else case[way]
            if error is not None:
                key = case["precision"], way
                errors[key] = max(errors.get(key, (0.0, "")), (error, case["operation"]))
    return errors


def described(case):
    repeatable = "" if case["repeatable"] else ", another result at the second run"
    error = f", {case['error']}" if case.get("error") else ""
    return (f"{case['operation']}, {case['precision']}: forward {case['forward']}, backward {case['backward']}, "
            f"bound {case['tolerance']}{repeatable}{error}")


def smoke(check):
    """The smoke sweep on both devices in all precisions, and on the GPU once more and with recorded steps."""
    cpu, _ = check.sweep("smoke", "smoke-cpu", device="cpu")
    once, took = check.sweep("smoke", "smoke-f32")
    gaps(check, "f32", cpu, once, took)
    again, _ = check.sweep("smoke", "smoke-again")
    same(check, "smoke sweep, repeated", once, again)
    replayed, _ = check.sweep("smoke", "smoke-recorded", **RECORDED)
    same(check, "smoke sweep, with recorded steps", once, replayed)
    logs = [log.read_text() for log in replayed.glob("trials/*/log.txt")]
    refused = [line for log in logs for line in log.splitlines() if "not recorded" in line]
    recorded = sum(RECORDED_LINE in log for log in logs)
    check.table.check(recorded == len(logs) > 0, "smoke sweep: trials whose steps were recorded", f"{recorded} of {len(logs)}", "",
                      "\n".join(refused[:5]))
    for precision in ("tf32", "bf16"):
        found, took = check.sweep("smoke", f"smoke-{precision}", "--set", f'train.precision="{precision}"')
        gaps(check, precision, cpu, found, took)


def gaps(check, precision, cpu, gpu, took):
    """A row of how far validation losses are apart."""
    pairs = list(zip(rows(cpu / "epochs.csv"), rows(gpu / "epochs.csv"), strict=True))
    apart = [abs(float(a["val_loss"]) - float(b["val_loss"])) for a, b in pairs]
    good = bool(apart) and all(gap < BOUNDS[precision] for gap in apart)
    check.table.check(good, f"smoke sweep, {precision}: largest difference of a validation loss",
                      f"{max(apart, default=0):.1e} in {took:.1f} s", "the CPU, f32")


def same(check, what, once, again):
    """A row of whether two runs of a sweep left the same bytes."""
    names = [*TABLES]
    for pattern in RECORDS:
        files = {file.relative_to(folder) for folder in (once, again) for file in folder.glob(f"trials/*/{pattern}")}
        names += sorted(map(str, files))
    other = [name for name in names if content(once / name) != content(again / name)]
    networks = sum(name.endswith(".safetensors") for name in names)
    text = f"{len(other)} of {len(names)} files differ" if other else f"the same bytes: {len(TABLES)} tables, {networks} checkpoints"
    check.table.check(not other and networks > 0, f"{what}: tables and checkpoints", text, "", "\n".join(other[:20]))


def content(file):
    return file.read_bytes() if file.exists() else None


def beeant(check):
    """A short beeant, twice: side by side, and one trial after another."""
    if check.lacks("beeant", RESNET):
        return
    options = check.material.options(RESNET) + check.amount(1, 2)
    once, took = check.sweep("beeant", "beeant-once", *options)
    table = check.table
    table.add(f"beeant, {check.amounts(1, 2)}: training loss of the last epoch", f"{last(once, 'train_loss')} in {took:.1f} s")
    again, _ = check.sweep("beeant", "beeant-again", *options, "--jobs", 1)
    same(check, "beeant with ResNet-18, repeated with one trial at a time", once, again)


def squeezenet(check):
    """The experiment whose ImageNet weights are small enough to be here, so that its accuracies mean something."""
    if check.lacks("squeezenet", SQUEEZENET):
        return
    options = check.material.options(SQUEEZENET) + check.amount(2, 4)
    once, took = check.sweep("beeant-squeezenet", "squeezenet-once", *options)
    what, found = f"beeant-squeezenet, {check.amounts(2, 4)}: validation accuracy", f"{last(once, 'val_accuracy')} in {took:.1f} s"
    if check.material.made_up or check.args.size or check.args.pictures or check.args.epochs:
        check.table.add(what, found)
    else:
        good = all(mean >= ACCURACY for name, mean in means(once, "val_accuracy").items() if name != "scratch")
        check.table.check(good, what, found, f"pretrained and frozen ≥ {ACCURACY}")
    again, _ = check.sweep("beeant-squeezenet", "squeezenet-again", *options)
    same(check, "beeant-squeezenet, repeated", once, again)


def means(folder, column):
    """The mean over the repeats of a column in the last epoch, of each variant."""
    table = rows(folder / "epochs.csv")
    end, found = max(int(row["epoch"]) for row in table), {}
    for row in table:
        if int(row["epoch"]) == end:
            found.setdefault(row["variant"], []).append(float(row[column]))
    return {name: statistics.mean(values) for name, values in found.items()}


def last(folder, column):
    return ", ".join(f"{name} {mean:.3f}" for name, mean in means(folder, column).items())
