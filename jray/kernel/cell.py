"""What a `%%remote` cell is: a cell of definitions, or code that runs as one task; which names go in and out.

Pure: reads the cell's source, nothing else. It does not know which names the kernel holds, so the `reads` of
a task contain builtins and misspellings too; who captures them takes what there is. "Rule" means one of the
rules 1 to 9 in `ARCHITECTURE.md`.
"""

from __future__ import annotations
import __future__

import ast
import io
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar

from jray.kernel.names import names_of_block, names_of_definition
from jray.kernel.notebook_only import find_notebook_code
from jray.kernel.scopes import Scope

_EXCERPT_LENGTH = 60


class CellMistake(Exception):
    """Something in a cell that the user must change."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        """Say it in three sentences; `line` counts from 1 within the source that was read."""
        super().__init__(message)
        self.line = line


class Reading(Enum):
    """How a `%%remote` cell is read (rule 1)."""

    DEFINITIONS = "definitions"
    TASK = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionsCell:
    """A cell that runs in the kernel and makes its functions remote."""

    reading: ClassVar[Reading] = Reading.DEFINITIONS

    tree: ast.Module  # the whole cell
    functions: tuple[str, ...]  # names that are bound to a top-level `def` at the end, in source order
    async_functions: tuple[str, ...]  # the same for `async def`: they stay ordinary
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCell:
    """A cell that runs as one task. All line numbers are those of the source."""

    reading: ClassVar[Reading] = Reading.TASK

    definitions: ast.Module  # top-level imports, functions, classes: executed in the kernel first (rule 3)
    defined: frozenset[str]  # the names that they bind
    body: ast.Module  # the rest: runs in the task
    shown: ast.Expression | None  # the last statement, if it is a visible expression; not in `body` then
    reads: tuple[str, ...]  # sorted: what the task may read before it is certainly bound there (rule 4)
    perhaps: frozenset[str]  # of `reads`: only read where the task has perhaps bound them itself
    binds: tuple[str, ...]  # what comes out if nobody picks (rule 5), in order of first binding
    bindable: frozenset[str]  # every top-level name that the run may bind in any way: what can be picked
    changed: tuple[str, ...]  # captured names whose objects the cell changes (rule 6), in order of first change
    future_flags: int  # what `from __future__` imports of the cell mean for compiling `body` and `shown`
    task_line: int  # the first statement that is not one of a cell of definitions; the first of all if only those
    task_reason: str  # why the cell is a task, for "Functions of the cell are not remote: {task_reason}."


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteExpression:
    """An expression that runs as a task."""

    tree: ast.Expression
    reads: frozenset[str]


def read_cell(source: str, *, typed: str | None = None) -> DefinitionsCell | TaskCell:
    """Read the Python source of a cell, magics already transformed.

    Args:
        source: Of the cell.
        typed: The same as the user typed it, line by line: for messages.

    Raises:
        SyntaxError: As `ast.parse` does. What only the compiler finds (a `return` outside a function)
            is not found here.
        CellMistake: There is nothing to run, a definition needs a name which only the task binds, or the
            task needs the notebook.
    """
    tree = ast.parse(source)
    if not tree.body:
        raise CellMistake(
            "The %%remote cell has nothing to run. "
            "Apart from comments and blank lines it is empty. "
            "Write the statements that are to run remotely below the %%remote line."
        )
    computing = [stmt for stmt in tree.body if not _is_allowed_among_definitions(stmt, is_first=stmt is tree.body[0])]
    if not computing and any(isinstance(stmt, _FunctionOrClass) for stmt in tree.body):
        return _definitions_cell(tree)
    cell = _task_cell(source, tree, computing)
    _refuse_notebook_code([cell.body, *([cell.shown] if cell.shown is not None else [])], typed or source)
    return cell


def read_expression(source: str, *, typed: str | None = None) -> RemoteExpression:
    """Read what stands behind `%remote`.

    Raises:
        SyntaxError: It is no Python.
        CellMistake: It is a statement, or needs the notebook.
    """
    try:
        tree = ast.parse(source, mode="eval")
    except SyntaxError:
        ast.parse(source)
        raise CellMistake(
            f"%remote {typed or source} was refused. It is a statement, and %remote runs one expression. "
            "Write `name = %remote EXPR`, or put the statement below a %%remote line."
        ) from None
    _refuse_notebook_code([tree], typed or source)
    scope = names_of_block([], tree.body, read_through={}, has_string_annotations=False)
    return RemoteExpression(tree=tree, reads=scope.reads)


def _refuse_notebook_code(nodes: Sequence[ast.AST], typed: str) -> None:
    found = find_notebook_code(nodes)
    if found is None:
        return
    lines = typed.splitlines()
    excerpt = f" (`{lines[found.line - 1].strip()}`)" if found.line <= len(lines) else ""
    raise CellMistake(f"Line {found.line}{excerpt} was refused. {found.reason} {found.remedy}", line=found.line)


def is_silenced(source: str) -> bool:
    """Whether the last token of the cell is a `;`. As in IPython, comments and blank lines don't count."""
    ignored = {tokenize.ENDMARKER, tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT}
    tokens = [token for token in tokenize.generate_tokens(io.StringIO(source).readline) if token.type not in ignored]
    return bool(tokens) and tokens[-1].type == tokenize.OP and tokens[-1].string == ";"


