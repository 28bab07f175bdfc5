"""Gates: a task waits at a named place until the test opens it. Made of two named pipes, so nobody sleeps."""

from __future__ import annotations

import os
from pathlib import Path


class Gate:
    """Tasks call `pass_through`; the test calls `wait_for_arrival` and `open`. Picklable: it is two paths.

    The test keeps both pipes open, for reading and writing: what was written is never lost, and opening them never waits.
    """

    def __init__(self, folder: Path, name: str = "gate") -> None:
        self.arrivals, self.way = str(folder / f"{name}.arrivals"), str(folder / f"{name}.way")
        os.mkfifo(self.arrivals)
        os.mkfifo(self.way)
        self._ends = {path: os.open(path, os.O_RDWR) for path in (self.arrivals, self.way)}

    def __getstate__(self) -> dict[str, object]:
        """What a task needs."""
        return {"arrivals": self.arrivals, "way": self.way, "_ends": {}}

    def __del__(self) -> None:
        for end in self._ends.values():
            os.close(end)

    def pass_through(self) -> None:
        """In a task: say that we are here, and wait until the gate is opened for one."""
        arrivals = os.open(self.arrivals, os.O_WRONLY)
        os.write(arrivals, b"x")
        os.close(arrivals)
        way = os.open(self.way, os.O_RDONLY)
        os.read(way, 1)
        os.close(way)

    def wait_for_arrival(self) -> None:
        """In the test: one task has come."""
        os.read(self._ends[self.arrivals], 1)

    def open(self) -> None:
        """In the test: let one task through."""
        os.write(self._ends[self.way], b"x")

    def let_through(self) -> None:
        """In the test: wait for one task, and open for it."""
        self.wait_for_arrival()
        self.open()
