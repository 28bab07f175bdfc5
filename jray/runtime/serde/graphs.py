"""A graph: something with all of the notebook that it reaches, as bytes.

It is pickled in several steps with one memo, so that what is the same thing here is the same thing there. The order is
that in which a process could load it: first the functions, modules and classes that are named, then what is in the
classes, other values, and the root. What comes up on the way and was not expected follows.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from jray.runtime.ids import ObjectId
from jray.runtime.object_ref import begin_collecting, end_collecting
from jray.runtime.serde import parts
from jray.runtime.serde.classes import Row, filling_of
from jray.runtime.serde.kept import Kept
from jray.runtime.serde.pickler import CapturingPickler, GraphPickler, careful, names_in, pack_skeleton
from jray.runtime.serde.reach import Reach

_FIRST = (FunctionType, ModuleType, type)


class Graph(NamedTuple):
    """The bytes: `loading.load_graph` reads the head."""

    head: bytes
    rows: tuple[Row, ...]
    codes: dict[bytes, CodeType]  # by digest; none when they are in the pickles
    missing: tuple[str, ...]  # names that are used and that the notebook does not have


def pack_graph(root: Any, reach: Reach, *, codes: dict[bytes, CodeType], large: Mapping[int, int]) -> Graph:
    """Pickle a root.

    Args:
        root: anything; refs in it are noted for who collects them.
        reach: what it reaches, as far as that is known.
        codes: where code is collected.
        large: values that stay out: id() -> number.
    """

    def begin() -> _Packing:
        file = io.BytesIO()
        pickler = CapturingPickler(file, codes, large) if large else GraphPickler(file, codes)
        return _Packing(pickler, pickler.dump, file)

    return _in_order(begin, root) if reach.classes else begin().pack((), (), root)


def pack_deep_graph(root: Any, reach: Reach, *, codes: dict[bytes, CodeType], large: Mapping[int, int]) -> Graph:
    """The same for what the C pickler refuses.

    Raises:
        NoWayError: something in it can't be pickled.
    """

    def begin() -> _Packing:
        file = io.BytesIO()
        model = CapturingPickler(io.BytesIO(), codes, large)
        return _Packing(model, careful(model, file).dump, file)

    return _in_order(begin, root) if reach.classes else begin().pack((), (), root)


def _in_order(begin: Callable[[], _Packing], root: Any) -> Graph:
    """Twice: what instances need while they are loaded (functions that their classes call) is only known at the end."""
    first = begin()
    first.pack((), (), root)
    return begin().pack(*first.found(), root)


class _Packing:
    """One graph that is being packed."""

    def __init__(self, pickler: GraphPickler, dump: Callable[[Any], None], file: io.BytesIO) -> None:
        """`pickler` collects names and classes; `dump` writes into `file`."""
        self._pickler, self._dump, self._file = pickler, dump, file
        self._rows: dict[bytes, Row] = {}
        self._filled: set[bytes] = set()
        self._named: set[str] = set()

    def pack(self, names: Iterable[str], classes: Iterable[type], root: Any) -> Graph:
        """Write it; `names` and `classes` are those that are known before."""
        pickler = self._pickler
        pickler.names.update(dict.fromkeys(names))
        for cls in classes:
            pickler.reducer_override(cls)  # notes it
        self._write_all()
        self._dump(("root", root))
        self._write_all()
        self._dump(None)
        missing = tuple(sorted(name for name in pickler.names if name not in pickler.main))
        rows = tuple(self._rows[cid] for cid in sorted(self._rows))
        return Graph(self._file.getvalue(), rows, pickler.codes or {}, missing)

    def found(self) -> tuple[list[str], list[type]]:
        """The names and classes that came up."""
        return list(self._pickler.names), list(self._pickler.classes.values())

    def _write_all(self) -> None:
        while self._write_names(_is_first) or self._write_classes() or self._write_names(lambda _: True):
            pass

    def _write_names(self, is_due: Callable[[Any], bool]) -> bool:
        main = self._pickler.main
        new = [name for name in self._pickler.names if name not in self._named]
        there = {name: main[name] for name in new if name in main and is_due(main[name])}
        self._named.update(name for name in new if name in there or name not in main)
        if there:
            self._dump(("names", there))
        return bool(there)

    def _write_classes(self) -> bool:
        new = [(cid, cls) for cid, cls in self._pickler.classes.items() if cid not in self._filled]
        for cid, cls in new:
            self._filled.add(cid)
            self._note_row(cid, cls)
            self._pickler.names.update(dict.fromkeys(names_in(cls)))
        if new:
            self._dump(("classes", [tuple(filling_of(cls)) for _, cls in new]))
        return bool(new)

    def _note_row(self, cid: bytes, cls: type) -> None:
        if cid not in self._rows:
            skeleton, named = pack_skeleton(cls)
            self._rows[cid] = Row(cid, skeleton)
            self._pickler.classes.update(named)
            for inner, base in named.items():
                self._note_row(inner, base)


def _is_first(value: Any) -> bool:
    return isinstance(value, _FIRST) or type(value) in parts.ATOMS or type(value) is bytes


_class_graphs: Kept[tuple[Reach, Graph, tuple[ObjectId, ...]]] = Kept()  # by the ids of the classes


def class_graph(named: Mapping[bytes, type], names: Iterable[str]) -> tuple[Graph, tuple[ObjectId, ...]]:
    """Only classes, and what stands for some names, with all that they reach; and the refs in it."""
    key = tuple(named)
    known = _class_graphs.get(key) if not names else None
    if known is not None and known[0].holds():
        return known[1:]
    reach = Reach(tuple(named.values()))
    refs, outer = begin_collecting()
    try:
        first, last = (_Packing(p, p.dump, file) for p, file in (_inline_pickler(), _inline_pickler()))
        first.pack(names, named.values(), None)
        graph = last.pack(*first.found(), None)
    finally:
        end_collecting(outer)
    if not names:
        _class_graphs.put(key, (reach, graph, tuple(refs)))
    return graph, tuple(refs)


def _inline_pickler() -> tuple[GraphPickler, io.BytesIO]:
    file = io.BytesIO()
    return GraphPickler(file, None), file
