"""Rooms stay small: a file of more than 400 lines, or a function of more than 40, is two of them."""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODULES = sorted((ROOT / "jray").rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 40


def test_no_file_is_longer_than_400_lines():
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in MODULES}

    assert lengths, "jray/ holds no module: the test looks in the wrong place"
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_40_lines():
    lengths = {
        f"{path.relative_to(ROOT)}:{function.lineno} {function.name}": length
        for path in MODULES
        for function, length in functions_with_lengths(path.read_text())
    }

    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def test_docstring_comments_and_blank_lines_are_not_counted():
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    # why\n\n    a = 1\n    return a\n'

    assert [length for _, length in functions_with_lengths(source)] == [2]


def functions_with_lengths(source: str):
    """Each function with the lines of its body: no docstring, no blank lines, no lines of comment."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None else node.body
        first = body[0].lineno if body else node.end_lineno + 1
        counted = (line.strip() for line in lines[first - 1 : node.end_lineno])
        yield node, sum(1 for line in counted if line and not line.startswith("#"))
