"""What it costs to know that a function has not changed: `python benchmarks/definitions.py` prints JSON.

Beside it, what it would cost to pack the function anew with cloudpickle at each call.
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable
from typing import Any

import cloudpickle

from jray.runtime.serde.code import PackedForm, pack_code

CALLS = 5_000
ROUNDS = 15

a0, a1, a2, a3, a4, a5, a6, a7, a8, a9 = range(10)


def nothing(x: int) -> int:
    """Reach nothing."""
    return x


def h1() -> Any:
    return h2(), a0


def h2() -> Any:
    return h3(), a1


def h3() -> Any:
    return h4(), a2


def h4() -> Any:
    return a3


def h5() -> Any:
    return a4


def h6() -> Any:
    return a5


def h7() -> Any:
    return a6


class Model:
    """A class of the notebook's."""

    def predict(self) -> int:
        """One more than an attribute."""
        return self.rate + 1

    rate = 1


model = Model()
model.weight = 0.5  # type: ignore[attr-defined]
table = {"h6": h6, "h7": h7}


def much(x: int) -> Any:
    """Reach ten names, eight functions with itself, a class, a dict with two functions, and an instance."""
    return h1(), h5(), table["h6"](), model.predict(), Model, a7, a8, a9, x


def best_us(action: Callable[[], object]) -> float:
    """The best of many rounds: what else the machine does is no part of it."""
    return min(timeit.repeat(action, number=CALLS, repeat=ROUNDS)) / CALLS * 1e6


def measure() -> dict[str, dict[str, float]]:
    """In µs: the check, and packing anew."""
    figures = {}
    for function in (nothing, much):
        form = PackedForm()
        pack_code(function, form, "")  # imports what packing needs
        pack_code(function, form, "")
        known = pack_code(function, form, "")

        def check(function: Any = function, form: PackedForm = form) -> object:
            return pack_code(function, form, "")

        if check() is not known:
            message = f"{function.__name__} is packed anew each time"
            raise AssertionError(message)
        anew = min(timeit.repeat(lambda f=function: cloudpickle.dumps(f, 5), number=200, repeat=ROUNDS)) / 200 * 1e6  # type: ignore[misc]
        figures[function.__name__] = {"check": best_us(check), "anew": anew}
    return figures


if __name__ == "__main__":
    print(json.dumps(measure()))
