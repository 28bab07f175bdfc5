"""What a value is, in a few words for people: "DataFrame 1000 × 3", "list of 5". Asks no user code."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_SIZED = frozenset({list, tuple, dict, set, frozenset, str, bytes, bytearray})
_SHAPED = frozenset({"numpy", "pandas", "polars", "pyarrow", "scipy", "torch", "xarray"})  # their `shape` is cheap
_PLAIN = {kind: kind.__name__ for kind in (type(None), bool, int, float)}
_MOST = 60  # characters
_in_words = lru_cache(maxsize=64)(str)  # numpy takes ten times as long for the name of a dtype
# As Python itself would look: a metaclass may say something else, or raise.
_name_of = type.__dict__["__name__"].__get__
_said_module_of = type.__dict__["__module__"].__get__


def kind_of(value: Any) -> str:
    """The name of its type, with what can be said cheaply of its size: shape, number of elements."""
    kind = type(value)
    if kind in _PLAIN:
        return _PLAIN[kind]
    name: str = _name_of(kind)
    if kind in _SIZED:
        return f"{name} of {len(value)}"
    if package_of(kind) in _SHAPED:
        return _with_shape(name, value)
    return name[:_MOST]


def package_of(kind: type) -> str:
    """Where a class comes from: "numpy". Nothing when it does not tell: its `__module__` may be anything."""
    try:
        module = _said_module_of(kind)
    except AttributeError:
        return ""
    return module.partition(".")[0] if type(module) is str else ""


def _with_shape(name: str, value: Any) -> str:
    try:
        shape = tuple(value.shape)
        element = f" of {_in_words(value.dtype)}" if shape and name in {"ndarray", "Tensor"} else ""
        size = " × ".join(str(length) for length in shape)
    except Exception:  # noqa: BLE001 - whatever a library does: it is only a word for people
        return name[:_MOST]
    return f"{name} {size}{element}"[:_MOST].strip()
