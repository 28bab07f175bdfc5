"""What `%jray memory` shows: every object with its size, its place, who holds it, and what made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from typing import NamedTuple

from jray.kernel.holders import Found
from jray.runtime.core.memory import Place
from jray.runtime.core.model import ObjectState
from jray.runtime.core.object_views import StoreView
from jray.runtime.core.store_words import in_bytes
from jray.runtime.engine.pictures import ObjectPicture
from jray.runtime.ids import ObjectId, to_hex

_MOST_ROWS = 20
_MOST_HOLDERS = 4
_PLACES = {
    Place.MEMORY: "shared memory",
    Place.LEAVING: "shared memory",
    Place.DISK: "disk",
    Place.RETURNING: "disk",
}
_COLOURS = {"being read": "#4269d0", "could be moved to disk": "#97bbf5", "free": "#8883", "on disk": "#efb118"}


class Row(NamedTuple):
    """One object, in words."""

    size: str
    place: str
    held_by: str
    made_by: str
    object: str  # its id; empty where the text must be the same at each run

    @property
    def cells(self) -> tuple[str, ...]:
        """As shown: the id goes last, because nobody looks for it."""
        return (self.size, self.place, self.held_by, self.made_by, *([self.object] if self.object else []))


class Memory:
    """The store and its objects, at one moment."""

    def __init__(self, store: StoreView, rows: Sequence[Row], more: int, note: str) -> None:
        """`more` objects are not among the rows; `note` is what else is to be said."""
        self._store, self._rows, self._more, self._note = store, rows, more, note

    def __repr__(self) -> str:
        """For terminals."""
        table = [self._head, *(row.cells for row in self._rows)]
        widths = [max(len(cells[column]) for cells in table) for column in range(len(table[0]))]
        lines = [self._total()]
        if self._rows:
            lines += ["  ".join(map(str.ljust, cells, widths)).rstrip() for cells in table]
        return "\n".join([*lines, *self._footer()])

    def _repr_html_(self) -> str:
        """For notebooks: a picture of the store, and the table."""
        left = "style='text-align:left'"
        head = "".join(f"<th {left}>{escape(name)}</th>" for name in self._head)
        rows = "".join(
            "<tr>" + "".join(f"<td {left}>{escape(cell)}</td>" for cell in row.cells) + "</tr>" for row in self._rows
        )
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>" if rows else ""
        footer = "<br>".join(map(escape, self._footer()))
        return f"<div>{escape(self._total())}</div>{self._bar()}{table}<div>{footer}</div>"

    @property
    def _head(self) -> tuple[str, ...]:
        has_ids = any(row.object for row in self._rows)
        return ("size", "where", "held by", "made by", *(["object"] if has_ids else []))

    def _total(self) -> str:
        number = len(self._rows) + self._more
        objects = "1 object" if number == 1 else f"{number:,} objects"
        store = self._store
        disk = f"; on disk: {in_bytes(store.on_disk)}" if store.on_disk else ""
        return f"{objects}; shared memory: {in_bytes(store.used)} of {in_bytes(store.limit)}{disk}"

    def _footer(self) -> list[str]:
        more = [f"and {self._more:,} more, not larger; %jray memory --all shows them"] if self._more else []
        return [*more, *([self._note] if self._note else [])]

    def _bar(self) -> str:
        """The store as a bar: what is being read, what could be moved, what is free; what is on disk beside it."""
        store = self._store
        free = max(0, store.limit - store.used)
        parts = {"being read": store.read, "could be moved to disk": store.idle, "free": free}
        if store.on_disk:
            parts["on disk"] = store.on_disk
        whole = sum(parts.values())
        bar = "".join(
            f"<div title='{name}: {in_bytes(size)}' style='width:{100 * size / whole:.2f}%;background:{_COLOURS[name]};"
            f"{'margin-left:6px' if name == 'on disk' else ''}'></div>"
            for name, size in parts.items()
            if size
        )
        legend = " ".join(
            f"<span style='white-space:nowrap;margin-right:1em'><span style='color:{_COLOURS[name]}'>&#9632;</span> "
            f"{name}: {in_bytes(size)}</span>"
            for name, size in parts.items()
        )
        return (
            f"<div style='display:flex;height:1.2em;max-width:40em;margin:0.4em 0;outline:1px solid #8886'>{bar}</div>"
            f"<div style='font-size:90%'>{legend}</div>"
        )


def describe(
    objects: Sequence[ObjectPicture],
    store: StoreView,
    found: Found,
    cell_of: Callable[[int], str | None],
    *,
    name: str = "",
    shows_all: bool = False,
    shows_ids: bool = True,
) -> Memory:
    """The picture of these objects; of those that `name` holds, if one is given.

    `cell_of` an origin is its prompt. `shows_ids` also stands for other texts that differ from run to run.
    """
    words = _Words(found, cell_of, shows_ids=shows_ids)
    chosen = [picture for picture in objects if not name or words.is_held_by(picture.view.id, name)]
    chosen.sort(key=lambda picture: -picture.nbytes)
    shown = chosen if shows_all else chosen[:_MOST_ROWS]
    note = "" if found.is_complete else "not all names were looked at: there are too many values"
    return Memory(store, [words.row(picture) for picture in shown], len(chosen) - len(shown), note)


class _Words:
    def __init__(self, found: Found, cell_of: Callable[[int], str | None], *, shows_ids: bool) -> None:
        self._found, self._cell_of, self._shows_ids = found, cell_of, shows_ids

    def is_held_by(self, object_id: ObjectId, name: str) -> bool:
        holders = self._found.objects.get(object_id)
        return holders is not None and any(_root(found) == _root(name) for found in holders.names)

    def row(self, picture: ObjectPicture) -> Row:
        view, maker = picture.view, picture.maker
        if view.state is ObjectState.PENDING:
            size, place = "", "to come"
        else:
            size = in_bytes(picture.nbytes)
            place = _PLACES[view.place] if view.place is not None else "messages"
            if view.state is ObjectState.FAILED:
                place = "messages (an error)"
        made_by = maker.what if maker is not None else ""
        cell = self._cell_of(maker.origin) if maker is not None and self._shows_ids else None
        if cell is not None and made_by != cell:
            made_by = f"{cell}: {made_by}"
        return Row(size, place, self._held_by(picture), made_by, to_hex(view.id) if self._shows_ids else "")

    def _held_by(self, picture: ObjectPicture) -> str:
        view, holders = picture.view, self._found.objects.get(picture.view.id)
        names = list(holders.names) if holders is not None else []
        named_refs, views = (len(holders.refs), holders.views) if holders is not None else (0, 0)
        nameless = views - len(holders.named_views) if holders is not None else 0
        if nameless:
            names.append("an array" if nameless == 1 else f"{nameless} arrays")
        names += [f"task {name} ({state})" for name, state in view.tasks]
        names += [f"inside {self._name_of(container)}" for container in view.containers]
        names += [f"worker w{worker}" if self._shows_ids else "a worker" for worker in view.workers]
        elsewhere = view.kernel_refs - named_refs - views
        if elsewhere > 0:
            names.append(f"elsewhere in this notebook ({elsewhere})")
        shown = ", ".join(names[:_MOST_HOLDERS])
        return f"{shown} and {len(names) - _MOST_HOLDERS} more" if len(names) > _MOST_HOLDERS else shown

    def _name_of(self, object_id: ObjectId) -> str:
        holders = self._found.objects.get(object_id)
        if holders is not None and holders.names:
            return holders.names[0]
        return to_hex(object_id) if self._shows_ids else "another object"


def _root(path: str) -> str:
    """The variable of a path: `results` of `results[3]`. (`Out[5]` is its own.)."""
    if path.startswith("Out["):
        return path
    for position, character in enumerate(path):
        if not (character.isalnum() or character == "_"):
            return path[:position]
    return path
