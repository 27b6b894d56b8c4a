"""The table, which is whole at every moment."""
import os
import re
import sys
import time

HEAD = ["| what | Graft on the GPU | peer | |", "|---|---|---|---|"]
FAILED, LATE, LEFT_OUT = "Failed", "Out of time", "Left out"


class Table:
    """Rows and notes as they come in; each change is written to a file, at once or not at all, and to stderr."""

    def __init__(self, out):
        self.out = out
        self.about, self.rows, self.parts = [], [], {}
        self.notes = {FAILED: [], LATE: [], LEFT_OUT: []}

    def add(self, what, own="", peer="", verdict=""):
        cells = [re.sub(r"\s+", " ", str(cell)).replace("|", "/") for cell in (what, own, peer, verdict)]
        self.rows.append("| " + " | ".join(cells) + " |")
        self.publish()

    def check(self, good, what, own="", peer="", said=""):
        """A row of a check, with a note if it failed."""
        self.add(what, own, peer, "passed" if good else "**FAILED**")
        if not good:
            self.note(FAILED, f"{what}: {own}", said)

    def note(self, kind, text, said=""):
        """A line below the table, and what a program said about it."""
        self.notes[kind].append((re.sub(r"\s+", " ", text), said))
        self.publish()

    def markdown(self):
        lines = [*self.about]
        if self.parts:
            lines.append("- parts: " + ", ".join(f"{name} {text}" for name, text in self.parts.items()))
        lines += ["", *HEAD, *self.rows]
        for kind, notes in self.notes.items():
            if notes:
                lines += ["", f"{kind}:", ""]
            for text, said in notes:
                lines.append(f"- {text}")
                lines += ["", "  ```text", *("  " + line for line in said.splitlines()), "  ```", ""] if said else []
        return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n"

    def publish(self):
        text = self.markdown()
        print(f"\n{text}", file=sys.stderr, flush=True)
        if self.out:
            fresh = self.out.with_name(self.out.name + ".new")
            with open(fresh, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(fresh, self.out)

    def status(self):
        """The exit status: 1 if a check failed, 3 if none did, but time was short."""
        return 1 if self.notes[FAILED] else 3 if self.notes[LATE] else 0


def today():
    return time.strftime("%Y-%m-%d")


def between(file, begin, end, text):
    """Replaces what is between the markers in a Markdown file."""
    whole = file.read_text()
    head, rest = whole.split(begin, 1)
    _, tail = rest.split(end, 1)
    file.write_text(f"{head}{begin}\n{text.rstrip()}\n{end}{tail}")
