"""Who shows what tasks print. The engine calls it from any thread, never with a lock held."""

from __future__ import annotations

import logging
import sys
from typing import NamedTuple, Protocol

logger = logging.getLogger("jray")


class OutputText(NamedTuple):
    """Text that a task wrote."""

    worker: str  # how messages call the worker: "w1 (pid 71)"
    pid: int
    task: str  # its name; empty when no task ran
    origin: int  # the number that was current when the work was submitted
    stream: str  # "stdout", "stderr" or "result"
    text: str


class Sink(Protocol):
    """Shows output and warnings."""

    def show(self, output: OutputText) -> None:
        """A task wrote something."""

    def warn(self, text: str) -> None:
        """The user should know something."""


class ConsoleSink:
    """In scripts: each line with the task's name and process, as Ray prints it."""

    def show(self, output: OutputText) -> None:
        """Write to the stream of the same name."""
        stream = sys.stderr if output.stream == "stderr" else sys.stdout
        prefix = f"({output.task or 'worker'} pid={output.pid}) "
        lines = output.text.splitlines(keepends=True)
        stream.write("".join(prefix + line for line in lines if line != "\n" or len(lines) == 1))
        stream.flush()

    def warn(self, text: str) -> None:
        """Log a warning."""
        logger.warning(text)
