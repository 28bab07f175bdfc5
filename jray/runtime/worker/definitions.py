"""The functions that this worker was sent, and the namespace that plays the notebook's while one of them runs.

Each task finds what its function reached when it was submitted, and nothing that another task has changed. A function
that is used again is not loaded again when provably nothing of it has changed. Names that the notebook does not have (a
model that is kept in a global) stay, by the digest of the code that made them.
"""

from __future__ import annotations

import marshal
import sys
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from operator import is_
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from jray.runtime import wire
from jray.runtime.serde import classes, loading
from jray.runtime.serde.classes import Row
from jray.runtime.serde.code import Code
from jray.runtime.serde.reach import Reach

_MOST_LOADED = 256  # functions
_MOST_KEPT = 128  # digests whose names stay
_MOST_NAMES = 2_000  # in the namespace, when no task runs
_STAYING = frozenset({FunctionType, type, ModuleType})  # no values: eval would find those of another task
_NOTHING = object()
_OF_MODULE = frozenset({"__name__", "__doc__", "__package__", "__loader__", "__spec__", "__builtins__"})


class _Entered(NamedTuple):
    """What is in the namespace while a function runs."""

    digest: bytes
    names: dict[str, Any]  # of the notebook
    before: dict[str, Any]  # all that was there


class _Loaded(NamedTuple):
    function: Callable[..., Any]
    names: dict[str, Any]  # of the notebook
    keeps: list[object]  # its classes
    reach: Reach | None  # None: it was used once, and is loaded again to be looked at while it is new


