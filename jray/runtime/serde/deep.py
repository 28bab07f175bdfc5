"""Pickling on a stack of our own: graphs of any depth, and what could not be pickled with the way to it.

C picklers call themselves for each object inside an object. The interpreter ends that at its recursion limit; where
nobody can raise that limit for C code (Python 3.12, 3.13) no thread with a large stack helps. This one keeps the
objects that it is inside of in a list. It is ten times slower, so it is for what the C pickler has refused.
"""

from __future__ import annotations

import copyreg
import io
import pickle
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import BuiltinMethodType, FunctionType
from typing import Any, TypeAlias

DEEPEST = 500_000  # objects inside each other: 300 MB; a __reduce__ that always gives a new one must end somewhere
_BATCH = 1_000  # elements for one opcode, as in pickle
_FEW = 3  # tuples up to this length have opcodes of their own

_Parts: TypeAlias = Iterator[Any]  # what is still to be pickled of an object; between them it writes its own opcodes
_Saver: TypeAlias = Callable[[Any, Any], None]
_saver_of: Mapping[Any, _Saver] = pickle._Pickler.dispatch  # noqa: SLF001
_ATOMS = {kind: _saver_of[kind] for kind in (type(None), bool, int, float)}  # never remembered
_NAMED = {kind: _saver_of[kind] for kind in (type, FunctionType)}


class TooDeepError(Exception):
    """There are more objects inside each other than we go into."""


class NoWayError(Exception):
    """An object can't be pickled.

    It comes from what was raised (`__cause__`).
    """

    def __init__(self, trail: list[object]) -> None:
        """`trail`: the value, and what is inside each other of it, to the object at which it ended."""
        super().__init__()
        self.trail = trail


def _accept(_: object) -> None:
    """Anything may be pickled."""


