"""What one scope (module, function or class) does with names, written down while somebody walks through it.

Pure: knows names and lines, no syntax tree. The walker in `names.py` says in the order of the run what is
read, bound and deleted. The scope decides whether a name was certainly bound by then, and answers for what
the scopes inside it do not bind themselves.

A name that was bound and then deleted may be called certain or not: reading it is a NameError either way,
whatever the kernel holds under that name. So what a loop deletes need not be known where its next turn begins,
nor in `except` what `try` deleted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum


class ScopeKind(Enum):
    """Names of a function are its own in whatever order; those of a class are not seen by what is nested."""

    MODULE = "module"
    FUNCTION = "function"
    CLASS = "class"


@dataclass(slots=True)
class Flow:
    """What is known about the names of a scope at one point of its run."""

    certain: set[str] = field(default_factory=set)  # bound on every way that leads here
    possible: set[str] = field(default_factory=set)  # bound by this scope on some way that leads here
    is_dead: bool = False  # no way leads here: nothing is read, and a join leaves it out

    def fork(self) -> Flow:
        return Flow(set(self.certain), set(self.possible), self.is_dead)


def join(*flows: Flow) -> Flow:
    """What is known where several ways meet."""
    alive = [flow for flow in flows if not flow.is_dead]
    if not alive:
        return Flow(is_dead=True)
    return Flow(
        set.intersection(*(flow.certain for flow in alive)),
        set.union(*(flow.possible for flow in alive)),
    )


class Scope:
    """The names of one scope, up to where the walk is now (`flow`)."""

    def __init__(self, kind: ScopeKind, *, read_through: Mapping[str, AbstractSet[str]] | None = None) -> None:
        """Begin a scope.

        Args:
            kind: Module, function or class.
            read_through: For functions and classes that exist already: what using them may read, in the end.
        """
        self.kind = kind
        self.flow = Flow()
        self.now: dict[str, int] = {}  # read by the scope itself -> line of the first read
        self.later: set[str] = set()  # read by functions in it, when somebody calls them
        self.needed: set[str] = set()  # of both: read where the scope itself can't have bound them yet
        self.bound: set[str] = set()  # in any way
        self.bound_by_calls: set[str] = set()  # in the module, by functions that say `global`
        self.assigned: dict[str, None] = {}  # by assignment or walrus; a set that keeps its order
        self.changed: dict[str, None] = {}  # not certainly bound here, and stored into; keeps its order
        self.imported: set[str] = set()
        self.declared_global: set[str] = set()
        self._read_as_global: set[str] = set()  # by functions in it that say `global`
        self._read_through = read_through or {}
        self._hidden: list[AbstractSet[str]] = []  # targets of the comprehensions that we are in, type parameters

    def read(self, name: str, line: int) -> None:
        """The scope itself reads `name` here."""
        # Comprehensions in a class do not see its names.
        can_see_own_names = self.kind is not ScopeKind.CLASS or not any(self._hidden)
        if can_see_own_names and name in self.flow.certain:
            return
        if self._is_hidden(name) or self.flow.is_dead:
            return
        self.now.setdefault(name, line)
        self._note_need(name)

    def read_later(self, name: str) -> None:
        """A function that is defined here reads `name`."""
        # Functions in a class do not see its names.
        if self.kind is not ScopeKind.CLASS and name in self.flow.certain:
            return
        if self._is_hidden(name) or self.flow.is_dead:
            return
        self.later.add(name)
        self._note_need(name)

    def _note_need(self, name: str) -> None:
        through = self._read_through.get(name, set()) - self.flow.certain
        self.later |= through
        self.needed |= {name, *through} - self.flow.possible

    def _read_global(self, name: str) -> None:
        if self.kind is ScopeKind.MODULE:
            self.read_later(name)
        else:
            self._read_as_global.add(name)

    def bind(self, name: str) -> None:
        if self._is_hidden(name):
            return
        self.bound.add(name)
        self.flow.certain.add(name)
        self.flow.possible.add(name)

    def unbind(self, name: str) -> None:
        self.flow.certain.discard(name)
        self.flow.possible.discard(name)

    def declare(self, name: str) -> None:
        """`del x` and `x: int` make a name of a function local without binding it."""
        if self.kind is ScopeKind.FUNCTION:
            self.bound.add(name)

    def note_change(self, name: str) -> None:
        """Something is stored into the object called `name`."""
        if not (name in self.flow.certain or self._is_hidden(name) or self.flow.is_dead):
            self.changed.setdefault(name)

    @contextmanager
    def hiding(self, names: AbstractSet[str]) -> Iterator[None]:
        """In the block, `names` are those of a comprehension or type parameters, not ours."""
        self._hidden.append(names)
        try:
            yield
        finally:
            self._hidden.pop()

    def _is_hidden(self, name: str) -> bool:
        return any(name in names for names in self._hidden)

    def take(self, inner: Scope) -> None:
        """Answer for what `inner`, a function or class that is defined here, does not bind itself."""
        if inner.kind is ScopeKind.CLASS:
            self._take_class_body(inner)
        else:
            self._take_function_body(inner)
        for name in inner._read_as_global:
            self._read_global(name)
        self.bound_by_calls |= inner.bound_by_calls | (inner.bound & inner.declared_global)

    def _take_function_body(self, inner: Scope) -> None:
        # `nonlocal` names count as local: a function around it binds them, never the module.
        local = inner.bound - inner.declared_global
        for name in (inner.now.keys() | inner.later) - local:
            if name in inner.declared_global:
                self._read_global(name)
            else:
                self.read_later(name)

    def _take_class_body(self, inner: Scope) -> None:
        for name, line in inner.now.items():  # it runs at once
            if name in inner.declared_global:
                self._read_global(name)
            else:
                self.read(name, line)
        for name in inner.later - {"__class__"}:  # methods find that one by themselves
            self.read_later(name)

    @property
    def reads(self) -> frozenset[str]:
        """All names that somebody may read before they are certainly bound here."""
        return frozenset(self.now.keys() | self.later)

    @property
    def assigned_at_end(self) -> tuple[str, ...]:
        """Assigned names that may be bound at the end, in order of first assignment."""
        # Who never gets to the end (`raise`) gives out what it would have: the names carry the error.
        at_end = self.bound if self.flow.is_dead else self.flow.possible
        return tuple(name for name in self.assigned if name in at_end)
