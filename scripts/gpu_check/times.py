"""The parts that measure times, beside PyTorch's."""
import csv
import functools
import json
import statistics
import sys
import time

from . import checks
from .commands import Failed, OutOfTime, Stopped
from .material import PICTURES, RESNET
from .memory import Memory
from .server import Server
from .table import FAILED, LEFT_OUT

# The ways in which PyTorch is measured: the server that answers, and its arguments.
BENCHMARK, RANKING = "cudnn.benchmark", "cuDNN's ranking"
OPTIONS = {BENCHMARK: [], RANKING: ["--no-cudnn-benchmark"]}
LAYOUTS = {"contiguous": [], "channels_last": ["--channels-last"]}
STEP = "train_step_ms_per_image"
# Other ways of Graft's, each measured where it may help: up to a batch of so many, where launches count, and beyond, where the
# algorithms do.
SMALL = 16
WAYS = {"recorded steps": ([], checks.RECORDED), "any algorithm": (["--deterministic", "false"], {})}
# Repeats and epochs of experiments/beeant.toml.
REPEATS, EPOCHS, VARIANTS = 10, 20, 3
# The peer's epochs that are scaled up to them take no longer than this share of the whole time.
PEER_SHARE = 0.25
# How many trials at a time are tried, and on what.
JOBS, JOBS_REPEATS, JOBS_EPOCHS = [1, 2, 4, 8, None], 8, 2


def steps(check):
    """ResNet-18's training step, in turn with PyTorch's."""
    with Memory() as memory:
        before = memory.now()
        servers = start(check)
        after = memory.now()
        context = None if None in (before, after) or not servers else (after - before) / len(servers)
        try:
            for batch in check.args.batches:
                for precision in check.args.precisions:
                    step(check, Steps(check, memory, servers, context, batch, precision))
        finally:
            for server in servers.values():
                server.close()


def start(check):
    """PyTorch's processes, none if it can't be started. A process each: cuDNN's choice is kept for the life of a process."""
    begin, servers = time.monotonic(), {}
    try:
        for name, options in OPTIONS.items():
            servers[name] = Server(check.commands, check.args.peer_device, threads(check), *options)
        version = [server.ready() for server in servers.values()][0]
    except BaseException as failed:
        for server in servers.values():
            server.close()
        if not isinstance(failed, (Failed, OSError)):
            raise
        check.table.note(LEFT_OUT, f"steps: PyTorch beside them: {failed}", getattr(failed, "said", ""))
        return {}
    check.table.about.append(f"- peer: torch {version} on {check.args.peer_device}, {time.monotonic() - begin:.0f} s to start")
    return servers


class Steps:
    """The training step at one batch size and precision: milliseconds and bytes of Graft (`own`) and of PyTorch in each way."""

    def __init__(self, check, memory, servers, context, batch, precision):
        self.check, self.memory, self.servers, self.context = check, memory, servers, context
        self.batch, self.precision = batch, precision
        self.times, self.bytes = {}, {}

    def shared(self, device):
        size = ["--size", self.check.args.size] if self.check.args.size else []
        return ["--model", "resnet18", "--batch-size", self.batch, *size, "--measure", "train", "--seconds",
                self.check.args.seconds, "--device", device, "--precision", self.precision, "--json"]

    def own(self, options=(), variables=None):
        command = [self.check.graft, "bench", *self.shared(self.check.args.device), *options]
        return json.loads(self.check.run(command, **(variables or {})).splitlines()[-1])

    def another(self, way):
        found = self.own(*WAYS[way])
        if way == "recorded steps" and not found["recorded"]:
            self.check.table.note(FAILED, f"steps, batch {self.batch}, {self.precision}: they were not recorded")
        return found

    def other(self):
        """The other way of Graft's that may help at this batch size."""
        return "recorded steps" if self.batch <= SMALL else "any algorithm"

    def note(self, way, measure, extra):
        """Measures once. `extra` is what the process takes of the memory before."""
        before, begin = self.memory.now(), time.monotonic()
        took = measure()[STEP] * self.batch
        self.times.setdefault(way, []).append(took)
        peak = self.memory.peak(begin)
        if None not in (before, peak, extra):
            self.bytes[way] = max(self.bytes.get(way, 0), peak - before + extra)

    def round(self):
        self.note("own", self.own, 0)
        for kind, server in self.servers.items():
            for layout, option in LAYOUTS.items():
                arguments = [*self.shared(self.check.args.peer_device), *option]
                self.note(f"{layout}, {kind}", functools.partial(server.measure, arguments), self.context)

    def cell(self, way):
        took = statistics.median(self.times[way])
        memory = f", {self.bytes[way] / 2**30:.2f} GiB" if way in self.bytes else ""
        return f"{took:.3f} ms, {1e3 * self.batch / took:.0f} images/s{memory}"

    def add(self, table):
        """The row of what was measured so far."""
        medians = {way: statistics.median(times) for way, times in self.times.items()}
        what, own = f"ResNet-18 training step, batch {self.batch}, {self.precision}", medians.pop("own")
        cell, other = self.cell("own"), medians.pop(self.other(), None)
        if other is not None:
            cell += f"; {self.other()} {other:.3f} ms"
        if not medians:
            return table.add(what, cell)
        ways = sorted(medians, key=medians.get)
        others = ", ".join(f"{medians[way]:.3f} ({way})" for way in ways[1:])
        table.add(what, cell, f"{self.cell(ways[0])} ({ways[0]}); others {others or 'none'}",
                  f"**{own / medians[ways[0]]:.2f}** (target ≤ 1)")


