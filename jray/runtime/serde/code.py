"""Functions to bytes: what is shipped, once per worker, and by what it is known.

The *key* names the bytes: a function that gives the same bytes again need not be sent again. The *digest* is of the
code alone, without the values that it captures: what a task leaves in its worker is kept by it.
"""

from __future__ import annotations

import contextlib
import linecache
import marshal
import pickle
from collections.abc import Callable, Iterable
from hashlib import blake2b
from importlib import import_module
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple

from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import undisturbed
from jray.runtime.object_ref import begin_collecting, end_collecting
from jray.runtime.serde.names import KEY_BYTES
from jray.runtime.serde.places import note as note_place
from jray.runtime.serde.reach import Reach, Watch
from jray.runtime.serde.unpicklable import is_doubtful_by_value
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, pack_data

if TYPE_CHECKING:
    from jray.runtime.serde.graphs import Graph


def call_by_name(module: str, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Call what has this name in this process."""
    return getattr(import_module(module), name)(*args, **kwargs)


class Code(NamedTuple):
    """A function as it travels, with all that it reaches."""

    key: bytes
    digest: bytes
    head: bytes  # the graph; code and classes in it are named, and are parts
    classes: tuple[tuple[bytes, bytes], ...]  # id, and which of the parts is the empty class
    parts: dict[bytes, bytes]  # code by digest, classes by version, texts of cells
    texts: tuple[bytes, ...]  # which of the parts are texts
    missing: tuple[str, ...]  # names that it uses and that the notebook does not have
    refs: tuple[ObjectId, ...] = ()
    captured: tuple[ObjectId, ...] = ()  # large values that are stored by themselves, by their number

    @property
    def pins(self) -> tuple[ObjectId, ...]:
        """The objects that it needs."""
        return self.refs + self.captured

    @property
    def nbytes(self) -> int:
        """All of it."""
        return len(self.head) + sum(map(len, self.parts.values()))


class PackedForm:
    """The last packed form of a function, while it holds.

    It belongs to who owns the function, and is in no table: it holds the function, so the table would hold both for
    ever, even a table of weak keys.
    """

    __slots__ = ("__weakref__", "known")

    def __init__(self) -> None:
        """The function was not packed yet."""
        self.known: tuple[Reach, Code] | None = None

    def current(self) -> Code | None:
        """What was packed last, if it holds."""
        known = self.known
        return known[1] if known is not None and known[0].holds() else None


def pack_code(function: Callable[..., Any], form: PackedForm, what: str, watch: Watch | None = None) -> Code:
    """A function as it is now, with all that it reaches. `form` is this function's own.

    Args:
        function: anything that can be called.
        form: what it was the last time.
        what: how a message calls it.
        watch: stores large captured values; None: they become a part of the code.

    Raises:
        TypeError: it can't be pickled; the message names the part that can't, and the path to it.
    """
    current = form.current()
    if current is not None:
        return current
    form.known = None
    reach = Reach(function, watch=watch)  # before packing: what changes meanwhile is seen at the next call
    code = _pack(function, reach, what)
    if reach.is_exact:
        form.known = reach, code
    return code


@undisturbed
def _pack(function: Callable[..., Any], reach: Reach, what: str) -> Code:
    packed = pack_data(function)
    if packed is not None and packed.nbytes < OUT_OF_BAND_BYTES:  # it goes by its name
        head = pickle.dumps(("root", function), 5) + pickle.dumps(None, 5)
        return Code(_digest(head), _digest(head), head, (), {}, (), (), packed.refs)
    return _pack_graph(function, reach, what)


@undisturbed
def _pack_graph(function: Callable[..., Any], reach: Reach, what: str) -> Code:
    large = list(reach.large.values())
    codes: dict[bytes, CodeType] = {}
    refs, outer = begin_collecting()
    try:
        graph = _graph_of(function, reach, codes, refs, what)
    finally:
        end_collecting(outer)
    for digest, inner in codes.items():
        note_place(digest, inner)
    parts = {digest: marshal.dumps(code) for digest, code in codes.items()}
    skeletons = {_digest(row.skeleton): row.skeleton for row in graph.rows}
    texts = dict(_texts(codes.values()))
    classes = tuple((row.cid, _digest(row.skeleton)) for row in graph.rows)
    digest = _digest(*sorted(parts), *(cid for cid, _ in classes))
    key = _digest(graph.head, digest, repr(graph.missing).encode())
    return Code(
        key,
        digest,
        graph.head,
        classes,
        parts | skeletons | texts,
        tuple(texts),
        graph.missing,
        tuple(dict.fromkeys(refs)),
        tuple(one.object_id for one in large),
    )


def _graph_of(
    function: Callable[..., Any], reach: Reach, codes: dict[bytes, CodeType], refs: list[ObjectId], what: str
) -> Graph:
    large = {number: position for position, number in enumerate(reach.large)}
    from jray.runtime.serde import graphs, pickler  # with cloudpickle, which takes long to import

    with contextlib.suppress(Exception):  # it is met again
        graph = graphs.pack_graph(function, reach, codes=codes, large=large)
        if not is_doubtful_by_value(graph.head):
            return graph
    codes.clear()
    refs.clear()
    try:
        return graphs.pack_deep_graph(function, reach, codes=codes, large=large)
    except Exception as error:  # noqa: BLE001 - whatever it is: why is found out
        refusal = pickler.why_not(function, what, error)
    raise refusal


def _digest(*parts: bytes) -> bytes:
    state = blake2b(digest_size=KEY_BYTES)
    for part in parts:
        state.update(part)
    return state.digest()


def _texts(codes: Iterable[CodeType]) -> Iterable[tuple[bytes, bytes]]:
    """The cells that the code stands in: what only this process knows the text of."""
    for file in {code.co_filename for code in codes}:
        entry = linecache.cache.get(file)
        if entry is not None and len(entry) > 1 and entry[1] is None:  # of no file on the disk
            text = marshal.dumps((file, "".join(entry[2])))
            yield _digest(text), text
