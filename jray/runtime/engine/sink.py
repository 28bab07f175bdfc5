"""Who shows what tasks print. The engine calls it from any thread, never with a lock held."""

from __future__ import annotations

import logging
import sys
from typing import NamedTuple, Protocol

from jray.runtime.displays import Display

logger = logging.getLogger("jray")


class OutputText(NamedTuple):
    """Text that a task wrote, or something that it shows."""

    worker: str  # how messages call the worker: "w1 (pid 71)"
    pid: int
    task_id: int  # 0 when no task ran
    task: str  # its name; empty when no task ran
    origin: int  # the number that was current when the work was submitted
    stream: str  # "stdout", "stderr", or a kind of displays.send
    text: str


class Sink(Protocol):
    """Shows output and warnings."""

    def show(self, output: OutputText) -> None:
        """A task wrote something."""

    def warn(self, text: str) -> None:
        """The user should know something."""


class ConsoleSink:
    """In scripts: each line with the task's name and process, as Ray prints it."""

    def __init__(self) -> None:
        """No line is begun."""
        self._begun: dict[str, int] = {}  # stream -> the task whose last line there has no end yet

    def show(self, output: OutputText) -> None:
        """Write to the stream of the same name."""
        name = "stderr" if output.stream == "stderr" else "stdout"
        text = output.text
        if output.stream == "display":
            text = Display.from_text(text).plain + "\n"
        elif output.stream == "clear":
            return  # lines of a log stay
        lines = text.split("\n")
        begun = self._begun.pop(name, None)
        prefix = f"({output.task or 'worker'} pid={output.pid}) "
        parts = [line if begun == output.task_id and index == 0 else prefix + line for index, line in enumerate(lines)]
        if lines[-1]:
            self._begun[name] = output.task_id
        else:
            parts[-1] = ""  # the text ended with its line
        separator = "\n" if begun is not None and begun != output.task_id else ""
        stream = sys.stderr if name == "stderr" else sys.stdout
        stream.write(separator + "\n".join(parts))
        stream.flush()

    def warn(self, text: str) -> None:
        """Log a warning."""
        logger.warning(text)