def step(check, steps):
    """A row; if one side fails, of what there is."""
    try:
        for _ in range(check.args.rounds):
            steps.round()
        way = steps.other()
        steps.note(way, functools.partial(steps.another, way), 0)
    except Failed as failed:
        check.table.note(FAILED, f"steps, batch {steps.batch}, {steps.precision}: {failed}", failed.said)
    finally:
        if "own" in steps.times:
            steps.add(check.table)


def protocol(check):
    """experiments/beeant.toml, whole, beside a few epochs of the script, scaled up."""
    if check.lacks("protocol", RESNET):
        return
    peer = peer_seconds(check)
    repeats, epochs = check.args.repeats or REPEATS, check.args.epochs or EPOCHS
    what = f"beeant, {VARIANTS} variants × {repeats} repeats × {epochs} epochs"
    wanted, late, begin = VARIANTS * repeats * epochs, None, time.monotonic()
    try:
        folder, own = check.sweep("beeant", "protocol", *check.material.options(RESNET), *check.amount(repeats, epochs))
        text = f"{own:.1f} s"
    except (OutOfTime, Stopped) as error:
        late, took = error, time.monotonic() - begin
        done = sum(len(checks.rows(file)) for file in check.work.glob("protocol/beeant/trials/*/epochs.csv"))
        if not done:
            raise
        own = took * wanted / done
        text = f"{own:.0f} s, scaled up from {done} of {wanted} epochs in {took:.0f} s"
    if peer:
        peer *= repeats * epochs
        check.table.add(what, text, f"{peer:.1f} s, scaled up", f"**{own / peer:.2f}** (target ≤ 0.2)")
    else:
        check.table.add(what, text)
    if late:
        raise late
    check.table.add(f"{what}: validation accuracy of the last epoch", checks.last(folder, "val_accuracy"))


def peer_seconds(check):
    """Seconds of the script for an epoch of all variants together, None if that was not found out. The first epoch of each variant,
    which starts up libraries, is left out, and so are imports and weights."""
    args = check.args
    if not args.peer:
        check.table.note(LEFT_OUT, "protocol: PyTorch beside it: no --peer")
        return None
    command = [sys.executable, args.peer, check.material.data / PICTURES, "--repeats", 1, "--epochs", args.peer_epochs,
               "--weights", check.material.weights(RESNET), "--workers", args.peer_workers, "--device", args.peer_device]
    try:
        output = check.run([*command, *(["--size", args.size] if args.size else [])], limit=PEER_SHARE * check.commands.clock.total,
                           **threads(check))
    except (Failed, OutOfTime) as error:
        check.table.note(LEFT_OUT, f"protocol: PyTorch beside it: {error}", error.said)
        return None
    found = {}
    for row in csv.DictReader(line for line in output.splitlines() if not line.startswith("#")):
        if int(row["epoch"]) > 1:
            found.setdefault(row["variant"], []).append(float(row["seconds"]))
    medians = {name: statistics.median(seconds) for name, seconds in found.items()}
    text = ", ".join(f"{name} {seconds:.3f} s" for name, seconds in medians.items())
    check.table.add(f"beeant, an epoch, the median of epochs 2 to {args.peer_epochs}", "", f"{text} ({args.peer_workers} workers)")
    return sum(medians.values()) if len(medians) == VARIANTS else None


def threads(check):
    """The environment variable for PyTorch's threads on the CPU."""
    return {"OMP_NUM_THREADS": str(check.args.peer_threads)} if check.args.peer_threads else {}


def side_by_side(check):
    """How many trials at a time pay, and whether the program finds that out."""
    if check.lacks("side-by-side", RESNET):
        return
    for jobs in check.args.jobs or JOBS:
        options = ["--jobs", jobs] if jobs else []
        _, took = check.sweep("beeant", f"side-by-side-{jobs}", *options, *check.material.options(RESNET),
                              *check.amount(JOBS_REPEATS, JOBS_EPOCHS))
        number = f"{jobs} trials at a time" if jobs else "as many trials at a time as pay"
        check.table.add(f"beeant, {check.amounts(JOBS_REPEATS, JOBS_EPOCHS)}, {number}", f"{took:.1f} s")
