"""Values to bytes and back: pickle protocol 5, large buffers out of band.

The C pickler goes first, because it is five times as fast; cloudpickle does what only it can (functions, lambdas and
classes of `__main__`). A pickle that names `__main__` was made by reference to a module that workers do not have.
"""

from __future__ import annotations

import copyreg
import functools
import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable, MutableMapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple, TypeAlias

from jray.exceptions import ObjectLostError
from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import undisturbed
from jray.runtime.object_ref import begin_collecting, end_collecting
from jray.runtime.serde import arrays
from jray.runtime.serde.unpicklable import NotPicklable, explain_unpicklable

OUT_OF_BAND_BYTES = 64 * 1024  # buffers of this size and more go through shared memory
_KeepLarge: TypeAlias = Callable[[pickle.PickleBuffer], bool]  # whether a buffer stays in the pickle
_ATOMS = frozenset({type(None), bool, int, float})


class Packed(NamedTuple):
    """A value as bytes: the pickle, its large buffers, and the refs inside it."""

    head: bytes
    buffers: tuple[memoryview, ...]
    refs: tuple[ObjectId, ...]


@undisturbed
def pack(value: object, what: str) -> Packed:
    """Pickle a value. Buffers are not copied: they belong to the value.

    Args:
        value: anything.
        what: how a message calls it ("argument 'x' of f").

    Raises:
        TypeError: it can't be pickled; the message names the part that can't, and the path to it.
    """
    if type(value) in _ATOMS:
        return Packed(pickle.dumps(value, 5), (), ())
    buffers: list[memoryview] = []

    def keep_large(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < OUT_OF_BAND_BYTES:
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
            head = _dumps_any(value, begin_again, what)
    finally:
        end_collecting(outer)
    return Packed(head, tuple(buffers), tuple(dict.fromkeys(refs)) if refs else ())


def unpack(head: bytes | memoryview, buffers: Iterable[memoryview]) -> Any:
    """The value again. Buffers are used in place: arrays are views of them."""
    return pickle.loads(head, buffers=buffers)


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
            head = _dumps_without_copies(pickle.Pickler, copyreg.dispatch_table, value, begin_again())
    except Exception:  # noqa: BLE001 - anything may go wrong in a user's __reduce__; cloudpickle tells it again
        return None
    return None if b"__main__" in head or b"__mp_main__" in head else head


def _dumps_any(value: object, begin_again: Callable[[], _KeepLarge], what: str) -> bytes:
    pickler, file = _any_pickler(), io.BytesIO()
    try:
        pickler(file, protocol=5, buffer_callback=begin_again()).dump(value)
        head = file.getvalue()
        if _has_copies(head):
            head = _dumps_without_copies(pickler, pickler.dispatch_table, value, begin_again())
    except (NotPicklable, ObjectLostError):
        raise
    except Exception as error:
        raise explain_unpicklable(value, what, error) from error
    return head


@functools.cache
def _any_pickler() -> Any:
    """cloudpickle's; but code keeps the name of its file, which cloudpickle 3.1.3 takes away.

    By it, the traceback of a failed task names the cell, and shows the line. That bytes are the same wherever a
    function was defined, for which cloudpickle gives that up, nothing here needs.
    """
    import cloudpickle

    known = cloudpickle.Pickler.dispatch_table
    reduce_code = known[CodeType]

    def reduce_with_file(code: CodeType) -> tuple[Any, ...]:
        make, parts = reduce_code(code)
        return make, tuple(code.co_filename if part == "<dynamic-code>" else part for part in parts)

    table = ChainMap({CodeType: reduce_with_file}, known)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc] # has no types
        dispatch_table = table

    return Pickler


def _has_copies(head: bytes) -> bool:
    return len(head) >= OUT_OF_BAND_BYTES and arrays.has_copies(head)


def _dumps_without_copies(
    pickler: type[pickle.Pickler], table: MutableMapping[type, Any], value: object, keep_large: _KeepLarge
) -> bytes:
    """Once more, slower: the table of reducers is asked for each object. What the user has registered goes first."""
    file = io.BytesIO()
    kind = type("Pickler", (pickler,), {"dispatch_table": ChainMap(copyreg.dispatch_table, arrays.reducers(), table)})
    kind(file, 5, buffer_callback=keep_large).dump(value)
    return file.getvalue()
