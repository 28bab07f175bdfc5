"""Which names a block of module code reads before they are certainly bound, binds and changes.

Pure: looks at syntax trees only, runs nothing, knows nothing of IPython or of what the kernel's names hold.

The code is walked in the order in which it would run (`ways.py`); what is found is written down in a `Scope`.
A name that may be read counts as read: a capture too many costs little, one too few is a NameError.
"""
# ruff: noqa: N802, N815 -- ast.NodeVisitor calls its methods by the names of the nodes.

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence, Set as AbstractSet
from typing import Any

from jray.kernel.scopes import Scope, ScopeKind
from jray.kernel.ways import RunOrderVisitor, stored_names

# A visible last expression is there to be looked at (`df.head()`): it changes something only by one of these.
_CHANGING_METHODS = frozenset(
    {
        "add",
        "append",
        "clear",
        "discard",
        "extend",
        "fit",
        "insert",
        "partial_fit",
        "pop",
        "popitem",
        "remove",
    }
    | {"reverse", "setdefault", "sort", "update"}
)


def names_of_block(
    body: Sequence[ast.stmt],
    shown: ast.expr | None,
    *,
    read_through: Mapping[str, AbstractSet[str]],
    has_string_annotations: bool,
) -> Scope:
    """Say what `body`, followed by the visible expression `shown`, does with the names of its module.

    `read_through` tells for functions and classes that exist before what calling them may read.
    """
    scope = Scope(ScopeKind.MODULE, read_through=read_through)
    walk = _Walk(scope, has_string_annotations=has_string_annotations)
    walk.through(body)
    if shown is not None:
        match shown:
            case ast.Call(func=ast.Attribute(attr=method)) if method in _CHANGING_METHODS or _is_in_place(shown):
                walk.visit(ast.Expr(shown))
            case _:
                walk.visit(shown)
    return scope


def _is_in_place(call: ast.Call) -> bool:
    """`table.drop(columns=["a"], inplace=True)`."""
    return any(
        keyword.arg == "inplace" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
        for keyword in call.keywords
    )


def names_of_definition(node: ast.AST, *, has_string_annotations: bool) -> Scope:
    """Say what a definition, or a part of one, reads when executed (`now`) and when used (`later`)."""
    scope = Scope(ScopeKind.MODULE)
    _Walk(scope, has_string_annotations=has_string_annotations).visit(node)
    return scope


class _Walk(RunOrderVisitor):
    """Visits one scope. A nested function or class is walked, in a scope of its own, where it is defined."""

    def __init__(self, scope: Scope, *, has_string_annotations: bool) -> None:
        """Begin at the top of `scope`."""
        super().__init__(scope)
        self._has_string_annotations = has_string_annotations

    # --- what binds, deletes, changes ---

    def visit_Name(self, node: ast.Name) -> None:
        self.scope.read(node.id, node.lineno)

    def _assign(self, target: ast.expr) -> None:
        self.store(target)
        self.scope.assigned.update(dict.fromkeys(stored_names(target)))

    def _delete(self, target: ast.expr) -> None:
        match target:
            case ast.Name():
                self.visit(target)  # to delete it, it must be there
                self.scope.declare(target.id)
                self.scope.unbind(target.id)
            case ast.Tuple() | ast.List():
                for element in target.elts:
                    self._delete(element)
            case _:
                self.change(target)
                self.generic_visit(target)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self._assign(target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self._assign(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.visit(node.target)
        self.visit(node.value)
        self._assign(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)
            self._assign(node.target)
        elif isinstance(node.target, ast.Name):
            self.scope.declare(node.target.id)
        else:
            self.generic_visit(node.target)
        if self.scope.kind is not ScopeKind.FUNCTION:
            self._visit_annotation(node.annotation)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self._delete(target)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                name = alias.asname or alias.name.partition(".")[0]
                self.scope.imported.add(name)
                self.scope.bind(name)

    visit_ImportFrom = visit_Import

    def visit_Expr(self, node: ast.Expr) -> None:
        match node.value:
            case ast.Call(func=ast.Attribute() as method):
                self.change(method)
        self.visit(node.value)

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.declared_global.update(node.names)

    # --- scopes in scopes ---

    def _inner(self, kind: ScopeKind) -> _Walk:
        return _Walk(Scope(kind), has_string_annotations=self._has_string_annotations)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.visit_all(node.decorator_list)
        parameters = self._type_parameters(node)
        self.visit_all(_defaults(node.args))
        with self.scope.hiding(parameters):
            for annotation in (*(argument.annotation for argument in _arguments(node.args)), node.returns):
                if annotation is not None:
                    self._visit_annotation(annotation)
            self._function_body(node.args, node.body)
        self.scope.bind(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.visit_all(_defaults(node.args))
        self._function_body(node.args, [node.body])

    def _function_body(self, arguments: ast.arguments, body: Sequence[ast.AST]) -> None:
        inner = self._inner(ScopeKind.FUNCTION)
        for argument in _arguments(arguments):
            inner.scope.bind(argument.arg)
        inner.visit_all(body)
        self.scope.take(inner.scope)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.visit_all(node.decorator_list)
        with self.scope.hiding(self._type_parameters(node)):
            self.visit_all([*node.bases, *node.keywords])
            inner = self._inner(ScopeKind.CLASS)
            inner.scope.flow.certain |= {"__module__", "__qualname__"}
            inner.through(node.body)
            self.scope.take(inner.scope)
        self.scope.bind(node.name)

    def visit_TypeAlias(self, node: Any) -> None:
        with self.scope.hiding(self._type_parameters(node)):
            self._evaluated_later([node.value])
        self.scope.bind(node.name.id)

    def _type_parameters(self, node: Any) -> set[str]:
        parameters = getattr(node, "type_params", [])
        names = {parameter.name for parameter in parameters}
        with self.scope.hiding(names):
            self._evaluated_later([part for parameter in parameters for part in ast.iter_child_nodes(parameter)])
        return names

    def _visit_annotation(self, annotation: ast.expr) -> None:
        if self._has_string_annotations or sys.version_info >= (3, 14):
            self._evaluated_later([annotation])
        else:
            self.visit(annotation)

    def _evaluated_later(self, nodes: Sequence[ast.AST]) -> None:
        inner = self._inner(ScopeKind.FUNCTION)
        inner.visit_all(nodes)
        self.scope.take(inner.scope)

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp) -> None:
        self._comprehension(node.generators, [node.elt])

    visit_SetComp = visit_ListComp
    visit_GeneratorExp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node.generators, [node.key, node.value])

    def _comprehension(self, generators: Sequence[ast.comprehension], elements: Sequence[ast.expr]) -> None:
        self.visit(generators[0].iter)  # in the scope around it
        before = self.scope.flow.fork()
        with self.scope.hiding({name for loop in generators for name in stored_names(loop.target)}):
            for index, loop in enumerate(generators):
                if index > 0:
                    self.visit(loop.iter)
                self.store(loop.target)
                for test in loop.ifs:
                    self.scope.flow, _ = self.condition(test)
            self.visit_all(elements)
        before.possible |= self.scope.flow.possible
        self.scope.flow = before


def _arguments(arguments: ast.arguments) -> list[ast.arg]:
    starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
    return [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]


def _defaults(arguments: ast.arguments) -> list[ast.expr]:
    return [*arguments.defaults, *(default for default in arguments.kw_defaults if default is not None)]
