"""Large values that many tasks use, as arguments or because their functions reach them: stored once.

A value is known again by its identity, and only as long as its bytes are what was stored (semantics 14 and 22). They
are compared at each call for arguments; for captured values once in each cell, at its first submission, and once more
at its end if there were several: a change in between came too late for some of the cell's tasks, which is said.
"""

from __future__ import annotations

import io
import pickle
import sys
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from types import FunctionType
from typing import Any

from jray.exceptions import ObjectLostError
from jray.runtime.ids import ObjectId
from jray.runtime.interrupts import undisturbed
from jray.runtime.object_ref import ObjectRef, owner_of
from jray.runtime.serde.values import OUT_OF_BAND_BYTES, Packed, pack, pack_data

_MOST = 64  # values that are known again
_MOST_HELD = 2  # of those whose end can't be noticed
_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes, ObjectRef})
_SMALL = frozenset({type(None), bool, int, float, str, list, tuple, dict, set, ObjectRef})  # or not looked at
_SIZED = frozenset({bytes, bytearray})
_NUMBERS_AND_TEXTS = frozenset({type(None), bool, int, float, complex, str, bytes})
_TEXTS = frozenset({str, bytes})
_NUMBERS_TEXTS_AND_REFS = _NUMBERS_AND_TEXTS | {ObjectRef}
_IMMUTABLE = frozenset({bytes, str})
_CELLS = {"pandas": 8}  # bytes that an element takes at least, where a value does not tell its size

Put = Callable[[Any, Packed, str], ObjectRef[Any]]
IsStored = Callable[[ObjectId, Packed], bool]


class StoredOnce:
    """One value, and the object that it was stored as."""

    def __init__(self, value: Any, ref: ObjectRef[Any], table: LargeValues) -> None:
        """`ref` keeps the object; the value lives as long as others hold it, if Python can tell."""
        self.value: Callable[[], Any]
        number = id(value)
        try:
            self.value = weakref.ref(value, lambda gone: table.forget(number, gone))
        except TypeError:
            self.value = lambda: value
        self.object_id = ref._id  # noqa: SLF001 - the runtime's own
        self.ref: ObjectRef[Any] | None = ref  # None: the runtime was shut down
        self.verified_in = table.epoch()
        self.used_in = self.verified_in
        self.uses = 1  # in that cell
        self._table = table

    def holds(self) -> bool:
        """Whether the value is what was stored, as far as it was looked at in this cell."""
        if self.ref is None:
            return False
        epoch = self._table.epoch()
        if self.used_in != epoch:
            self.used_in, self.uses = epoch, 0
        self.uses += 1
        if epoch and self.verified_in == epoch:
            return True
        return self.is_unchanged()

    def is_unchanged(self) -> bool:
        """Whether the value is what was stored, now."""
        value = self.value()
        if value is None:
            return False
        if type(value) not in _IMMUTABLE:
            packed = pack_data(value)
            if packed is None or not self._table.is_stored(self.object_id, packed):
                return False
        self.verified_in = self._table.epoch()
        return True


