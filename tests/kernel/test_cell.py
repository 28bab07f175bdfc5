"""How a `%%remote` cell is read, by rule of the semantics."""

from __future__ import annotations
import __future__

import ast
import sys
from textwrap import dedent

import pytest

from jray.kernel.cell import (
    CellMistake,
    DefinitionsCell,
    Reading,
    TaskCell,
    is_silenced,
    read_cell,
    read_expression,
)

needs_312 = pytest.mark.skipif(sys.version_info < (3, 12), reason="type parameters came with Python 3.12")


def task(source: str) -> TaskCell:
    cell = read_cell(dedent(source))
    assert isinstance(cell, TaskCell), f"read as a cell of definitions: {source}"
    return cell


def definitions(source: str) -> DefinitionsCell:
    cell = read_cell(dedent(source))
    assert isinstance(cell, DefinitionsCell), f"read as a task: {cell.task_reason}"
    return cell


def table(*rows: tuple):
    """Each row begins with the sentence that it stands for."""
    return [pytest.param(*values, id=sentence) for sentence, *values in rows]


# --- rule 1: two readings ---


@pytest.mark.parametrize(
    "source",
    table(
        ("a function", "def f(): pass"),
        ("an async function", "async def f(): pass"),
        ("a class", "class A: pass"),
        ("imports around a function", "import os\nfrom a.b import c\ndef f(): pass\nfrom d import *"),
        ("a docstring", '"""What it is for."""\ndef f(): pass'),
        ("literals", "K = {'a': [1, -2.5, (None, b'x')]}\nx = y = 3\na, (b, *c) = 1, (2, 3)\ndef f(): pass"),
        ("an annotated literal", "K: int = 3\ndef f(): pass"),
        ("an annotation alone", "K: int\ndef f(): pass"),
        ("a decorated function", "@cached(size=3)\ndef f(): pass"),
        ("comments and blank lines", "# why\n\ndef f(): pass\n\n# end"),
    ),
)
def test_a_cell_of_definitions_may_hold(source):
    assert definitions(source).reading is Reading.DEFINITIONS


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    table(
        ("a computed value", "def f(): pass\n\nm = fit(X)", 3, "line 3 (`m = fit(X)`) is computed"),
        ("a computed annotated value", "def f(): pass\nx: int = g()", 2, "line 2 (`x: int = g()`) is computed"),
        ("a lambda", "f = lambda: 1\ndef g(): pass", 1, "line 1 (`f = lambda: 1`) is computed"),
        ("an f-string", "def f(): pass\ns = f'{1}'", 2, "line 2 (`s = f'{1}'`) is computed"),
        ("an unhashable key", "def f(): pass\ns = {[]: 1}", 2, "line 2 (`s = {[]: 1}`) is computed"),
        ("a call", "def f(): pass\nprint(1)", 2, "line 2 (`print(1)`) is not a definition"),
        ("an augmented assignment", "K = 1\nK += 1\ndef f(): pass", 2, "line 2 (`K += 1`) is not a definition"),
        ("a stored item", "d['k'] = 1\ndef f(): pass", 1, "line 1 (`d['k'] = 1`) is not a definition"),
        ("a stored attribute", "a.b: int = 1\ndef f(): pass", 1, "line 1 (`a.b: int = 1`) is not a definition"),
        (
            "a branch around definitions",
            "if TYPE_CHECKING:\n    import x\ndef f(): pass",
            1,
            "line 1 (`if TYPE_CHECKING: …`) is not a definition",
        ),
        ("a string that is no docstring", "def f(): pass\n'x'", 2, "line 2 (`'x'`) is not a definition"),
        ("a deletion", "def f(): pass\ndel g", 2, "line 2 (`del g`) is not a definition"),
        ("nothing but literals", "\nx = 1\ny = 2", 2, "the cell defines no function or class"),
        ("nothing but imports", "import os", 1, "the cell defines no function or class"),
    ),
)
def test_a_cell_is_a_task_because_of(source, line, reason):
    cell = task(source)

    assert cell.reading is Reading.TASK
    assert cell.task_line == line
    assert cell.task_reason.startswith(f"{reason}, so ")
    assert cell.task_reason.endswith(" runs as one task")


def test_a_long_statement_is_cut_short_in_the_reason():
    reason = task(f"def f(): pass\nx = [{'number, ' * 30}]").task_reason

    assert reason.startswith("line 2 (`x = [number, number")
    assert "…`) is computed" in reason
    assert len(reason) < 120


def test_the_names_of_a_cell_of_definitions_are_told_apart():
    cell = definitions("def f(): pass\nasync def g(): pass\nclass A: pass\ndef h(): yield\nK = 1")

    assert (cell.functions, cell.async_functions, cell.classes) == (("f", "h"), ("g",), ("A",))


