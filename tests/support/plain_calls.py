"""jray's names for plain Python: a task is an ordinary call, made here at the moment of `.remote()`.

What the tables of definitions are compared with: "a task sees what the same call would see in this process". As
`%load_ext` it brings a `%%remote` that executes its cell here.
"""

from __future__ import annotations

import ast
import functools


class Outcome:
    """What a call gave."""

    def __init__(self, function, args, kwargs):
        self.value, self.error = None, None
        try:
            self.value = function(*map(get, args), **{name: get(value) for name, value in kwargs.items()})
        except Exception as error:  # noqa: BLE001 - raised again by get
            self.error = error


class Function:
    """A function with `.remote`."""

    def __init__(self, function):
        functools.update_wrapper(self, function)
        self._function = function

    def __call__(self, *args, **kwargs):
        return self._function(*args, **kwargs)

    def remote(self, *args, **kwargs):
        return Outcome(self._function, args, kwargs)

    def map(self, *iterables):
        return [self.remote(*args) for args in zip(*iterables, strict=False)]

    def options(self, **_):
        return self


def remote(*functions, **_):
    """`@remote`, `@remote(...)`."""
    return Function(*functions) if functions else Function


def put(value):
    return Outcome(lambda: value, (), {})


def get(refs):
    """Values of refs; what is no ref is itself."""
    if isinstance(refs, list) and any(isinstance(ref, Outcome) for ref in refs):
        return [get(ref) for ref in refs]
    if not isinstance(refs, Outcome):
        return refs
    if refs.error is not None:
        raise refs.error
    return refs.value


def load_ipython_extension(shell):
    """`%%remote`: the cell is executed here, and its functions get a `.remote` if it holds nothing but definitions."""

    def run(line, cell):
        body = ast.parse(cell).body
        exec(shell.compile(cell, "cell", "exec"), shell.user_ns)
        for node in body if _only_defines(body) else ():
            if isinstance(node, ast.FunctionDef):
                shell.user_ns[node.name] = Function(shell.user_ns[node.name])

    shell.register_magic_function(run, "cell", "remote")


def _only_defines(body):
    return all(
        isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import)
        or (isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant))
        for node in body
    )