# --- rule 1: two readings ---

_FunctionOrClass = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def _is_definition(stmt: ast.stmt) -> bool:
    """Whether a task cell executes the statement in the kernel, before the task runs."""
    is_type_alias = type(stmt).__name__ == "TypeAlias"  # `type X = ...`, from Python 3.12 on
    return isinstance(stmt, _FunctionOrClass | ast.Import | ast.ImportFrom) or is_type_alias


def _is_allowed_among_definitions(stmt: ast.stmt, *, is_first: bool) -> bool:
    match stmt:
        case ast.Expr(value=ast.Constant(value=str())):
            return is_first
        case ast.Assign(targets=targets, value=value):
            return all(_is_plain(target) for target in targets) and _is_literal(value)
        case ast.AnnAssign(target=target, value=value):
            return _is_plain(target) and (value is None or _is_literal(value))
    return _is_definition(stmt)


def _is_plain(target: ast.expr) -> bool:
    """Names only: `df["z"] = 1` or `model.n = 1` change an object, which is work and no definition."""
    match target:
        case ast.Tuple(elts=elements) | ast.List(elts=elements):
            return all(_is_plain(element) for element in elements)
        case ast.Starred(value=value):
            return _is_plain(value)
    return isinstance(target, ast.Name)


def _is_literal(value: ast.expr) -> bool:
    try:
        ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return False
    return True


def _definitions_cell(tree: ast.Module) -> DefinitionsCell:
    last: dict[str, ast.stmt] = {}  # what each name is bound to at the end
    for stmt in tree.body:
        for name in names_of_definition(stmt, has_string_annotations=True).bound:
            last.pop(name, None)
            last[name] = stmt
    return DefinitionsCell(
        tree=tree,
        functions=tuple(name for name, stmt in last.items() if isinstance(stmt, ast.FunctionDef)),
        async_functions=tuple(name for name, stmt in last.items() if isinstance(stmt, ast.AsyncFunctionDef)),
        classes=tuple(name for name, stmt in last.items() if isinstance(stmt, ast.ClassDef)),
    )


def _why_task(source: str, computing: Sequence[ast.stmt]) -> str:
    if not computing:
        return "the cell defines no function or class, so it runs as one task"
    stmt = computing[0]
    lines = (ast.get_source_segment(source, stmt) or "").splitlines()
    excerpt = lines[0] if len(lines) == 1 else f"{lines[0]} …"
    if len(excerpt) > _EXCERPT_LENGTH:
        excerpt = f"{excerpt[: _EXCERPT_LENGTH - 1].rstrip(' …')}…"
    match stmt:
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value) if not _is_literal(value):
            what = "is computed"
        case _:
            what = "is not a definition"
    return f"line {stmt.lineno} (`{excerpt}`) {what}, so the cell runs as one task"


# --- rules 3 to 7: what a task is ---


