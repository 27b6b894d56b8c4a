"""Commands that may take no more time than is left."""
import math
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
# Seconds between asking a command to end and ending it.
GRACE = 5
# Of what a command said on stderr before it failed, this is shown at most.
LINES, CHARACTERS = 12, 1500


class Failed(Exception):
    """A command that did not end as it should. `said` are its last lines on stderr."""

    def __init__(self, text, said=""):
        super().__init__(text)
        self.said = said


class OutOfTime(Exception):
    """Something that was stopped since its time was over. `said` are its last lines on stderr, `output` is its stdout so far."""

    def __init__(self, text, said="", output=""):
        super().__init__(text)
        self.said, self.output = said, output


class Stopped(BaseException):
    """A signal asks this program to end."""


class Clock:
    """What is left of the whole time, and of that of the part that runs."""

    def __init__(self, minutes):
        self.total = 60 * minutes
        self.begin = time.monotonic()
        # The reserve is for ending a command and for the table.
        self.end = self.limit = self.begin + self.total - min(15, 0.05 * self.total)

    def start_part(self, share):
        """From now on `left` counts to the end of a part, which may take a share of the whole."""
        self.limit = min(self.end, time.monotonic() + share * self.total)

    def spent(self):
        return time.monotonic() - self.begin

    def left(self):
        """Seconds that the part may still take."""
        return self.limit - time.monotonic()


class Commands:
    """Runs commands in the root of the repository, and writes all that they say into a log."""

    def __init__(self, clock, log):
        self.clock, self.log = clock, log

    def note(self, text):
        """Writes into the log."""
        with open(self.log, "a", errors="replace") as log:
            log.write(text if text.endswith("\n") else text + "\n")

    def announce(self, command):
        print("+", short(command), file=sys.stderr, flush=True)
        self.note(f"\n[{self.clock.spent():.0f} s] + {shlex.join(command)}")

    def run(self, command, good=(0,), limit=math.inf, **variables):
        """Runs a command for `limit` seconds and as long as the part has time, with more environment variables; what it printed."""
        command = [str(part) for part in command]
        seconds = min(limit, self.clock.left())
        if seconds <= 0:
            raise OutOfTime(f"`{short(command)}` was not started")
        self.announce(command)
        begin, place = time.monotonic(), os.path.getsize(self.log)
        with tempfile.TemporaryFile("w+", errors="replace") as out:
            code = self.wait(command, out, seconds, variables)
            out.seek(0)
            output = out.read()
        took, said = time.monotonic() - begin, tail(self.log, place)
        self.note(output)
        if code is None:
            raise OutOfTime(f"`{short(command)}` was stopped after {took:.0f} s", said, output)
        if code not in good:
            raise Failed(f"`{short(command)}` {ended(code)} after {took:.1f} s", said)
        return output

    def wait(self, command, out, seconds, variables):
        """The exit status of a command, None if it was stopped. Stops it also when this program has to end."""
        with open(self.log, "a") as log:
            try:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log, cwd=ROOT,
                                           env=os.environ | {"RUST_BACKTRACE": "0"} | variables, process_group=0)
            except OSError as error:
                raise Failed(f"`{short(command)}` can't be started: {error}") from error
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            stop(process, GRACE)
            return None
        except BaseException:
            stop(process, 1)
            raise


def stop(process, grace):
    """Asks a process and its children to end, then ends them."""
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, 1)):
        try:
            os.killpg(process.pid, number)
            process.wait(seconds)
        except (ProcessLookupError, PermissionError, subprocess.TimeoutExpired):
            pass


def tail(file, place):
    """The last lines of a file behind a place in it."""
    with open(file, errors="replace") as text:
        text.seek(place)
        lines = text.read().strip().splitlines()
    return "\n".join(lines[-LINES:])[-CHARACTERS:]


def ended(code):
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


def short(command):
    """A command without the folders of a machine."""
    words = [pathlib.Path(word).name if word.startswith("/") else word for word in map(str, command)]
    return " ".join(word.split("file:")[0] + "file:…" if "file:/" in word else word for word in words)
