"""Values to bytes and back: pickle protocol 5, large buffers out of band.

The C pickler goes first, because it is five times as fast; cloudpickle does what only it can (functions, lambdas and
classes of `__main__`). A pickle that names `__main__` was made by reference to a module that workers do not have.
"""

from __future__ import annotations

import functools
import io
import pickle
import sys
from collections import ChainMap
from collections.abc import Callable, Iterable
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from jray.exceptions import ObjectLostError
from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import undisturbed
from jray.runtime.object_ref import begin_collecting, end_collecting
from jray.runtime.serde.unpicklable import NotPicklable, explain_unpicklable

OUT_OF_BAND_BYTES = 64 * 1024  # buffers of this size and more go through shared memory
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

    refs, outer = begin_collecting()
    try:
        head = None if isinstance(value, FunctionType) else _dumps_fast(value, keep_large)
        if head is None:
            buffers.clear()
            refs.clear()
            head = _dumps_any(value, keep_large, what)
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


def _dumps_fast(value: object, keep_large: Callable[[pickle.PickleBuffer], bool]) -> bytes | None:
    """By the C pickler; None when only cloudpickle does it right."""
    if modules_are_by_value():
        return None
    try:
        head = pickle.dumps(value, 5, buffer_callback=keep_large)
    except Exception:  # noqa: BLE001 - anything may go wrong in a user's __reduce__; cloudpickle tells it again
        return None
    return None if b"__main__" in head or b"__mp_main__" in head else head


def _dumps_any(value: object, keep_large: Callable[[pickle.PickleBuffer], bool], what: str) -> bytes:
    file = io.BytesIO()
    try:
        _any_pickler()(file, protocol=5, buffer_callback=keep_large).dump(value)
        return file.getvalue()
    except (NotPicklable, ObjectLostError):
        raise
    except Exception as error:
        raise explain_unpicklable(value, what, error) from error


@functools.cache
def _any_pickler() -> Callable[..., pickle.Pickler]:
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
