"""Gates: a task waits at a named place until the test opens it. Made of two named pipes, so nobody sleeps."""

from __future__ import annotations

import os
from pathlib import Path


class Gate:
    """For one task at a time. It calls `pass_through`; the test calls `wait_for_arrival` and `open`. Picklable: it is two paths."""

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.arrivals, self.way = str(folder / f"{name}.arrivals"), str(folder / f"{name}.way")
        os.mkfifo(self.arrivals)
        os.mkfifo(self.way)

    def pass_through(self) -> None:
        """In the task: say that we are here, and wait until the gate is opened for us."""
        with open(self.arrivals, "wb") as arrivals:
            arrivals.write(b"x")
        _read_one(self.way)

    def wait_for_arrival(self) -> None:
        """In the test: one task has come."""
        _read_one(self.arrivals)

    def open(self) -> None:
        """In the test: let one task through."""
        with open(self.way, "wb") as way:
            way.write(b"x")


def _read_one(path: str) -> None:
    """A writer that has not closed its end yet lets us open the pipe, and then there is nothing to read: try again."""
    while True:
        with open(path, "rb") as pipe:
            if pipe.read(1):
                return
