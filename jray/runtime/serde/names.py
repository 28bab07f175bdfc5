"""What a code object names, and what tells it apart: pure reading of bytecode."""

from __future__ import annotations

import dis
import marshal
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from hashlib import blake2b
from types import CodeType, FunctionType, ModuleType
from typing import Any

KEY_BYTES = 16  # of a digest

_NAME = re.compile(r"[^\W\d]\w*")
_EXTENDED = dis.EXTENDED_ARG
_LOAD_GLOBAL = dis.opmap["LOAD_GLOBAL"]  # its argument is shifted: the lowest bit says that it is called
_OTHERS = frozenset(
    dis.opmap[name] for name in ("STORE_GLOBAL", "DELETE_GLOBAL", "LOAD_FROM_DICT_OR_GLOBALS") if name in dis.opmap
)
_LOAD_NAME, _STORE_NAME = dis.opmap["LOAD_NAME"], dis.opmap["STORE_NAME"]
_OF_CLASS_BODIES = frozenset({"__name__", "__module__", "__qualname__"})


@lru_cache(maxsize=1024)
def global_names(code: CodeType) -> tuple[str, ...]:
    """The globals that the code reads, binds or deletes, with those of functions and classes that are defined in it.

    Names of a class body count that it reads before it binds them itself.
    """
    return tuple(dict.fromkeys(_global_names(code)))


def _global_names(code: CodeType) -> Iterator[str]:
    names, extended = code.co_names, 0
    bound: set[str] = set(_OF_CLASS_BODIES)
    instructions = code.co_code
    for position in range(0, len(instructions), 2):
        operation, argument = instructions[position], instructions[position + 1] | extended
        extended = argument << 8 if operation == _EXTENDED else 0
        if operation == _LOAD_GLOBAL:
            yield names[argument >> 1]
        elif operation in _OTHERS:
            yield names[argument]
        elif operation == _STORE_NAME:
            bound.add(names[argument])
        elif operation == _LOAD_NAME and names[argument] not in bound:
            yield names[argument]
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from global_names(constant)


def names_of(function: FunctionType) -> Iterable[str]:
    """The globals that a function may look up."""
    annotations = function.__annotations__
    named = global_names(function.__code__)
    return (*named, *annotated_names(annotations)) if annotations else named


def annotated_names(annotations: Mapping[str, Any] | None) -> set[str]:
    """The names in annotations that are texts, as all are after `from __future__ import annotations`."""
    texts = [text for text in (annotations or {}).values() if type(text) is str]
    return set(_NAME.findall(" ".join(texts))) if texts else set()


@lru_cache(maxsize=1024)
def attribute_names(code: CodeType) -> frozenset[str]:
    """All names in the code and in what is defined in it, attributes too."""
    inner = (attribute_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return frozenset(code.co_names).union(*inner)


def submodules(module: ModuleType, attributes: frozenset[str]) -> Iterator[str]:
    """Imported submodules of a module that code with these attribute names may use: of `import a.b`, as `a.b.c()`."""
    for attribute in attributes:
        name = f"{module.__name__}.{attribute}"
        inner = sys.modules.get(name)
        if inner is not None:
            yield name
            yield from submodules(inner, attributes)


@lru_cache(maxsize=1024)
def code_digest(code: CodeType) -> bytes:
    """Tells code apart by what it does. Where it stands (file, lines) and comments are no part of it."""
    return blake2b(marshal.dumps(_without_places(code), 2), digest_size=KEY_BYTES).digest()


def _without_places(code: CodeType) -> CodeType:
    constants = tuple(_without_places(part) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.replace(co_filename="", co_firstlineno=1, co_linetable=b"", co_consts=constants)