class DeepPickler(pickle._Pickler):  # noqa: SLF001 - pickle's own algorithm, in Python
    """Writes what a C pickler would write, with its reducers and its persistent ids.

    `save` of an object does not call `save` of its parts: `_begin` writes the object, or gives an iterator of its
    parts, which goes onto the stack. (Few objects of ours for each level: garbage collection looks at them again and
    again.)
    """

    # Of pickle._Pickler, which is typed for users of pickle.Pickler.
    memo: dict[int, tuple[int, object]]  # holds what it knows, so that ids stay their own
    get: Callable[[int], bytes]
    save_global: Callable[[object, str | None], None]
    dispatch_table: Mapping[type, Callable[[Any], Any]]
    _buffer_callback: Callable[[pickle.PickleBuffer], Any] | None

    def __init__(
        self,
        model: pickle.Pickler,
        file: io.BytesIO,
        buffer_callback: Callable[[pickle.PickleBuffer], Any] | None = None,
        check: Callable[[object], None] = _accept,
    ) -> None:
        """`model` is a new pickler, which is asked how to pickle; it writes nothing itself.

        `check` raises for what is not to be pickled; it is not asked about builtin containers and atoms.
        """
        super().__init__(file, 5, buffer_callback=buffer_callback)
        self._check = check
        self.write = file.write  # without frames: they help who reads from a file
        table = getattr(model, "dispatch_table", copyreg.dispatch_table)
        self.dispatch_table = dict(table) if isinstance(table, ChainMap) else table  # four times as fast
        self._reducer_override = getattr(model, "reducer_override", None)
        persistent_id = getattr(model, "persistent_id", None)
        self._persistent_id = None if isinstance(persistent_id, BuiltinMethodType) else persistent_id
        self._owners: list[object] = []  # what we are inside of, outermost first
        self._stack: list[_Parts] = []  # the parts of each
        self._failed: list[object] = []  # what could not even be begun with

    def dump(self, obj: object) -> None:
        """Pickle a value. May be called again: what was pickled before is referred to.

        Raises:
            NoWayError: an object can't be pickled, and where it is.
        """
        try:
            self.write(pickle.PROTO + b"\x05")
            self.save(obj)
            self.write(pickle.STOP)
        except Exception as error:
            raise NoWayError(self._owners + self._failed) from error

    def memoize(self, obj: object) -> None:
        """It can be referred to from now on."""
        self.write(pickle.MEMOIZE)
        self.memo[id(obj)] = len(self.memo), obj

    def save(self, obj: object, save_persistent_id: bool = True) -> None:  # noqa: FBT001, FBT002 - as inherited
        """Pickle an object with everything inside it."""
        outer = len(self._stack)
        self._enter(obj, may_be_persistent=save_persistent_id)
        while len(self._stack) > outer:
            for part in self._stack[-1]:
                if self._enter(part):
                    break
            else:
                self._stack.pop()
                self._owners.pop()

    def _enter(self, obj: object, *, may_be_persistent: bool = True) -> bool:
        """Begin with an object; whether it has parts."""
        try:
            parts = self._begin(obj, may_be_persistent=may_be_persistent)
        except BaseException:
            self._failed = [obj]
            raise
        if parts is None:
            return False
        if len(self._stack) >= DEEPEST:
            raise TooDeepError
        self._owners.append(obj)
        self._stack.append(parts)
        return True

    # ---- one object, in the order in which C looks at it

    def _begin(self, obj: Any, *, may_be_persistent: bool = True) -> _Parts | None:
        if self._persistent_id is not None and may_be_persistent:
            name = self._persistent_id(obj)
            if name is not None:
                self.save(name, save_persistent_id=False)
                self.write(pickle.BINPERSID)
                return None
        kind = type(obj)
        write = _ATOMS.get(kind)
        if write is not None:
            write(self, obj)
            return None
        known = self.memo.get(id(obj))
        if known is not None:
            self.write(self.get(known[0]))
            return None
        begin = _BEGIN.get(kind)
        return self._begin_reduced(obj, kind) if begin is None else begin(self, obj)

    def _begin_reduced(self, obj: Any, kind: type) -> _Parts | None:
        self._check(obj)
        reduced = NotImplemented if self._reducer_override is None else self._reducer_override(obj)
        if reduced is NotImplemented:
            if kind in _NAMED:
                _NAMED[kind](self, obj)
                return None
            reduce = self.dispatch_table.get(kind)
            if reduce is None and issubclass(kind, type):
                self.save_global(obj, None)
                return None
            reduced = obj.__reduce_ex__(5) if reduce is None else reduce(obj)
        if isinstance(reduced, str):
            self.save_global(obj, reduced)
            return None
        if not isinstance(reduced, tuple) or not 2 <= len(reduced) <= 6:  # noqa: PLR2004 - pickle's protocol
            raise pickle.PicklingError("its __reduce__ gives neither a string nor a tuple of two to six elements")
        return self._reduced(obj, *reduced)

    def _buffer(self, obj: pickle.PickleBuffer) -> _Parts | None:
        with obj.raw() as raw:
            if self._buffer_callback is None or self._buffer_callback(obj):
                return self._begin(raw.tobytes() if raw.readonly else bytearray(raw))
            self.write(pickle.NEXT_BUFFER + (pickle.READONLY_BUFFER if raw.readonly else b""))
            return None

    # ---- the parts of an object, and what is written between them

    def _tuple(self, obj: tuple[Any, ...]) -> _Parts:
        if not obj:
            self.write(pickle.EMPTY_TUPLE)
            return
        if len(obj) > _FEW:
            self.write(pickle.MARK)
        yield from obj
        if id(obj) in self.memo:  # it is inside itself, and was finished there
            self.write(pickle.POP_MARK if len(obj) > _FEW else pickle.POP * len(obj))
            self.write(self.get(self.memo[id(obj)][0]))
            return
        self.write((pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)[len(obj) if len(obj) <= _FEW else 0])
        self.memoize(obj)

    def _list(self, obj: list[Any]) -> _Parts | None:
        self.write(pickle.EMPTY_LIST)
        self.memoize(obj)
        return self._batches(obj, pickle.APPENDS) if obj else None

    def _dict(self, obj: dict[Any, Any]) -> _Parts | None:
        self.write(pickle.EMPTY_DICT)
        self.memoize(obj)
        return self._pairs(obj.items()) if obj else None

    def _set(self, obj: set[Any]) -> _Parts | None:
        self.write(pickle.EMPTY_SET)
        self.memoize(obj)
        return self._batches(obj, pickle.ADDITEMS) if obj else None

    def _frozenset(self, obj: frozenset[Any]) -> _Parts:
        self.write(pickle.MARK)
        yield from obj
        if id(obj) in self.memo:
            self.write(pickle.POP_MARK + self.get(self.memo[id(obj)][0]))
            return
        self.write(pickle.FROZENSET)
        self.memoize(obj)

    def _batches(self, elements: Iterable[Any], add: bytes) -> _Parts:
        """As pickle does, so that who unpickles a long list does not hold all of it twice."""
        self.write(pickle.MARK)
        left = _BATCH
        for element in elements:
            yield element
            left -= 1
            if not left:
                self.write(add + pickle.MARK)
                left = _BATCH
        self.write(add)

    def _pairs(self, pairs: Iterable[tuple[Any, Any]]) -> _Parts:
        self.write(pickle.MARK)
        left = _BATCH
        for key, element in pairs:
            yield key
            yield element
            left -= 1
            if not left:
                self.write(pickle.SETITEMS + pickle.MARK)
                left = _BATCH
        self.write(pickle.SETITEMS)

    def _reduced(  # noqa: PLR0917 - as __reduce__ gives them
        self,
        obj: object,
        make: Any,
        args: Any,
        state: object = None,
        elements: Iterable[Any] | None = None,
        pairs: Iterable[tuple[Any, Any]] | None = None,
        set_state: object = None,
    ) -> _Parts:
        made_from, opcode = _made_from(obj, make, args)
        yield from made_from
        self.write(opcode)
        if id(obj) in self.memo:  # as with tuples
            self.write(pickle.POP + self.get(self.memo[id(obj)][0]))
        else:
            self.memoize(obj)
        if elements is not None:
            yield from self._batches(elements, pickle.APPENDS)
        if pairs is not None:
            yield from self._pairs(pairs)
        if state is None:
            return
        if set_state is None:
            yield state
            self.write(pickle.BUILD)
        else:
            yield from (set_state, obj, state)
            self.write(pickle.TUPLE2 + pickle.REDUCE + pickle.POP)


