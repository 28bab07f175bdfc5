"""Follows the ways that a run can take through code: branches, loops, jumps, what may be left in the middle.

Pure. The walker keeps `scope.flow` right, so that whoever visits a name knows whether it is certainly bound
there. What else happens to names (assignments, nested scopes) is in `names.py`, which builds on this.

Where the way is unknown (does this loop run, does this call raise) the walk takes all of them.
"""
# ruff: noqa: N815 -- ast.NodeVisitor calls its methods by the names of the nodes.

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from jray.kernel.scopes import Flow, Scope, join

# The body of a `with` is taken to run to its end. Else names bound under `with open(...)` would be captured
# too, and a cell would wait for what its own last run made. These managers swallow exceptions by trade.
_SUPPRESSORS = frozenset({"suppress", "raises", "assertRaises", "ExitStack", "AsyncExitStack"})


def stored_names(target: ast.expr) -> Iterator[str]:
    """The plain names that a store to `target` binds, from left to right."""
    match target:
        case ast.Name():
            yield target.id
        case ast.Tuple() | ast.List():
            for element in target.elts:
                yield from stored_names(element)
        case ast.Starred():
            yield from stored_names(target.value)


@dataclass(slots=True)
class _Loop:
    """Where the ways out of a loop's body lead on, with what was known there."""

    breaks: list[Flow] = field(default_factory=list)
    continues: list[Flow] = field(default_factory=list)


