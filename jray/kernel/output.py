"""Shows what tasks print under the cell that submitted them, whichever cell runs now.

ipykernel decides by a header, kept for each thread, which cell a text belongs to. Whoever shows a task's output pins
the header of the cell that submitted the task, writes, and flushes: the text is on its way before the result is there.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from IPython.core.interactiveshell import InteractiveShell

from jray.runtime.displays import Display
from jray.runtime.engine import OutputText

logger = logging.getLogger("jray")

Parent = Mapping[str, Any]  # a cell's execute_request, as ipykernel keeps it


@contextlib.contextmanager
def pinned(shell: InteractiveShell, parent: Parent | None) -> Iterator[None]:
    """While this lasts, what this thread prints and displays belongs to that cell."""
    pin: Any = getattr(shell, "set_thread_parent", None)
    unpin: Any = getattr(shell, "reset_thread_parent", None)
    if parent is None or pin is None or unpin is None:
        # Terminal IPython has no cells to choose from; ipykernel before 7.4 can only move all threads at once.
        yield
        return
    tokens = pin(parent)
    try:
        yield
    finally:
        unpin(tokens)


class NotebookSink:
    """Shows output and warnings in a notebook or a terminal IPython."""

    def __init__(self, shell: InteractiveShell, parent_of: Callable[[int], Parent | None]) -> None:
        """`parent_of` says which cell an origin is."""
        self._shell = shell
        self._parent_of = parent_of

    def show(self, output: OutputText) -> None:
        """What a task wrote or shows: as the cell's own."""
        with pinned(self._shell, self._parent_of(output.origin)):
            if output.stream == "display":
                self._display(Display.from_text(output.text))
                return
            if output.stream == "clear":
                self._shell.display_pub.clear_output(wait=output.text == "wait")
                return
            stream = sys.stderr if output.stream == "stderr" else sys.stdout
            stream.write(output.text)
            stream.flush()

    def _display(self, shown: Display) -> None:
        self._shell.display_pub.publish(
            dict(shown.data), dict(shown.metadata), transient=dict(shown.transient), update=shown.is_update
        )

    def warn(self, text: str) -> None:
        """What the user should know, in red under the running cell."""
        logger.warning(text)


def say(shell: InteractiveShell, parent: Parent | None, text: str) -> None:
    """Write a whole text to stderr under a cell."""
    with pinned(shell, parent):
        sys.stderr.write(text)
        sys.stderr.flush()