def _made_from(obj: Any, make: Any, args: Any) -> tuple[tuple[Any, ...], bytes]:
    """What stands on the unpickler's stack to make an object, and the opcode that makes it."""
    if not isinstance(args, tuple) or not callable(make):
        raise pickle.PicklingError("its __reduce__ gives no function with a tuple of arguments")
    name = getattr(make, "__name__", "")
    if name not in {"__newobj__", "__newobj_ex__"}:
        return (make, args), pickle.REDUCE
    if not args or args[0] is not obj.__class__:
        raise pickle.PicklingError(f"its __reduce__ gives {name} of another class")
    return ((args[0], args[1:]), pickle.NEWOBJ) if name == "__newobj__" else (args, pickle.NEWOBJ_EX)


_BEGIN: dict[type, Callable[[DeepPickler, Any], _Parts | None]] = {
    **{kind: _saver_of[kind] for kind in (str, bytes, bytearray)},
    tuple: DeepPickler._tuple,  # noqa: SLF001 - ours
    list: DeepPickler._list,  # noqa: SLF001
    dict: DeepPickler._dict,  # noqa: SLF001
    set: DeepPickler._set,  # noqa: SLF001
    frozenset: DeepPickler._frozenset,  # noqa: SLF001
    pickle.PickleBuffer: DeepPickler._buffer,  # noqa: SLF001
}
