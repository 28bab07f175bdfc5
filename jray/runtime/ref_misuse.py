"""A ref that is used as if it were its value says so, and how to get the value.

The operations are put on the class when it is made, so that refs cost nothing more, and type checkers still see that a
ref can't be added. What a ref is called is looked up only when the error is raised.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeVar

from jray.other_names import OF_REFS
from jray.user_code import names_of, nearest_user_frame

_MOST_SHOWN = 20  # characters of the other operand
_C = TypeVar("_C", bound=type)

_SYMBOLS = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "truediv": "/",
    "floordiv": "//",
    "mod": "%",
    "pow": "**",
    "matmul": "@",
    "and": "&",
    "or": "|",
    "xor": "^",
    "lshift": "<<",
    "rshift": ">>",
}
# How the message shows each operation: {0} is the ref, {1} what else takes part.
_USES = {
    **{f"__{name}__": f"{{0}} {symbol} {{1}}" for name, symbol in _SYMBOLS.items()},
    **{f"__r{name}__": f"{{1}} {symbol} {{0}}" for name, symbol in _SYMBOLS.items()},
    "__divmod__": "divmod({0}, {1})",
    "__rdivmod__": "divmod({1}, {0})",
    "__lt__": "{0} < {1}",
    "__le__": "{0} <= {1}",
    "__gt__": "{0} > {1}",
    "__ge__": "{0} >= {1}",
    "__neg__": "-{0}",
    "__pos__": "+{0}",
    "__invert__": "~{0}",
    "__abs__": "abs({0})",
    "__round__": "round({0})",
    "__int__": "int({0})",
    "__float__": "float({0})",
    "__complex__": "complex({0})",
    "__index__": "[...][{0}]",
    "__len__": "len({0})",
    "__iter__": "for ... in {0}",
    "__reversed__": "reversed({0})",
    "__contains__": "{1} in {0}",
    "__getitem__": "{0}[{1}]",
    "__setitem__": "{0}[{1}] = ...",
    "__delitem__": "del {0}[{1}]",
    "__call__": "{0}(...)",
}


def refuses_use_as_value(cls: _C) -> _C:
    """Make the operations of values errors on a class of refs. Truth, equality, hash and await stay as they are."""
    for name, use in _USES.items():
        setattr(cls, name, _refusal(use))
    cls.__bool__ = _is_true  # type: ignore[attr-defined] # else Python would ask for the length
    cls.__format__ = _format  # type: ignore[assignment]
    cls.__array__ = _array  # type: ignore[attr-defined]
    cls.__array_ufunc__ = _array_ufunc  # type: ignore[attr-defined]
    cls.__getattr__ = _getattr  # type: ignore[attr-defined]
    return cls


def _refusal(use: str) -> Callable[..., Any]:
    def refuse(self: object, *others: object, **_named: object) -> Any:
        raise _misuse(self, use, *others)

    return refuse


def _is_true(_ref: object) -> bool:
    return True


def _format(ref: object, spec: str) -> str:
    if spec:
        raise _misuse(ref, "{0} in a format")
    return str(ref)


def _array(ref: object, dtype: Any = None, **_named: object) -> Any:
    if dtype == object:  # noqa: E721 - of numpy's: an array of references, by the user's own word
        import numpy as np

        array = np.empty((), object)
        array[()] = ref
        return array
    raise _misuse(ref, "np.asarray({0})")


def _array_ufunc(ref: object, ufunc: Any, _method: str, *inputs: object, **_named: object) -> Any:
    shown = ", ".join("{0}" if operand is ref else "..." for operand in inputs)
    raise _misuse(ref, f"{ufunc.__name__}({shown})")


def _getattr(ref: object, name: str) -> Any:
    if name.startswith("_"):  # libraries look for these all the time: no sentence, no look for names
        raise AttributeError(f"{type(ref).__name__!r} object has no attribute {name!r}", name=name, obj=ref)
    called = _name_of(ref, nearest_user_frame(sys._getframe(1)))  # noqa: SLF001 - as inspect.currentframe
    way_out = OF_REFS.get(name)
    if way_out is None:
        message = _sentences(called, f"{{0}}.{name}")
    else:
        message = f"{_what(called)}. It has no `{name}`. {way_out.format(it=called or 'this')}"
    raise AttributeError(message, name=name, obj=ref)


def _misuse(ref: object, use: str, *others: object) -> TypeError:
    frame = nearest_user_frame(sys._getframe(2))  # noqa: SLF001
    return TypeError(_sentences(_name_of(ref, frame), use, *(_shown(other, ref, frame) for other in others)))


def _sentences(called: str | None, use: str, *others: str) -> str:
    """What happened, why, and the way out."""
    it = called or "this"
    needed = use.format(it, *others or ("...",))
    return f"{_what(called)}. `{needed}` needs the value. jray.get({it}) gives the value."


def _what(called: str | None) -> str:
    return f"{f'`{called}`' if called else 'This'} is a reference to a result, not the result"


def _name_of(ref: object, frame: FrameType | None) -> str | None:
    return next(names_of(ref, frame), None) if frame is not None else None


def _shown(other: object, ref: object, frame: FrameType | None) -> str:
    """The other operand, if that is short and sure to be shown quickly."""
    if type(other) is type(ref):
        return _name_of(other, frame) or "..."
    shown = repr(other) if type(other) in {int, float, str, bool, type(None)} else "..."
    return shown if len(shown) <= _MOST_SHOWN else "..."
