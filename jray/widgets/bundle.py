"""The front end as it was built from `labextension/`: the script and the style sheet that a widget sends to the page.

They are made with Node.js (`make frontend`), and are part of every wheel. An installation from sources on a machine
without Node.js has none: it works all the same, without live widgets.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

STATIC = Path(__file__).parent / "static"

NOT_BUILT = (
    "jray shows no live widgets: this installation has no front end. It was made from sources where Node.js was "
    "missing or could not build it. Install Node.js 18 or newer with npm, then run `make frontend` in the folder of "
    "jray's sources and restart the kernel; or install a wheel of jray."
)

NO_ANYWIDGET = (
    "jray shows no live widgets: the package anywidget is missing in the kernel's environment. jray was installed with "
    "it, so something has removed it. Run `pip install anywidget` there and restart the kernel."
)


@dataclass(frozen=True, slots=True)
class Bundle:
    """The texts of an anywidget module."""

    js: str
    css: str


def bundle(static: Path = STATIC) -> Bundle | None:
    """The front end; None when there is none, and `why_none` says why."""
    if find_spec("anywidget") is None:
        return None
    try:
        return Bundle(js=(static / "widget.js").read_text("utf-8"), css=(static / "widget.css").read_text("utf-8"))
    except FileNotFoundError:
        return None


def why_none(static: Path = STATIC) -> str:
    """Why there are no live widgets, for people; empty if there are."""
    if find_spec("anywidget") is None:
        return NO_ANYWIDGET
    return "" if bundle(static) is not None else NOT_BUILT
