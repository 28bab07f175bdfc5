"""What `read_cell` says, checked by running random cells: with all the kernel's names, with the captured.

A cell that captured too little would show something else, raise something else or leave something behind.
"""

from __future__ import annotations

import ast
import random
import reprlib

import pytest

from jray.kernel.cell import TaskCell, read_cell

NAMES = "abcd"
FUNCTIONS = "fgh"
SEEDS = range(10)
CELLS_PER_SEED = 60
MAX_STEPS = 12
MAX_DEPTH = 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_cell_does_the_same_with_only_what_it_captures(seed):
    for chances, (source, cell) in enumerate(random_cells(CellWriter(seed))):
        with_all = Run(cell, keep=[*NAMES, *FUNCTIONS], chances=chances)
        with_captured = Run(cell, keep=cell.reads, chances=chances)

        assert with_captured.trace == with_all.trace, source
        assert with_captured.error == with_all.error, source
        assert with_captured.rebound() == with_all.rebound(), source


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_cell_assigns_comes_out_and_nothing_else_can_be_picked(seed):
    for chances, (source, cell) in enumerate(random_cells(CellWriter(seed))):
        run = Run(cell, keep=[*NAMES, *FUNCTIONS], chances=chances)

        assert run.rebound().keys() <= cell.bindable, source
        if run.error is None:
            assert run.rebound().keys() & assigned_at_top_level(cell) <= set(cell.binds), source


@pytest.mark.parametrize("seed", SEEDS)
def test_straight_code_needs_all_that_it_captures(seed):
    for source, cell in random_cells(CellWriter(seed, only_straight=True)):
        captured = {*cell.reads} & {*NAMES}

        assert Run(cell, keep=captured).error is None, source
        for name in captured:
            assert Run(cell, keep=captured - {name}).error is NameError, f"{name} is not needed:\n{source}"


def random_cells(writer: CellWriter):
    for _ in range(CELLS_PER_SEED):
        source = writer.cell()
        try:
            compile(source, "<cell>", "exec")
        except SyntaxError:  # `global a` after a use of it, an `a` twice in one pattern
            continue
        yield source, read_cell(source)


def assigned_at_top_level(cell: TaskCell) -> set[str]:
    """Names that only assignment statements bind; blunter than the analysis, but simpler."""
    statements = [*cell.definitions.body, *cell.body.body]
    by_calls = {name for node in nodes_of(statements) if isinstance(node, ast.Global) for name in node.names}
    names, to_see = set(), list(cell.body.body)
    while to_see:
        node = to_see.pop()
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        to_see += ast.iter_child_nodes(node)
    return names - by_calls


def nodes_of(statements):
    return [node for statement in statements for node in ast.walk(statement)]


class OutOfSteps(BaseException):
    """No Exception, so that no cell catches it."""


class Suppressing:
    def __enter__(self):
        return 7

    def __exit__(self, kind, error, traceback):
        return kind is not None and issubclass(kind, Exception)


class Run:
    """One run of a cell in a namespace of its own; `chances` seeds what its conditions decide."""

    def __init__(self, cell: TaskCell, *, keep, chances: int = 0) -> None:
        self.trace = []
        self.error = None
        kernel = {name: f"kernel's {name}" for name in NAMES}
        kernel |= {name: lambda name=name: f"kernel's {name}()" for name in FUNCTIONS}
        self.names = kernel | self.helpers(random.Random(chances))
        exec(compile(cell.definitions, "<cell>", "exec"), self.names)
        self.before = dict(self.names)
        for name in {*NAMES, *FUNCTIONS} - {*keep}:
            del self.names[name]
        try:
            exec(compile(cell.body, "<cell>", "exec"), self.names)
            self.trace.append(describe(eval(compile(cell.shown, "<cell>", "eval"), self.names)))
        except (Exception, OutOfSteps) as error:  # noqa: BLE001 -- whatever a random cell raises
            self.error = type(error)

    def helpers(self, chance: random.Random) -> dict[str, object]:
        steps = iter(range(MAX_STEPS))

        def step():
            if next(steps, None) is None:
                raise OutOfSteps

        def perhaps_fail():
            if chance.random() < 0.4:
                raise ValueError

        return {
            "maybe": lambda: chance.random() < 0.5,
            "some": lambda: range(chance.choice([0, 0, 1, 2])),
            "show": lambda value: self.trace.append(describe(value)),
            "brief": describe,
            "suppress": Suppressing,
            "step": step,
            "perhaps_fail": perhaps_fail,
        }

    def rebound(self) -> dict[str, str]:
        return {
            name: describe(self.names[name])
            for name in NAMES
            if name in self.names and self.names[name] is not self.before.get(name, ...)
        }


def describe(value) -> str:
    """Cut short: values that hold each other grow with each turn of a loop."""
    return reprlib.repr(value).split(" at 0x")[0]


def indent(lines: list[str]) -> list[str]:
    return [f"    {line}" for line in lines]