def test_the_last_definition_of_a_name_wins():
    cell = definitions("def f(): pass\ndef g(): pass\nclass f: pass\ndef h(): pass\nh = None\ndef g(): 2")

    assert (cell.functions, cell.classes) == (("g",), ("f",))


@pytest.mark.parametrize("source", table(("empty", ""), ("blank", "\n  \n"), ("only comments", "# one\n# two\n")))
def test_a_cell_without_a_statement_is_a_mistake(source):
    with pytest.raises(CellMistake, match="nothing to run") as mistake:
        read_cell(source)
    assert mistake.value.line is None


def test_a_syntax_error_is_that_of_python():
    with pytest.raises(SyntaxError) as error:
        read_cell("x = 1\ny = = 2")
    assert error.value.lineno == 2


# --- rule 3: what the kernel executes first ---


def test_imports_functions_and_classes_of_a_task_are_executed_in_the_kernel():
    cell = task("import os\nx = 1\nasync def f(): pass\nfrom m import *\nif x:\n    import sys\nclass A: pass")

    assert [stmt.lineno for stmt in cell.definitions.body] == [1, 3, 4, 7]
    assert [stmt.lineno for stmt in cell.body.body] == [2, 5]


MISTAKES = table(
    ("a default", "size = g()\n\ndef f(x, n=size): pass", 3, "the default `n=size` of `f` needs `size`"),
    ("a keyword default", "k = g()\ndef f(*, m, n=k): h()", 2, "the default `n=k` of `f` needs `k`"),
    ("a positional-only default", "k = g()\ndef f(a, b=k, /, c=2): h()", 2, "the default `b=k` of `f` needs `k`"),
    ("a decorator", "d = g()\n@d\ndef f(): pass", 2, "the decorator `@d` of `f` needs `d`"),
    ("a decorator's argument", "n = g()\n@d(n=n)\nclass A: pass", 2, "the decorator `@d(n=n)` of `A` needs `n`"),
    ("a base", "B = g()\nclass A(B): pass", 2, "the base `B` of `A` needs `B`"),
    ("a keyword", "M = g()\nclass A(metaclass=M): pass", 2, "the keyword `metaclass=M` of `A` needs `M`"),
    ("an annotation", "T = g()\ndef f(x: T): pass", 2, "an annotation of `f` needs `T`"),
    ("a class body", "n = g()\nclass A:\n    x = 1\n    y = n", 4, "the body of class `A` needs `n`"),
    ("a method's default", "n = g()\nclass A:\n    def f(s, n=n): pass", 3, "the body of class `A` needs `n`"),
    ("a class in a class", "n = g()\nclass A:\n    class B(n): 1", 3, "the body of class `A` needs `n`"),
    ("a comprehension in a class", "n = g()\nclass A:\n    x = [n for _ in y]", 3, "the body of class `A` needs"),
    ("a name that is bound later", "def f(n=k): pass\nk = g()", 1, "the default `n=k` of `f` needs `k`"),
    ("a name that a loop binds", "for i in g(): h(i)\ndef f(n=i): pass", 2, "the default `n=i` of `f` needs `i`"),
    ("a name imported in a branch", "if g:\n    import a\ndef f(n=a.b): pass", 3, "the default `n=a.b` of `f`"),
)


@pytest.mark.parametrize(("source", "line", "words"), MISTAKES)
def test_a_definition_cannot_need_a_name_that_only_the_task_binds(source, line, words):
    if words.startswith("an annotation") and sys.version_info >= (3, 14):
        pytest.skip("annotations are evaluated when somebody asks for them")
    with pytest.raises(CellMistake) as mistake:
        read_cell(source)

    assert mistake.value.line == line
    assert str(mistake.value).startswith(f"Line {line}: {words}")
    assert "Bind `" in str(mistake.value)


@pytest.mark.parametrize(
    "source",
    table(
        ("a name of an earlier cell", "y = g()\ndef f(n=size): return n"),
        ("a name that is read in the call only", "size = g()\ndef f(): return size"),
        ("a name that is read in a lambda only", "size = g()\nclass A:\n    f = lambda self: size"),
        ("a parameter", "n = g()\ndef f(n, m=lambda n: n): return n"),
        ("a name that another definition binds", "import np\nnp = np.x()\ndef f(n=np.pi): pass"),
        ("a name that its class binds before", "n = g()\nclass A:\n    n = 1\n    m = n"),
        ("a quoted annotation", "T = g()\ndef f(x: 'T') -> 'T': pass"),
        ("a postponed annotation", "from __future__ import annotations\nT = g()\ndef f(x: T): pass"),
        ("an annotation inside a function", "T = g()\ndef f():\n    x: T = 1"),
    ),
)
def test_a_definition_may_need(source):
    assert task(source).definitions.body