class LargeValues:
    """Those of one process."""

    def __init__(self, put: Put, is_stored: IsStored, epoch: Callable[[], int]) -> None:
        """Know none yet.

        Args:
            put: stores a packed value; it is told what it is, in words.
            is_stored: whether an object is a packed value, byte for byte.
            epoch: the number of the running cell; 0 where there are no cells: then values are always compared.
        """
        self._put, self.is_stored, self.epoch = put, is_stored, epoch
        self._known: OrderedDict[int, StoredOnce] = OrderedDict()  # by id() of the value
        self._held: deque[int] = deque()  # those that have no weak references
        self._changing = threading.RLock()  # weakref callbacks run in the middle of it
        self._made: weakref.WeakSet[StoredOnce] = weakref.WeakSet()  # functions hold some

    def watch(self, value: Any, packed: Packed) -> StoredOnce:
        """A captured value: the object that it is stored as."""
        return self._stored(value, packed, "captured by a function")

    def changed_in_cell(self) -> list[Any]:
        """Captured values that are not any more what several tasks of the running cell were given."""
        epoch = self.epoch()
        used = [one for one in list(self._known.values()) if one.used_in == epoch and one.uses > 1]
        return [one.value() for one in used if one.value() is not None and not one.is_unchanged()]

    def as_refs(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> dict[int, ObjectRef[Any]]:
        """References in place of large arguments, by id() of the value. `what` says what they are stored as."""
        found: dict[int, ObjectRef[Any]] = {}
        for value in (*args, *kwargs.values()):
            if id(value) not in found and may_be_large(value):
                packed = pack_data(value)
                if packed is not None and packed.nbytes >= OUT_OF_BAND_BYTES and not packed.refs:
                    stored = self._stored(value, packed, what)
                    assert stored.ref is not None  # noqa: S101 - the runtime is there
                    found[id(value)] = stored.ref
        return found

    def _stored(self, value: Any, packed: Packed, what: str) -> StoredOnce:
        self._drop_old()
        known = self._known.get(id(value))
        if known is not None and known.value() is value and self.is_stored(known.object_id, packed):
            known.verified_in = self.epoch()
            return known
        made = StoredOnce(value, self._put(value, packed, what), self)
        self._made.add(made)
        with self._changing:
            self._known[id(value)] = made
            self._known.move_to_end(id(value))
            while len(self._known) > _MOST:
                self._known.popitem(last=False)
            if not isinstance(made.value, weakref.ref):  # we hold it: not for long
                self._held.append(id(value))
                while len(self._held) > _MOST_HELD:
                    self._known.pop(self._held.popleft(), None)
        return made

    def close(self) -> None:
        """The runtime is shut down: nothing is kept, whoever still holds what this has given."""
        self._known.clear()
        for one in list(self._made):
            one.ref = None
        self._put, self.is_stored, self.epoch = _put_nowhere, lambda *_: False, lambda: 0  # they hold the runtime

    def forget(self, number: int, value: Callable[[], Any]) -> None:
        """The value is gone: its stored copy may go, too. Safe in a finalizer."""
        known = self._known.get(number)
        if known is not None and known.value is value:
            del self._known[number]

    def _drop_old(self) -> None:
        """What no task of this cell or the one before was given is not kept any longer."""
        epoch = self.epoch()
        if not epoch:
            return
        for number, one in list(self._known.items()):
            if one.verified_in < epoch - 1 and one.used_in < epoch - 1:
                self._known.pop(number, None)


def _put_nowhere(_value: Any, _packed: Packed, what: str) -> ObjectRef[Any]:
    msg = (
        f"Something {what} could not be stored. Another thread has shut jray down meanwhile. Call jray again: the next "
        "use starts it."
    )
    raise ObjectLostError(msg)


@undisturbed
def may_be_large(value: Any) -> bool:
    """Whether it is worth looking: cheap, and wrong only towards no."""
    kind = type(value)
    if kind in _SMALL:
        return False
    if kind in _SIZED:
        return len(value) >= OUT_OF_BAND_BYTES
    package = kind.__module__.partition(".")[0]
    if package not in sys.modules or package in ("builtins", "__main__"):
        return False
    try:
        size = value.size * _CELLS[package] if package in _CELLS else getattr(value, "nbytes", 0)
        return bool(size >= OUT_OF_BAND_BYTES)
    except Exception:  # noqa: BLE001 - whatever a class does: it is only a guess
        return False


class _Finder(pickle.Pickler):
    """Looks for things inside others, and writes nothing that is kept."""

    def __init__(self, looked_for: Container[int]) -> None:
        super().__init__(io.BytesIO(), 5, buffer_callback=lambda _: None)
        self._looked_for = looked_for

    def persistent_id(self, value: Any) -> str | None:
        if id(value) in self._looked_for:
            raise _FoundError
        return "it holds no arguments" if isinstance(value, (type, FunctionType)) else None


class _FoundError(Exception):
    """It is inside."""


@undisturbed
def _are_inside(looked_for: Container[int], values: Iterable[Any]) -> bool:
    """Whether one of the things with these id()s is inside a value; also if nobody can tell."""
    others = [value for value in values if type(value) not in _PLAIN]
    if not others:
        return False
    try:
        _Finder(looked_for).dump(others)
    except Exception:  # noqa: BLE001 - found, or not to be pickled so
        return True
    return False


def pack_plain(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[bytes, tuple[ObjectId, ...]] | None:
    """The arguments of a call as their pickle, if all are numbers, texts and refs; None: `pack_arguments` must do it.

    In place of refs there is nothing: the pickle says where the values of which objects go (see `with_values`).
    """
    kinds = {*map(type, args), *map(type, kwargs.values()), *map(type, kwargs)}
    if not _TEXTS.isdisjoint(kinds) and any(_is_long(value) for value in (*args, *kwargs.values())):
        return None
    needs: tuple[ObjectId, ...] = ()
    if _NUMBERS_AND_TEXTS.issuperset(kinds):
        head = pickle.dumps((args, kwargs), 5)
    elif _NUMBERS_TEXTS_AND_REFS.issuperset(kinds):
        slots: list[tuple[int | str, ObjectId]] = []
        places: list[tuple[int | str, Any]] = [*enumerate(args), *kwargs.items()]
        for place, value in places:
            if type(value) is ObjectRef:
                owner_of(value)
                slots.append((place, value._id))  # noqa: SLF001 - the runtime's own
        needs = tuple([object_id for _, object_id in slots])
        short = tuple([None if type(value) is ObjectRef else value for value in args])
        rest = {name: None if type(value) is ObjectRef else value for name, value in kwargs.items()}
        head = pickle.dumps((short, rest, slots), 5)
    else:
        return None
    return (head, needs) if len(head) < OUT_OF_BAND_BYTES else None


def _is_long(value: object) -> bool:
    return isinstance(value, str | bytes) and len(value) >= OUT_OF_BAND_BYTES


def with_values(packed: tuple[Any, ...], values: Mapping[ObjectId, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Arguments that were packed by `pack_plain` or `pack_arguments`, with the values of their top-level refs."""
    args, kwargs, *slots = packed
    if slots:
        args = list(args)
        for place, object_id in slots[0]:
            (kwargs if type(place) is str else args)[place] = values[object_id]
        return args, kwargs
    if not values:
        return args, kwargs
    args = [values[value._id] if type(value) is ObjectRef else value for value in args]  # noqa: SLF001
    named = kwargs.items()
    return args, {name: values[value._id] if type(value) is ObjectRef else value for name, value in named}  # noqa: SLF001


def pack_arguments(
    args: tuple[Any, ...], kwargs: Mapping[str, Any], name: str, large: LargeValues
) -> tuple[tuple[Any, ...], Mapping[str, Any], Packed]:
    """The arguments of a call to `name`, with references in place of large ones, and both packed together.

    Raises:
        TypeError: one can't be pickled.
    """
    what = f"An argument of {name}"
    refs = large.as_refs(args, kwargs, f"arguments of {name}")
    if refs:
        short_args = tuple(refs.get(id(value), value) for value in args)
        short_kwargs = {key: refs.get(id(value), value) for key, value in kwargs.items()}
        if not _are_inside(refs, (*short_args, *short_kwargs.values())):
            return short_args, short_kwargs, pack((short_args, short_kwargs), what, is_for_call=True)
        # One of them is inside another argument, too, and must stay one thing there (semantics 13).
    return args, kwargs, pack((args, kwargs), what, is_for_call=True)