class CellWriter:
    """Writes random cells over the names a to d, with functions f to h."""

    def __init__(self, seed: int, *, only_straight: bool = False) -> None:
        self.random = random.Random(seed)
        self.only_straight = only_straight

    def cell(self) -> str:
        lines = [line for _ in range(self.random.randint(2, 6)) for line in self.statement(0)]
        if not self.only_straight:
            lines[0:0] = self.definitions()
        return "\n".join([*lines, f"({', '.join(self.names())})"])

    def names(self) -> list[str]:
        return [self.random.choice(NAMES) for _ in range(3)]

    def definitions(self) -> list[str]:
        if self.random.random() < 0.4:
            return []
        f, g, h = self.random.sample(FUNCTIONS, 3)
        return [
            *[f"def {f}():", *indent(self.function_body())],
            *[f"def {g}():", f"    return {f}()"],
            *[f"class {h}:", f"    def __init__(self): show(({self.names()[0]}, {f}()))"],
        ]

    def function_body(self) -> list[str]:
        x, y, z = self.names()
        bodies = [
            [f"return {x}"],
            [f"global {x}", f"{x} = 5", f"show({y})"],
            [f"show({x})", f"{y} = 1", f"return (lambda {z}: ({y}, {z}))(2)"],
            [f"{x} = [{y} for _ in range(2)]", f"return {x}"],
            [f"class C: {x} = {y}", f"return C.{x}"],
            [f"def inner():\n        nonlocal {x}\n        {x} = {y}", f"{x} = 1", "inner()", f"return {x}"],
        ]
        return self.random.choice(bodies)

    def expression(self) -> str:
        x, y, z = self.names()
        simple = [
            "1",
            x,
            f"({x}, {y})",
            f"[{x}, [{y}]]",
            f"f'{{brief({x})}} {{brief({y})!r:>{{4}}}}'",
            f"[i for i in ({x}, {y})]",
        ]
        if self.only_straight:
            return self.random.choice(simple)
        tricky = [
            f"({x} := {y})",
            f"(maybe() and ({x} := {y}))",
            f"(({x} := 3) or {y})",
            f"({x} if maybe() else ({y} := 4))",
            f"[{x} for {x} in (1, 2) if maybe() and ({y} := {z}) is {y}]",
            f"[({y} := i) for i in some()]",
            f"[{x} for {x} in some() for {y} in ({x}, {z})]",
            f"{{{x}: {y} for {x} in (1, 2)}}",
            f"(lambda {x}={y}: ({x}, {z}))()",
            f"(lambda: [{x}, (lambda {y}: {y})(1)])()",
            f"list({x} for {y} in some())",
            f"(1 < (2 if maybe() else 0) < ({x} := 3))",
        ]
        return self.random.choice([*simple, *tricky, "f()", "g()", "h()"])

    def condition(self) -> str:
        x, y, _ = self.names()
        conditions = [f"maybe() and ({x} := {y})", f"maybe() or ({x} := 1)", f"not (maybe() and ({x} := 1))"]
        return self.random.choice(["maybe()", *conditions])

    def statement(self, depth: int, *, in_loop: bool = False) -> list[str]:
        x, y, z = self.names()
        simple = [
            [f"{x} = {self.expression()}"],
            [f"{x}: int = {self.expression()}"],
            [f"{x}, (*{y}, {z}) = 1, (2, 3)"],
            [f"show({self.expression()})"],
        ]
        if self.only_straight:
            return self.random.choice(simple)
        if depth < MAX_DEPTH and self.random.random() < 0.4:
            return self.compound(depth, in_loop=in_loop)
        others = [[f"{x} *= 1"], [f"del {x}"], [f"import os as {x}"], ["perhaps_fail()"], ["raise ValueError"]]
        jumps = [["break"], ["continue"], ["if maybe(): break"]] if in_loop else []
        return self.random.choice([*simple, *simple, *others, *jumps])

    def compound(self, depth: int, *, in_loop: bool) -> list[str]:
        x, y, z = self.names()
        items = self.random.choice(["some()", "[1, 2]", "range(2)"])
        error = self.random.choice(["Exception", "ValueError", f"Exception as {x}"])
        statements = [
            [f"if {self.condition()}:", "    BLOCK", "else:", "    BLOCK"],
            [f"if {self.condition()}:", "    BLOCK"],
            [f"for {x} in {items}:", "    step()", "    LOOPED", "else:", "    BLOCK"],
            [f"for _ in {items}:", "    step()", "    LOOPED"],
            [f"while {self.condition()}:", "    step()", "    LOOPED", "else:", "    BLOCK"],
            ["while True:", "    step()", "    LOOPED"],
            ["try:", "    BLOCK", f"except {error}:", "    BLOCK"],
            ["try:", "    BLOCK", f"except {error}:", "    BLOCK", "finally:", "    BLOCK"],
            ["try:", "    BLOCK", f"except {error}:", "    pass", "else:", "    BLOCK"],
            ["try:", "    BLOCK", "finally:", "    BLOCK"],
            [f"with suppress() as {x}:", "    BLOCK"],
            [f"match {self.expression()}:", f"    case [{x}, *{y}] if maybe():", "        BLOCK"],
            [f"match {y}:", "    case 1:", "        BLOCK", f"    case {z}:", "        BLOCK"],
            # Under `if`, where they are run by the task.
            ["if True:", *indent([f"def {x}():", *indent(self.function_body()), f"show({x}())"])],
            ["if True:", *indent(self.class_with_method())],
        ]
        chosen = self.random.choice(statements)
        return [part for line in chosen for part in self.filled_in(line, depth, in_loop=in_loop)]

    def filled_in(self, line: str, depth: int, *, in_loop: bool) -> list[str]:
        if not line.endswith(("BLOCK", "LOOPED")):
            return [line]
        in_loop = in_loop or line.endswith("LOOPED")
        count = self.random.randint(1, 3)
        block = [part for _ in range(count) for part in self.statement(depth + 1, in_loop=in_loop)]
        return [line.replace("BLOCK", part).replace("LOOPED", part) for part in block]

    def class_with_method(self) -> list[str]:
        x, y, z = self.names()
        body = [f"{x} = {y}", f"i = [{x} for _ in some()]", f"{z} = ({x}, {z})", f"m = lambda: {x}"]
        return ["class C:", *indent(body), "show((C.i, C.m()))"]
