"""The command line, the order of the parts, and what happens when one fails or time is over."""
import argparse
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback

from . import checks, times
from .commands import ROOT, Clock, Commands, Failed, OutOfTime, Stopped
from .material import Material, unpacked
from .table import FAILED, LATE, LEFT_OUT, Table, between, today

# The parts by value, with the share of the whole time that each may take at most, so that none that hangs takes all.
PARTS = {
    "operations": (checks.operations, 0.25), "smoke": (checks.smoke, 0.2), "beeant": (checks.beeant, 0.15),
    "steps": (times.steps, 0.4), "protocol": (times.protocol, 0.6), "squeezenet": (checks.squeezenet, 0.25),
    "side-by-side": (times.side_by_side, 0.5),
}
# Sizes at which a CPU that plays a GPU does everything in some minutes.
SMALL = {"size": 32, "batches": [2, 4], "pictures": 1, "repeats": 1, "epochs": 1, "jobs": [1, 2, None], "seconds": 0.01, "rounds": 1,
         "peer_device": "cpu", "peer_workers": 0, "peer_threads": 1, "peer_epochs": 2, "minutes": 60.0}
BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"


class Check:
    """What the parts share."""

    def __init__(self, args, work, table, commands):
        self.args, self.work, self.table, self.commands = args, work, table, commands
        self.run = commands.run
        self.graft = unpacked(args.graft, work)
        self.material = None

    def sweep(self, experiment, name, *options, device=None, **variables):
        """Runs a sweep, with more environment variables; its results folder and the seconds it took."""
        results = self.work / name
        command = [self.graft, "sweep", f"experiments/{experiment}.toml", "--results-dir", results, "--device",
                   device or self.args.device, "--offline", *options]
        start = time.monotonic()
        self.run(command, **variables)
        return results / experiment, time.monotonic() - start

    def amount(self, repeats, epochs):
        """The arguments of a sweep for so many repeats and epochs, or those of the command line."""
        return ["--set", f"repeats={self.args.repeats or repeats}", "--set", f"train.epochs={self.args.epochs or epochs}"]

    def amounts(self, repeats, epochs):
        return f"{self.args.repeats or repeats} repeats × {self.args.epochs or epochs} epochs"

    def lacks(self, part, network):
        """Whether there are no pictures or weights for a part, with a note of what is not there."""
        why = self.material.lacks(network)
        if why:
            self.table.note(LEFT_OUT, f"{part}: {why}")
        return bool(why)


def about(args, commands, graft):
    """Lines on the machine and the programs."""
    def said(*command):
        try:
            return "; ".join(commands.run(command, limit=20).split("\n")).strip("; ")
        except (Failed, OutOfTime):
            return ""

    gpu = said("nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader")
    commit = args.commit or said("git", "rev-parse", "--short", "HEAD") or "unknown"
    return [f"- machine: {gpu or 'nvidia-smi does not answer'}; {os.cpu_count()} CPU cores",
            f"- {said(graft, '--version')}, commit {commit}", f"- measured {today()}: `scripts/gpu-check {shown()}`"]


def everything(check, clock):
    """Runs the parts, each whatever the others did."""
    table = check.table
    for name, (part, share) in PARTS.items():
        if name not in check.args.only:
            continue
        clock.start_part(share)
        if clock.left() < min(5, share * clock.total):
            table.note(LEFT_OUT, f"{name}: no time was left")
            continue
        begin, table.parts[name] = time.monotonic(), "runs"
        try:
            part(check)
        except OutOfTime as late:
            table.note(LATE, f"{name}: {late}", late.said)
        except Failed as failed:
            table.note(FAILED, f"{name}: {failed}", failed.said)
        except Exception as error:
            table.note(FAILED, f"{name}: {type(error).__name__}: {error}", traceback.format_exc(limit=-3))
        table.parts[name] = f"{time.monotonic() - begin:.0f} s"


def work_on(args, work, table):
    """Everything, until a signal comes."""
    clock = Clock(args.minutes)
    commands = Commands(clock, args.log or work / "log")
    commands.note(f"scripts/gpu-check {shown()}")
    try:
        check = Check(args, work, table, commands)
        table.about = about(args, commands, check.graft)
        table.publish()
        check.material = Material(args, work, commands)
        everything(check, clock)
    except Stopped as stopped:
        table.note(LATE, f"{stopped} ended this after {clock.spent():.0f} s")
    except (Failed, OutOfTime) as failed:
        table.note(FAILED, str(failed), failed.said)
    table.parts["all"] = f"{clock.spent():.0f} s"
    table.publish()


def shown():
    """The arguments, without the folders of a machine."""
    return " ".join(pathlib.Path(text).name if "/" in text else text for text in sys.argv[1:])


def numbers(text):
    return [int(part) for part in text.split(",")]


def parse(text):
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    # None stands for what each part has of its own.
    parser.add_argument("--small", action="store_true")
    for name in ("--graft", "--data", "--weights-dir", "--peer", "--work", "--out", "--log", "--into"):
        parser.add_argument(name, type=pathlib.Path)
    for name in ("--size", "--pictures", "--repeats", "--epochs", "--peer-threads"):
        parser.add_argument(name, type=int)
    parser.add_argument("--made-up", action="store_true")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--commit")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=9.5)
    parser.add_argument("--seconds", type=float, default=0.7)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batches", type=numbers, default=[4, 128])
    parser.add_argument("--precisions", type=lambda text: text.split(","), default=["f32", "tf32", "bf16"])
    parser.add_argument("--jobs", type=numbers)
    parser.add_argument("--peer-device")
    parser.add_argument("--peer-workers", type=int, default=4)
    parser.add_argument("--peer-epochs", type=int, default=4)
    if parser.parse_known_args()[0].small:
        parser.set_defaults(**SMALL)
    args = parser.parse_args()
    unknown = [part for part in args.only if part not in PARTS]
    if unknown:
        parser.error(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    args.peer_device = args.peer_device or args.device
    args.graft = args.graft or pathlib.Path(os.environ.get("GRAFT_BINARY", ROOT / "target/release/graft"))
    for name in ("data", "weights_dir", "peer", "out", "log", "into"):
        if getattr(args, name):
            setattr(args, name, getattr(args, name).resolve())
    return args


def on_signals(action):
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, action)


def stop_at(number, _):
    """Ends the work at a signal, once."""
    on_signals(signal.SIG_IGN)
    raise Stopped(signal.Signals(number).name)


def main(text):
    args = parse(text)
    on_signals(stop_at)
    work = (args.work or pathlib.Path(tempfile.mkdtemp(prefix="graft-gpu-check-"))).resolve()
    for folder in [work, *(file.parent for file in (args.out, args.log) if file)]:
        folder.mkdir(parents=True, exist_ok=True)
    table = Table(args.out)
    work_on(args, work, table)
    on_signals(signal.SIG_IGN)
    print(table.markdown(), end="", flush=True)
    if args.into:
        between(args.into, BEGIN, END, table.markdown())
    if not args.work:
        shutil.rmtree(work, ignore_errors=True)
    sys.exit(table.status())
