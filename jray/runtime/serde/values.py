"""Values to bytes and back: pickle protocol 5, large buffers out of band.

The C pickler goes first, because it is five times as fast; pickler.py does what only it can (functions, lambdas and
classes of `__main__`). A pickle that names `__main__` was made by reference to a module that workers do not have.

Classes of the notebook are named by id (classes.py). Who does not know them finds them behind the pickle, where Python
does not look: rows and graph, marshalled, their length, and a mark that no pickle ends with.
"""

from __future__ import annotations

import contextlib
import copyreg
import io
import marshal
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import undisturbed
from jray.runtime.object_ref import begin_collecting, end_collecting
from jray.runtime.serde import arrays
from jray.runtime.serde.unpicklable import LEAST_DOUBTFUL, is_doubtful, is_doubtful_by_value

if TYPE_CHECKING:
    from jray.runtime.serde.loading import Loader

OUT_OF_BAND_BYTES = 64 * 1024  # buffers of this size and more go through shared memory
_KeepLarge: TypeAlias = Callable[[pickle.PickleBuffer], bool]  # whether a buffer stays in the pickle
ATOMS = frozenset({type(None), bool, int, float})  # exactly these: pickle can't go wrong
_TEXTS = frozenset({bytes, bytearray, str})
_MARK = b"\0jray\0"
_LENGTH_BYTES = 8


class Packed(NamedTuple):
    """A value as bytes: the pickle, its large buffers, and the refs inside it."""

    head: bytes
    buffers: tuple[memoryview, ...]
    refs: tuple[ObjectId, ...]

    @property
    def nbytes(self) -> int:
        """All of it."""
        return len(self.head) + sum(buffer.nbytes for buffer in self.buffers)

    def whole(self) -> bytes:
        """All of it, copied."""
        return b"".join((self.head, *self.buffers)) if self.buffers else self.head