def _task_cell(source: str, tree: ast.Module, computing: Sequence[ast.stmt]) -> TaskCell:
    definitions = [stmt for stmt in tree.body if _is_definition(stmt)]
    body = [stmt for stmt in tree.body if not _is_definition(stmt)]
    shown = None
    match tree.body[-1]:
        case ast.Expr(value=value) if not is_silenced(source):
            body, shown = body[:-1], value

    flags = _future_flags(definitions)
    has_string_annotations = bool(flags & __future__.annotations.compiler_flag)
    defined = [names_of_definition(stmt, has_string_annotations=has_string_annotations) for stmt in definitions]
    task = names_of_block(
        body, shown, read_through=_read_through(defined), has_string_annotations=has_string_annotations
    )
    only_in_task = frozenset(task.bound) - _union(scope.bound for scope in defined)
    for stmt in definitions:
        _check_definition(source, stmt, only_in_task, has_string_annotations=has_string_annotations)

    imported = task.imported | _union(scope.imported for scope in defined)
    return TaskCell(
        definitions=ast.Module(body=definitions, type_ignores=[]),
        defined=_union(scope.bound for scope in defined),
        body=ast.Module(body=body, type_ignores=[]),
        shown=None if shown is None else ast.Expression(body=shown),
        # A function of the cell that the cell itself does not use may still be called by one that it uses.
        reads=tuple(sorted(task.reads | (_union(scope.later for scope in defined) - task.bound))),
        perhaps=task.reads - task.needed,
        binds=tuple(name for name in task.assigned_at_end if not name.startswith("_")),
        bindable=_union(scope.bound | scope.bound_by_calls for scope in (task, *defined)),
        changed=tuple(name for name in task.changed if name not in imported),
        future_flags=flags,
        task_line=(computing or tree.body)[0].lineno,
        task_reason=_why_task(source, computing),
    )


def _union(sets: Iterator[set[str]]) -> frozenset[str]:
    return frozenset().union(*sets)


def _future_flags(definitions: Sequence[ast.stmt]) -> int:
    flags = 0
    for stmt in definitions:
        if isinstance(stmt, ast.ImportFrom) and stmt.module == "__future__":
            for alias in stmt.names:
                feature = getattr(__future__, alias.name, None)  # if there is none, the compiler will say so
                flags |= getattr(feature, "compiler_flag", 0)
    return flags


def _read_through(defined: Sequence[Scope]) -> Mapping[str, frozenset[str]]:
    """For each name that the cell defines: what using it may read, through its other definitions too."""
    direct: dict[str, set[str]] = {}
    for scope in defined:
        for name in scope.bound:
            direct.setdefault(name, set()).update(scope.later)
    reached = {}
    for name in direct:
        seen, to_see = set[str](), {name}
        while to_see:
            found = direct.get(to_see.pop(), set()) - seen
            seen |= found
            to_see |= found
        reached[name] = frozenset(seen)
    return reached


# --- rule 3: definitions run in the kernel, before the task has bound anything ---


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A piece of a definition that is evaluated when the definition is executed."""

    words: str
    node: ast.AST
    remedy: str


def _check_definition(
    source: str, stmt: ast.stmt, only_in_task: frozenset[str], *, has_string_annotations: bool
) -> None:
    def needed(node: ast.AST) -> dict[str, int]:
        return names_of_definition(node, has_string_annotations=has_string_annotations).now

    missing = only_in_task & needed(stmt).keys()  # a part by itself seems to need the type parameters, too
    for part in _parts(source, stmt) if missing else ():
        for name, line in sorted(needed(part.node).items(), key=lambda need: need[1]):
            if name in missing:
                raise CellMistake(
                    f"Line {line}: {part.words} needs `{name}`, which only the task binds. "
                    "Functions and classes of a task cell are defined in the kernel before the task runs. "
                    f"Bind `{name}` in an earlier cell{part.remedy}.",
                    line=line,
                )


def _parts(source: str, stmt: ast.stmt) -> Iterator[_Part]:
    """What a definition evaluates at once; last the whole of it, for what is left then."""
    if not isinstance(stmt, _FunctionOrClass):
        return
    of = f"of `{stmt.name}`"
    for node in stmt.decorator_list:
        yield _Part(words=f"the decorator `@{_text(source, node)}` {of}", node=node, remedy="")
    if isinstance(stmt, ast.ClassDef):
        for node in stmt.bases:
            yield _Part(words=f"the base `{_text(source, node)}` {of}", node=node, remedy="")
        for keyword in stmt.keywords:
            yield _Part(words=f"the keyword `{_text(source, keyword)}` {of}", node=keyword, remedy="")
        remedy = ", or move the assignment into the class"
        yield _Part(words=f"the body of class `{stmt.name}`", node=stmt, remedy=remedy)
        return
    remedy = ", or move the assignment into the function"
    for argument, node in _defaults(stmt.args):
        words = f"the default `{argument.arg}={_text(source, node)}` {of}"
        yield _Part(words=words, node=node, remedy=remedy)
    yield _Part(words=f"an annotation {of}", node=stmt, remedy=" or quote the annotation")


def _defaults(arguments: ast.arguments) -> Iterator[tuple[ast.arg, ast.expr]]:
    positional = [*arguments.posonlyargs, *arguments.args]
    yield from zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if default is not None:
            yield argument, default


def _text(source: str, node: ast.expr | ast.keyword) -> str:
    return " ".join((ast.get_source_segment(source, node) or "").split())
