"""What a task shows besides text: a mimebundle, on its way to the cell that submitted the task.

A worker says once how bundles are sent; whoever formats values for people, in that process, calls `send`. This file
knows neither IPython nor the line to the kernel, so that what travels with a cell may import it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from numbers import Integral, Real
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """One thing to show, as Jupyter's display_data: by mimetype, binary ones as base64 text."""

    data: Mapping[str, Any]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    transient: Mapping[str, Any] = field(default_factory=dict)  # the display_id, if it is to be changed later
    is_update: bool = False  # of what was shown with the same display_id

    def to_text(self) -> str:
        """As it travels: JSON, because the kernel shows it to a front end, which reads JSON.

        Raises:
            TypeError, ValueError: something in it is none.
        """
        return json.dumps(asdict(self), default=_as_json)

    @classmethod
    def from_text(cls, text: str) -> Display:
        """Back from `to_text`.

        Raises:
            ValueError: it does not come from there.
        """
        try:
            shown = cls(**json.loads(text))
        except TypeError as error:
            msg = f"A display of {len(text):,} characters could not be read: {error}."
            raise ValueError(msg) from None
        if not all(isinstance(part, dict) for part in (shown.data, shown.metadata, shown.transient)):
            msg = f"A display of {len(text):,} characters could not be read: its parts are no mappings."
            raise ValueError(msg)
        return shown

    @property
    def plain(self) -> str:
        """For who can show nothing but text."""
        return str(self.data.get("text/plain", ""))


def _as_json(part: object) -> Any:
    """What Jupyter itself sends as JSON and Python would not: numpy's numbers, dates, bytes."""
    match part:
        case Integral():
            return int(part)
        case Real():
            return float(part)
        case date():
            return part.isoformat()
        case bytes():
            return base64.b64encode(part).decode("ascii")
    msg = f"Nothing was shown. A value of type {type(part).__name__} is in it, which JSON has not. Convert it first."
    raise TypeError(msg)


_send: Callable[[str, str], None] | None = None


def send_with(send: Callable[[str, str], None]) -> None:
    """Say how this process shows things: `send(kind, text)`; see `send` for the kinds."""
    global _send  # noqa: PLW0603 - there is one line in a process
    _send = send


def send(kind: str, text: str) -> None:
    """Show something under the cell that submitted the running task.

    Args:
        kind: "display": `text` is a Display's; "clear": clear what the cell shows, when the next output comes if `text`
            is "wait", else at once.
        text: see `kind`.

    Raises:
        RuntimeError: this process is no worker.
    """
    if _send is None:
        msg = "Nothing was shown. This process is no worker of jray. Use IPython.display.display here."
        raise RuntimeError(msg)
    _send(kind, text)
