"""What `get` and `wait` say of something that is no list of references: what it probably was meant to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import FunctionType, MethodType
from typing import Any

from jray.remote_function import RemoteFunction
from jray.runtime.object_ref import ObjectRef


def no_refs(who: str, given: object) -> str:
    """Why `jray.get` (or `wait`: `who`) can't take this, and what to write."""
    takes = "an ObjectRef or a list of them" if who == "get" else "a list of ObjectRefs"
    called = _uncalled(given)
    if called is not None:
        return f"{who} was given {called}, which was not called. It takes {takes}. {_write(who, f'{called}(...)')}"
    if isinstance(given, RemoteFunction):
        name = _name(given)
        return f"{who} was given the function {name}. It takes {takes}. {_write(who, f'{name}.remote(...)')}"
    sentence = f"{who} was given {_one(given)}. It takes {takes}."
    if isinstance(given, ObjectRef):
        return f"{sentence} Write jray.wait([ref])."
    if isinstance(given, Mapping):
        return f"{sentence} Write jray.{who}(list(refs.values()))."
    if isinstance(given, Iterable) and not isinstance(given, (str, bytes)):
        return f"{sentence} Write jray.{who}(list(refs))."
    return f"{sentence} Call it with what .remote() or put returned; a value is there already."


def no_ref(who: str, position: int, given: object) -> str:
    """Why this can't stand in the list that `get` or `wait` was given, and what to do."""
    where = f"at position {position} of its list"
    called = _uncalled(given)
    if called is not None:
        return f"{who} was given {called} {where}, which was not called. Only ObjectRefs can be waited for. Call it."
    if isinstance(given, (list, tuple)):
        advice = "Make it one flat list, or call it for each part: [jray.get(part) for part in parts]."
    else:
        advice = "Leave out what is no reference."
    return f"{who} was given {_one(given)} {where}. Only ObjectRefs can be waited for. {advice}"


def _uncalled(given: object) -> str | None:
    """`f.remote` without the parentheses, as it is written."""
    if isinstance(given, MethodType) and isinstance(given.__self__, RemoteFunction):
        return f"{_name(given.__self__)}.{given.__name__}"
    return None


def _name(function: RemoteFunction[..., Any]) -> str:
    return getattr(function, "__name__", "f")


def _write(who: str, call: str) -> str:
    return f"Write jray.get({call})." if who == "get" else f"Write jray.wait([{call}])."


def _one(given: object) -> str:
    kind = "function" if isinstance(given, FunctionType) else type(given).__name__
    return f"an {kind}" if kind[0].lower() in "aeiou" else f"a {kind}"
