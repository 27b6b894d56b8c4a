"""PyTorch in a process that stays, so that its start is paid for once."""
import json
import os
import select
import subprocess
import sys
import time

from .commands import GRACE, ROOT, Failed, OutOfTime, ended, short, stop, tail


class Server:
    """`bench_torch.py --serve`, started at once and waited for by `ready`."""

    def __init__(self, commands, device, variables, *options):
        self.commands, self.options, self.rest = commands, options, b""
        command = [sys.executable, "scripts/bench_torch.py", "--serve", "--device", device]
        commands.announce(command)
        self.place = os.path.getsize(commands.log)
        with open(commands.log, "a") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, cwd=ROOT,
                                            env=os.environ | variables, process_group=0)

    def ready(self):
        """Waits for the start; the version of PyTorch."""
        return self.answer()["version"]

    def measure(self, arguments):
        """What `bench_torch.py` measures with such arguments."""
        request = [str(argument) for argument in (*arguments, *self.options)]
        self.commands.note(f"> {short(request)}")
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise Failed(f"PyTorch's process is gone: {error}", self.said()) from error
        return self.answer()

    def answer(self):
        line = self.line()
        self.commands.note(f"< {line}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(f"PyTorch: {answer['error']}")
        return answer

    def line(self):
        """A line of the process, as long as there is time."""
        begin = time.monotonic()
        while b"\n" not in self.rest:
            left = self.commands.clock.left()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise OutOfTime(f"PyTorch did not answer within {time.monotonic() - begin:.0f} s", self.said())
            found = os.read(self.process.stdout.fileno(), 1 << 16)
            if not found:
                raise Failed(f"PyTorch's process {ended(self.process.wait(GRACE))}", self.said())
            self.rest += found
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode()

    def said(self):
        return tail(self.commands.log, self.place)

    def close(self):
        if self.process.poll() is None:
            stop(self.process, 1)
