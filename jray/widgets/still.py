"""The still picture of a view: what a reloaded notebook, nbconvert and GitHub show where no kernel answers. Pure.

Plain HTML without a class or script: GitHub takes away everything else, and colours it leaves are no loss, because
every state has its word.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from jray.runtime.core.store_words import in_bytes
from jray.widgets.protocol import OVER, View

_GLYPHS = {
    "finished": "✓",
    "ready": "✓",
    "failed": "✗",
    "lost": "✗",
    "running": "●",
    "blocked": "◐",
    "resuming": "◐",
    "queued": "○",
    "spilled": "▤",
    "freed": "–",
}  # the same as in labextension/src/states.ts
_WAITING = "◌"
_COLOURS = {"finished": "#1a7f37", "failed": "#cf222e", "lost": "#cf222e"}
_LEFT = "style='text-align:left'"
_MUTED = "style='opacity:0.7'"


def html_of(view: View) -> str:
    """One line that folds out into the tables; the dashboard's are open."""
    body = _facts(view) + _tasks(view) + _objects(view)
    is_open = " open" if view["kind"] == "dashboard" else ""
    return f"<details{is_open}><summary>{_summary(view)}</summary>{body}</details>"


def plain_of(view: View) -> str:
    """One line. The same at each run if the same has happened: no times, ids or sizes."""
    if view["kind"] == "dashboard":
        return "jray dashboard"
    names = [row["name"] for row in view["objects"] if row["name"]]
    references = f"; references: {', '.join(names)}" if names else ""
    state = "runs as a task" if view["state"] not in OVER else view["state"]
    return f"{view['title']}: {state}{references}"


def _summary(view: View) -> str:
    state, title = view["state"], f"<b>{escape(view['title'])}</b>"
    names = ", ".join(f"<code>{escape(row['name'])}</code>" for row in view["objects"] if row["name"])
    references = f" · {names}" if names and view["kind"] == "cell" else ""
    headline = escape(view["headline"])
    if not state:
        return f"{title} {headline}{references}"
    colour = f" style='color:{_COLOURS[state]}'" if state in _COLOURS else ""
    is_moment = "" if state in OVER or state == "submitted" else f" <span {_MUTED}>(when this picture was made)</span>"
    return f"<span{colour}>{_glyph(state)}</span> {title} {headline}{is_moment}{references}"


def _facts(view: View) -> str:
    resources = [f"{_amount(r['used'])} of {_amount(r['total'])} {escape(r['name'])}" for r in view["resources"]]
    store, workers = view["store"], view["workers"]
    on_disk = f", {in_bytes(store['on_disk'])} on disk" if store["on_disk"] else ""
    facts = [
        *resources,
        f"store {in_bytes(store['used'])} of {in_bytes(store['limit'])}{on_disk}",
        f"workers {workers['total']}, {workers['busy']} busy",
    ]
    return f"<div {_MUTED}>{' · '.join(facts)}</div>"


def _tasks(view: View) -> str:
    rows = [
        (escape(row["name"]), escape(", ".join(f"{number:,} {state}" for state, number in row["counts"].items())))
        for row in view["tasks"]
    ]
    return _table(("task", "states"), rows)


def _objects(view: View) -> str:
    rows = [
        (
            f"<code>{escape(row['name'] or row['id'])}</code>",
            f"{_glyph(row['state'])} {escape(row['words'] or row['state'])}",
            escape(row["type"]),
            "" if row["size"] is None else in_bytes(row["size"]),
            escape(row["made_by"]),
        )
        for row in view["objects"]
    ]
    more = f"<div {_MUTED}>and {view['more_objects']:,} more objects</div>" if view["more_objects"] else ""
    return _table(("object", "state", "type", "size", "made by"), rows) + more


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th {_LEFT}>{name}</th>" for name in head)
    lines = "".join("<tr>" + "".join(f"<td {_LEFT}>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{lines}</tbody></table>"


def _glyph(state: str) -> str:
    return _GLYPHS.get(state, _WAITING)


def _amount(value: float) -> str:
    return f"{value:g}"