@needs_312
def test_type_parameters_are_names_of_their_definition():
    cell = task("T = g()\ndef f[T](x: T) -> T: pass\nclass A[T](B[T]):\n    x: T\ntype L[T] = list[T]")

    assert len(cell.definitions.body) == 3
    assert "T" not in cell.reads


def test_future_imports_hold_for_the_task_too():
    cell = task("from __future__ import annotations, generator_stop\nx: T = 1")

    assert cell.future_flags & __future__.annotations.compiler_flag
    assert "T" in cell.reads  # whoever evaluates the string will want it
    assert task("x = 1").future_flags == 0


# --- rule 7: the last expression ---


def test_a_visible_last_expression_is_shown_and_not_in_the_body():
    cell = task("x = 1\nx + 1  # the sum")

    assert cell.shown is not None
    assert (ast.unparse(cell.shown), cell.shown.body.lineno) == ("x + 1", 2)
    assert ast.unparse(cell.body) == "x = 1"


@pytest.mark.parametrize(
    "source",
    table(
        ("it is silenced", "x = 1\nx;"),
        ("it is silenced before a comment", "x = 1\nx; # not shown\n\n# end"),
        ("it is an assignment", "x = 1"),
        ("a definition follows", "x\ndef f(): pass"),
        ("it stands in a block", "if 1:\n    x"),
    ),
)
def test_nothing_is_shown_when(source):
    cell = task(source)

    assert cell.shown is None
    assert len(cell.body.body) + len(cell.definitions.body) == len(ast.parse(source).body)


def test_a_lone_string_is_shown():
    assert ast.unparse(task('"hello"').shown) == "'hello'"


@pytest.mark.parametrize(
    ("source", "expected"),
    table(
        ("with a semicolon", "x;", True),
        ("without", "x", False),
        ("with a semicolon in the middle", "x; y", False),
        ("with a semicolon in a comment", "x # ;", False),
        ("with a semicolon in a string", "';'", False),
        ("with a semicolon before comments", "f(a,\n  b);  # why\n# end\n", True),
        ("empty", "", False),
    ),
)
def test_a_cell_is_silenced_or_not(source, expected):
    assert is_silenced(source) is expected


# --- rule 9: all of Python is legal in a task ---


@pytest.mark.parametrize(
    "source",
    table(
        ("an await in a function", "async def f(): await g()\nx = f()"),
        ("a return, refused by the compiler later", "return x"),
        ("a break, refused by the compiler later", "break\ncontinue"),
        ("a top-level global", "global a\na = 1"),
        ("groups of exceptions", "try:\n    f()\nexcept* E as e:\n    a = 1"),
        ("a look whether there is a notebook", "try:\n    x = get_ipython()\nexcept NameError:\n    x = None"),
    ),
)
def test_a_task_is_read_with(source):
    assert task(source)


def test_lines_are_those_of_the_cell():
    cell = task("# %%remote\nimport os\n\nx = (1 +\n     y)\nx")

    assert [cell.definitions.body[0].lineno, cell.body.body[0].lineno, cell.shown.body.lineno] == [2, 4, 6]


@pytest.mark.parametrize(
    ("source", "line"),
    table(
        ("a magic", "x = 1\nget_ipython().run_line_magic('time', 'x')", 2),
        ("a command", "x = get_ipython().getoutput('ls')", 1),
        ("a magic in a function of a branch", "if c:\n    def f():\n        get_ipython().system('ls')", 3),
        ("an await", "x = 1\ny = [await f()\n     for _ in x]", 2),
        ("an async loop", "async for i in x: pass", 1),
        ("an async with", "async with x: pass", 1),
        ("an await that is shown", "x = 1\nawait x", 2),
    ),
)
def test_what_needs_the_notebook_is_refused_with_its_line(source, line):
    with pytest.raises(CellMistake, match="was refused") as refused:
        read_cell(source, typed=source)
    assert refused.value.line == line
    assert f"Line {line} (`{source.splitlines()[line - 1].strip()}`)" in str(refused.value)


def test_an_expression_is_read():
    read = read_expression("a + [b for b in c][0]")
    assert (read.reads, ast.unparse(read.tree)) == ({"a", "c"}, "a + [b for b in c][0]")


@pytest.mark.parametrize("source", ["x = 1", "import x", "del x", "x += 1", "x\ny"])
def test_a_statement_is_no_expression(source):
    with pytest.raises(CellMistake, match="It is a statement"):
        read_expression(source)


def test_what_is_no_python_is_a_syntax_error():
    with pytest.raises(SyntaxError):
        read_expression("1 +")