class RunOrderVisitor(ast.NodeVisitor):
    """Visits the code of one scope in the order in which it runs."""

    def __init__(self, scope: Scope) -> None:
        """Begin at the top of `scope`."""
        self.scope = scope
        self._loops: list[_Loop] = []
        self._watched: list[set[str]] = []  # for each `try` that we are in: what may be bound when something is raised

    def through(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            if not isinstance(statement, ast.Delete):  # what was just bound can be deleted without an error
                self._note_raise()
            self.visit(statement)

    def store(self, target: ast.expr) -> None:
        match target:
            case ast.Name():
                self.scope.bind(target.id)
            case ast.Tuple() | ast.List():
                for element in target.elts:
                    self.store(element)
            case ast.Starred():
                self.store(target.value)
            case _:
                self.change(target)
                self.generic_visit(target)

    def change(self, place: ast.expr) -> None:
        """`place` is `x.a`, `x[i]` or a chain of them, and `x` is about to be changed there."""
        while isinstance(place, ast.Attribute | ast.Subscript):
            place = place.value
        if isinstance(place, ast.Name):
            self.scope.note_change(place.id)

    # --- where ways part and meet ---

    def condition(self, test: ast.expr) -> tuple[Flow, Flow]:
        """Visit `test`; return what is known where it holds and where it does not."""
        match test:
            case ast.UnaryOp(op=ast.Not()):
                holds, fails = self.condition(test.operand)
                return fails, holds
            case ast.BoolOp():
                return self._short_circuit(test)
            case ast.Constant():
                here, nowhere = self.scope.flow, Flow(is_dead=True)
                return (here, nowhere) if test.value else (nowhere, here)
            case _:
                self.visit(test)
                return self.scope.flow, self.scope.flow.fork()

    def _short_circuit(self, test: ast.BoolOp) -> tuple[Flow, Flow]:
        decided = []
        for operand in test.values:
            holds, fails = self.condition(operand)
            goes_on, is_decided = (holds, fails) if isinstance(test.op, ast.And) else (fails, holds)
            decided.append(is_decided)
            self.scope.flow = goes_on
        undecided = self.scope.flow
        return (undecided, join(*decided)) if isinstance(test.op, ast.And) else (join(*decided), undecided)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.scope.flow = join(*self.condition(node))

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._either(node.test, [node.body], [node.orelse])

    def visit_If(self, node: ast.If) -> None:
        self._either(node.test, node.body, node.orelse)

    def _either(self, test: ast.expr, body: Sequence[ast.AST], orelse: Sequence[ast.AST]) -> None:
        self.scope.flow, fails = self.condition(test)
        self.visit_all(body)
        after_body, self.scope.flow = self.scope.flow, fails
        self.visit_all(orelse)
        self.scope.flow = join(after_body, self.scope.flow)

    def visit_perhaps(self, nodes: Sequence[ast.AST]) -> None:
        """Visit what runs or doesn't: what it binds is possible, not certain."""
        before = self.scope.flow.fork()
        self.visit_all(nodes)
        self.scope.flow = join(before, self.scope.flow)

    def visit_all(self, nodes: Sequence[ast.AST]) -> None:
        for node in nodes:
            if isinstance(node, ast.stmt):
                self.through([node])
            else:
                self.visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        self.visit_all([node.left, node.comparators[0]])
        self.visit_perhaps(node.comparators[1:])  # a < b < c does not look at c unless a < b

    def visit_Assert(self, node: ast.Assert) -> None:
        before = self.scope.flow.fork()  # with -O nothing happens
        holds, self.scope.flow = self.condition(node.test)
        if node.msg is not None:
            self.visit(node.msg)
        self.scope.flow = join(before, holds)

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        ends = []
        for case in node.cases:
            unmatched = self.scope.flow.fork()
            self.visit(case.pattern)
            if case.guard is not None:
                self.scope.flow, _ = self.condition(case.guard)
            unmatched.possible |= self.scope.flow.possible  # a pattern that fails may have bound some of its names
            if case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None:
                unmatched.is_dead = True  # `case _` and `case x` take everything
            self.through(case.body)
            ends.append(self.scope.flow)
            self.scope.flow = unmatched
        self.scope.flow = join(*ends, self.scope.flow)

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.generic_visit(node)
        if node.name is not None:
            self.scope.bind(node.name)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest is not None:
            self.scope.bind(node.rest)

    # --- loops and jumps ---

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        before = self.scope.flow.fork()
        self.store(node.target)
        loop, after_body = self._loop_body(node.body)
        if _surely_runs(node.iter):
            self.scope.flow = after_body
        else:
            self.scope.flow = before
            self.scope.flow.possible |= after_body.possible
        self.through(node.orelse)
        self.scope.flow = join(self.scope.flow, *loop.breaks)

    visit_AsyncFor = visit_For

    def visit_While(self, node: ast.While) -> None:
        self.scope.flow, exhausted = self.condition(node.test)
        loop, after_body = self._loop_body(node.body)
        exhausted.possible |= after_body.possible
        self.scope.flow = exhausted
        self.through(node.orelse)
        self.scope.flow = join(self.scope.flow, *loop.breaks)

    def _loop_body(self, body: Sequence[ast.stmt]) -> tuple[_Loop, Flow]:
        """Visit the turns of a loop; return the ways out of its body, and what is known after it."""
        later = self.scope.flow.fork()
        loop, after = self._one_turn(body)
        if not after.possible <= later.possible:
            # A later turn begins with what an earlier one has bound. It can't have less that is certain.
            later.possible |= after.possible
            self.scope.flow = later
            loop, after = self._one_turn(body)
        return loop, after

    def _one_turn(self, body: Sequence[ast.stmt]) -> tuple[_Loop, Flow]:
        loop = _Loop()
        self._loops.append(loop)
        self.through(body)
        self._loops.pop()
        self.scope.flow = join(self.scope.flow, *loop.continues)
        return loop, self.scope.flow

    def visit_Break(self, node: ast.Break) -> None:
        if self._loops:
            self._loops[-1].breaks.append(self.scope.flow.fork())
        self.scope.flow.is_dead = True

    def visit_Continue(self, node: ast.Continue) -> None:
        if self._loops:
            self._loops[-1].continues.append(self.scope.flow.fork())
        self.scope.flow.is_dead = True

    def visit_Raise(self, node: ast.Raise | ast.Return) -> None:
        self.generic_visit(node)
        self.scope.flow.is_dead = True

    visit_Return = visit_Raise

    # --- what may be left in the middle ---

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        for manager in node.items:
            self.visit(manager.context_expr)
            if manager.optional_vars is not None:
                self.store(manager.optional_vars)
        before = self.scope.flow.fork()
        with self._watching(before.possible):
            self.through(node.body)
            self._note_raise()
        # Code after a body that only raises is there for a reason: the manager will swallow it.
        if self.scope.flow.is_dead or any(_may_suppress(manager) for manager in node.items):
            self.scope.flow = join(before, self.scope.flow)

    visit_AsyncWith = visit_With

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        before = self.scope.flow.fork()
        leaving = set(before.possible)
        with self._watching(leaving):
            self._try_without_finally(node, before)
        if node.finalbody:
            self._finally(node.finalbody, Flow(before.certain, leaving, before.is_dead))

    def visit_TryStar(self, node: ast.TryStar) -> None:
        self.visit_Try(node)

    def _try_without_finally(self, node: ast.Try | ast.TryStar, before: Flow) -> None:
        raised = set(before.possible)
        with self._watching(raised):
            self.through(node.body)
        after_body = self.scope.flow
        ends = []
        for handler in node.handlers:
            self.scope.flow = Flow(set(before.certain), set(raised), before.is_dead)
            self._handle(handler)
            ends.append(self.scope.flow)
        self.scope.flow = after_body
        self.through(node.orelse)
        self.scope.flow = join(self.scope.flow, *ends)

    def _handle(self, handler: ast.ExceptHandler) -> None:
        if handler.type is not None:
            self.visit(handler.type)
        if handler.name is not None:
            self.scope.bind(handler.name)
        self.through(handler.body)
        if handler.name is not None:
            self.scope.unbind(handler.name)

    def _finally(self, body: Sequence[ast.stmt], left_anywhere: Flow) -> None:
        after = self.scope.flow
        self.scope.flow = left_anywhere
        self.through(body)
        for loop in self._loops[-1:]:  # `break` and `continue` in the block pass through here
            for jump in (*loop.breaks, *loop.continues):
                jump.possible |= self.scope.flow.possible
        # Once more, knowing that the block came to its end.
        self.scope.flow = after
        self.through(body)

    @contextmanager
    def _watching(self, possible: set[str]) -> Iterator[None]:
        """Collect in `possible` what may be bound where something is raised in the block."""
        self._watched.append(possible)
        try:
            yield
        finally:
            self._watched.pop()

    def _note_raise(self) -> None:
        if not self.scope.flow.is_dead:
            for possible in self._watched:
                possible.update(self.scope.flow.possible)


def _surely_runs(iterable: ast.expr) -> bool:
    """Whether a loop over it runs at least once: `[a, b]`, `range(10)`."""
    match iterable:
        case ast.List(elts=elements) | ast.Tuple(elts=elements) | ast.Set(elts=elements):
            return any(not isinstance(element, ast.Starred) for element in elements)
        case ast.Call(func=ast.Name(id="range"), args=[ast.Constant(value=int(stop))]):
            return stop > 0
    return False


def _may_suppress(manager: ast.withitem) -> bool:
    match manager.context_expr:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name in _SUPPRESSORS
    return False
