"""The core decides and never acts: it can't, because nothing it imports can act."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = ROOT / "jray" / "runtime" / "core"
CORE_MODULES = sorted(CORE.rglob("*.py"))

# No clock, no random, no process, no thread, no file. Whoever adds one says why it belongs here.
ALLOWED_STDLIB = {"__future__", "bisect", "collections", "dataclasses", "enum", "heapq", "itertools", "typing"}
ALLOWED_JRAY = ("jray.runtime.core", "jray.runtime.ids")
# Builtins that read, write or run something that is not in the arguments.
ACTING_BUILTINS = {"__import__", "breakpoint", "compile", "eval", "exec", "input", "open", "print"}


@pytest.mark.parametrize("path", CORE_MODULES, ids=lambda path: path.stem)
def test_core_imports_only_itself_ids_and_a_short_list(path):
    foreign = {name for name in imported_modules(path) if not is_allowed(name)}

    assert foreign == set()


@pytest.mark.parametrize("path", CORE_MODULES, ids=lambda path: path.stem)
def test_core_calls_no_builtin_that_acts(path):
    names = {node.id for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Name)}

    assert names & ACTING_BUILTINS == set()


def is_allowed(name: str) -> bool:
    is_ours = any(name == ours or name.startswith(f"{ours}.") for ours in ALLOWED_JRAY)
    return is_ours or name.partition(".")[0] in ALLOWED_STDLIB


def imported_modules(path: Path) -> set[str]:
    """Full names of what a file imports anywhere in it, relative imports resolved."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute_module(path, node)
            # `from jray.runtime import ids` names jray.runtime.ids; `from enum import Enum` names enum.
            is_package = (ROOT / Path(*module.split("."))).is_dir()
            found.update(f"{module}.{alias.name}" if is_package else module for alias in node.names)
    return found


def absolute_module(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parent.parts
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
