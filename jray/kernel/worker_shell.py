"""What IPython's `display`, matplotlib and others find in a worker when they ask for the shell.

It formats as a notebook's shell does and sends the bundles home. It runs no code and keeps no history: IPython's own
shell would open the user's history file and start threads. Loaded in workers only, by rich.py.
"""

from __future__ import annotations

import base64
from typing import Any

from IPython.core.displaypub import DisplayPublisher
from IPython.core.events import EventManager, available_events
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config.configurable import SingletonConfigurable

from jray.runtime.displays import Display, send


class WorkerPublisher(DisplayPublisher):
    """Sends what is displayed to the cell that submitted the running task."""

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        source: Any = None,
        *,
        transient: dict[str, Any] | None = None,
        update: bool = False,
        **_others: Any,
    ) -> None:
        """As in IPython."""
        bundle = {mimetype: _as_json(part) for mimetype, part in data.items()}
        shown = Display(data=bundle, metadata=metadata or {}, transient=transient or {}, is_update=update)
        send("display", shown.to_text())

    def clear_output(self, wait: bool = False) -> None:  # noqa: FBT001, FBT002 - as in IPython
        """As in IPython."""
        send("clear", "wait" if wait else "now")


class WorkerShell(InteractiveShell):
    """The shell of a process in which nobody types. `WorkerShell.instance()` makes it the one of the process."""

    def __init__(self) -> None:
        """Only what formatting needs; what IPython's own does besides is for people who type."""
        SingletonConfigurable.__init__(self)
        self.configurables = [self]
        self.events = EventManager(self, available_events)
        self.display_formatter = DisplayFormatter(parent=self)
        self.display_pub = WorkerPublisher(parent=self)
        self.user_ns = {}


def _as_json(part: Any) -> Any:
    """Images are bytes; Jupyter sends them as base64."""
    return base64.b64encode(part).decode("ascii") if isinstance(part, bytes) else part