class Definitions:
    """All that was sent to this worker. Messages may come in from another thread; the rest is the main thread's."""

    def __init__(self) -> None:
        """The process has a fresh module `__main__` from now on."""
        module = ModuleType("__main__")
        module.__dict__["__builtins__"] = __builtins__
        sys.modules["__main__"] = module
        self._namespace = module.__dict__
        loading.shared_namespace = self._namespace
        self._sent: dict[bytes, wire.Define] = {}
        self._parts: dict[bytes, bytes] = {}
        self._texts: set[bytes] = set()  # parts that are texts, and are known
        self._forgotten: set[bytes] = set()
        self._codes = _Codes(self._parts)
        self._loaded: OrderedDict[bytes, _Loaded] = OrderedDict()
        self._kept: OrderedDict[bytes, dict[str, Any]] = OrderedDict()  # names, by digest
        self._of_set_ups: dict[str, Any] = {}  # what they leave in this process may use their names for ever
        self._entered: _Entered | None = None
        # The function that ran last may come again, as one of many: then all that it needs is there.
        self._left: _Entered | None = None
        self._in_place: bytes | None = None
        self._may_stay: bytes | None = None  # when it is left, if it has changed nothing

    # ---- what comes in

    def define(self, sent: wire.Define) -> None:
        """A function was sent."""
        self._parts.update(sent.parts)
        self._sent[sent.key] = sent
        self._forgotten.discard(sent.key)

    def forget(self, sent: wire.Forget) -> None:
        """These will not be asked for any more, but by attempts that are here already."""
        self._forgotten.update(sent.keys)

    def tidy(self) -> None:
        """Nothing is here that waits to be run: let go of what may be forgotten."""
        if not self._forgotten:
            return
        while self._forgotten:
            key = self._forgotten.pop()
            self._sent.pop(key, None)
            self._loaded.pop(key, None)
            if key == self._in_place:
                self._end_in_place()
        needed = {part for definition in self._sent.values() for part in definition.needs}
        texts = {text for definition in self._sent.values() for text in definition.texts}
        for part in self._parts.keys() - needed:
            data = self._parts.pop(part)
            if part in self._texts - texts:
                self._texts.discard(part)
                loading.forget_source(data)
        self._codes.forget()

    # ---- around a task

    def enter(self, key: bytes, captured: Callable[[int], Any]) -> Callable[..., Any]:
        """The function, as it was when the task was submitted. `captured` gives large values that it reaches."""
        if key == self._in_place:
            loaded = self._loaded[key]
            if loaded.reach is not None and loaded.reach.holds():
                self._entered = self._left
                loading.own_names = loaded.names
                return loaded.function
        self._end_in_place()
        sent = self._sent[key]
        if sent.missing:
            self._take_away(sent.missing)
        known = self._loaded.get(key)
        if known is not None and known.reach is not None and self._is_as_new(known):
            self._loaded.move_to_end(key)
            loaded = known
        else:
            loaded = self._load(sent, captured, is_used_again=known is not None)
            if sent.is_kept:
                self._keep_loaded(key, loaded)
        if self._kept:
            self._add(self._kept.get(sent.digest, {}))
        if sent.classes:
            loading.settled.update(cid for cid, _ in sent.classes)
        self._note_entered(sent, loaded)
        is_plain = not sent.missing and not sent.classes and not self._kept
        self._may_stay = key if is_plain and loaded.reach is not None else None
        return loaded.function

    def enter_whole(self, code: Code) -> Callable[..., Any]:
        """The same for a function that sets this process up, and came with all its parts."""
        self._end_in_place()
        self._may_stay = None
        self._parts.update(code.parts)
        sent = wire.Define(
            code.key, code.digest, code.head, code.classes, code.texts, code.missing, (), {}, is_kept=False
        )
        self._take_away(sent.missing)
        loaded = self._load(sent, no_large_value, is_used_again=False)
        self._note_entered(sent, loaded)
        self._of_set_ups.update(loaded.names)
        return loaded.function

    def leave(self) -> None:
        """The task is over: what it has left stays with its code, and the notebook's values go.

        Functions, classes and modules stay until others take their names: a generator, a thread or a cached object that
        outlives the task uses them still. Who does not name them does not see them.
        """
        if self._entered is None:
            return
        digest, names, before = self._left = self._entered
        self._entered = None
        namespace = self._namespace
        if len(namespace) == len(before) and all(map(is_, namespace.values(), before.values())):
            self._in_place = self._may_stay
        else:
            self._keep_names(digest, names, before)
            self._in_place = None
        if self._in_place is None:
            self._clear()
        loading.names_stay = True
        loading.own_names = ()
        if loading.brought or loading.settled:
            loading.brought.clear()
            loading.settled.clear()

    def _end_in_place(self) -> None:
        """Another function comes than the one that ran last: its values go, too."""
        if self._in_place is not None:
            self._in_place = None
            self._clear()

    def _keep_names(self, digest: bytes, names: Mapping[str, Any], before: Mapping[str, Any]) -> None:
        """What the task has bound that the notebook does not have stays, by the digest."""
        left = {
            name: value
            for name, value in self._namespace.items()
            if name not in names and name not in loading.brought and before.get(name, _NOTHING) is not value
        }
        if left and loading.names_stay:
            self._kept[digest] = {**self._kept.get(digest, {}), **left}
            self._kept.move_to_end(digest)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)

    def _note_entered(self, sent: wire.Define, loaded: _Loaded) -> None:
        self._entered = _Entered(sent.digest, loaded.names, dict(self._namespace))
        loading.own_names = loaded.names

    def _add(self, names: Mapping[str, Any]) -> None:
        for name, value in names.items():
            self._namespace.setdefault(name, value)

    def _take_away(self, names: Iterable[str]) -> None:
        for name in names:
            self._namespace.pop(name, None)

    def _is_as_new(self, known: _Loaded) -> bool:
        assert known.reach is not None  # noqa: S101 - the caller has looked
        self._namespace.update(known.names)
        return known.reach.holds()

    def _load(self, sent: wire.Define, captured: Callable[[int], Any], *, is_used_again: bool) -> _Loaded:
        for text in sent.texts:
            if text not in self._texts:
                self._texts.add(text)
                loading.note_source(self._parts[text])
        loader = loading.Loader(self._namespace, self._codes, captured)
        rows = [Row(cid, self._parts[skeleton]) for cid, skeleton in sent.classes]
        with loader:
            made = classes.make(rows) if rows else []
        names: dict[str, Any] = {}

        def take_names(more: dict[str, Any]) -> None:
            names.update(more)
            self._namespace.update(more)

        function = loading.load_graph(sent.head, loader, take_names, classes.is_from_elsewhere)
        reach = Reach(function) if is_used_again and sent.is_kept else None
        loading.bring_names(made)
        return _Loaded(function, names, [*made], reach)

    def _keep_loaded(self, key: bytes, loaded: _Loaded) -> None:
        self._loaded[key] = loaded
        self._loaded.move_to_end(key)
        if len(self._loaded) > _MOST_LOADED:
            self._loaded.popitem(last=False)  # never the one that runs: it is the last

    def _clear(self) -> None:
        namespace = self._namespace
        if len(namespace) == len(_OF_MODULE):
            return
        stay = _STAYING if len(namespace) < _MOST_NAMES else frozenset()
        for name in [name for name, value in namespace.items() if type(value) not in stay and name not in _OF_MODULE]:
            del namespace[name]
        self._add(self._of_set_ups)


def no_large_value(number: int) -> Any:
    """For functions that reach none."""
    msg = f"Large value {number} was named by a function that has none."
    raise LookupError(msg)


class _Codes(dict[bytes, CodeType]):
    """Code by digest, made when it is first needed."""

    def __init__(self, parts: dict[bytes, bytes]) -> None:
        super().__init__()
        self._parts = parts

    def __missing__(self, digest: bytes) -> CodeType:
        code: CodeType = marshal.loads(self._parts[digest])
        self[digest] = code
        return code

    def forget(self) -> None:
        for digest in self.keys() - self._parts.keys():
            del self[digest]