@undisturbed
def pack(
    value: object, what: str, out_of_band_bytes: float = OUT_OF_BAND_BYTES, *, is_for_call: bool = False
) -> Packed:
    """Pickle a value. Buffers are not copied: they belong to the value.

    Args:
        value: anything.
        what: how a message calls it ("argument 'x' of f").
        out_of_band_bytes: smaller buffers are copied into the pickle.
        is_for_call: these are the arguments of a call, whose functions have the globals of the task.

    Raises:
        TypeError: it can't be pickled; the message names the part that can't, and the path to it.
    """
    if type(value) in ATOMS:
        return Packed(pickle.dumps(value, 5), (), ())
    buffers: list[memoryview] = []

    def keep_large(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < out_of_band_bytes:
            return True  # in band
        buffers.append(raw)
        return False

    def begin_again() -> _KeepLarge:
        buffers.clear()
        refs.clear()
        return keep_large

    refs, outer = begin_collecting()
    try:
        head = None if isinstance(value, FunctionType) else _dumps_fast(value, keep_large, begin_again)
        if head is None:
            head = _dumps_any(value, begin_again, refs, what, is_for_call=is_for_call)
    finally:
        end_collecting(outer)
    return Packed(head, tuple(buffers), tuple(dict.fromkeys(refs)) if refs else ())


@undisturbed
def pack_data(value: object) -> Packed | None:
    """The same for what is nothing but data, by the C pickler. None: it is something else, or can't be pickled."""
    buffers: list[memoryview] = []

    def keep_large(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(raw)
        return False

    refs, outer = begin_collecting()
    try:
        is_text = type(value) in _TEXTS  # may well contain "__main__"
        head = pickle.dumps(value, 5) if is_text else _dumps_fast(value, keep_large, lambda: keep_large)
    finally:
        end_collecting(outer)
    return None if head is None else Packed(head, tuple(buffers), tuple(dict.fromkeys(refs)))


def unpack(head: bytes | memoryview, buffers: Iterable[memoryview]) -> Any:
    """The value again. Buffers are used in place: arrays are views of them."""
    if head[-len(_MARK) :] != _MARK:
        return pickle.loads(head, buffers=buffers) if buffers else pickle.loads(head)
    kept, loader = _load_classes(head)
    with loader:
        value = pickle.loads(head, buffers=buffers)
    del kept  # from here on the value holds them
    return value


def modules_are_by_value() -> bool:
    """Whether the user has told cloudpickle to take some modules by value."""
    # By name: another thread may be importing it just now, and then nobody has registered anything yet.
    registered = getattr(sys.modules.get("cloudpickle"), "list_registry_pickle_by_value", None)
    return registered is not None and bool(registered())


def _dumps_fast(value: object, keep_large: _KeepLarge, begin_again: Callable[[], _KeepLarge]) -> bytes | None:
    """By the C pickler; None when only cloudpickle does it right."""
    if modules_are_by_value():
        return None
    try:
        if arrays.is_plain(value) and value.nbytes >= OUT_OF_BAND_BYTES:  # type: ignore[attr-defined]
            value = arrays.PlainArray(value)
        head = pickle.dumps(value, 5, buffer_callback=keep_large)
        if _has_copies(head):
            file = io.BytesIO()
            table = ChainMap(copyreg.dispatch_table, arrays.reducers())
            pickler = type("Pickler", (pickle.Pickler,), {"dispatch_table": table})
            pickler(file, 5, buffer_callback=begin_again()).dump(value)
            head = file.getvalue()
    except Exception:  # noqa: BLE001 - anything may go wrong in a user's __reduce__; cloudpickle tells it again
        return None
    if b"_main__" in head or (len(head) >= LEAST_DOUBTFUL and is_doubtful(head)):  # __main__, or __mp_main__
        return None
    return head


def _dumps_any(
    value: object, begin_again: Callable[[], _KeepLarge], refs: list[ObjectId], what: str, *, is_for_call: bool
) -> bytes:
    """By our own pickler; what that refuses, by a slower one that goes deeper, and knows where it ends."""
    from jray.runtime.serde import pickler as picklers  # with cloudpickle, which takes long to import

    kind = picklers.SharingPickler if is_for_call else picklers.ValuePickler
    with contextlib.suppress(Exception):  # it is met again
        file = io.BytesIO()
        pickler = kind(file, begin_again())
        pickler.dump(value)
        if _has_copies(file.getvalue()):
            file = io.BytesIO()
            pickler = picklers.without_copies(kind)(file, begin_again())
            pickler.dump(value)
        _append_classes(file, pickler.classes, tuple(pickler.names), refs)
        if not is_doubtful_by_value(file.getvalue()):
            return file.getvalue()
    try:
        file = io.BytesIO()
        pickler = picklers.without_copies(kind)(io.BytesIO())
        picklers.careful(pickler, file, begin_again()).dump(value)
        _append_classes(file, pickler.classes, tuple(pickler.names), refs)
        return file.getvalue()
    except Exception as error:  # noqa: BLE001 - whatever it is: why is found out
        refusal = picklers.why_not(value, what, error)
    raise refusal


def _append_classes(
    file: io.BytesIO, classes: Mapping[bytes, type], names: Sequence[str], refs: list[ObjectId]
) -> None:
    if not classes and not names:
        return
    from jray.runtime.serde.graphs import class_graph

    graph, inner = class_graph(classes, names)
    refs += inner
    rows = marshal.dumps((tuple(map(tuple, graph.rows)), graph.head))
    file.write(rows + len(rows).to_bytes(_LENGTH_BYTES, "little") + _MARK)


def _load_classes(head: bytes | memoryview) -> tuple[list[object], Loader]:
    from jray.runtime.serde import loading
    from jray.runtime.serde.classes import Row

    end = len(head) - len(_MARK) - _LENGTH_BYTES
    length = int.from_bytes(head[end : end + _LENGTH_BYTES], "little")
    rows, graph = marshal.loads(head[end - length : end])
    return loading.load_classes([Row(*row) for row in rows], graph)


def _has_copies(head: bytes) -> bool:
    return len(head) >= OUT_OF_BAND_BYTES and arrays.has_copies(head)
