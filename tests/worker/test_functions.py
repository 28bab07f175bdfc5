"""A function that was loaded before is used again only as if it had just been loaded."""

from __future__ import annotations

import pickle

import cloudpickle
import pytest

from jray.runtime.worker.functions import LoadedFunctions


@pytest.fixture
def functions():
    return LoadedFunctions(pickle.loads)


def code_of(source, **names):
    """The bytes of the function `f` of a notebook."""
    namespace = {"__name__": "__main__", "__builtins__": __builtins__, **names}
    exec(compile(source, "<cell>", "exec", dont_inherit=True), namespace)
    return cloudpickle.dumps(namespace["f"], 5)


KEPT = {
    "one that needs nothing": ("def f(): return 1", {}),
    "one with numbers and modules": ("import math\ndef f(a=2): return math.pi * a * k", {"k": 3}),
    "one with annotations": ("def f(a: int = 2, *, b: float = 1.0) -> float: return a * b", {}),
    "one that calls others": ("def g(): return 1\ndef f(): return g()", {}),
}


@pytest.mark.parametrize(("source", "names"), KEPT.values(), ids=KEPT)
def test_kept_is(functions, source, names):
    code = code_of(source, **names)
    first = functions.get(code)
    value = first()
    assert functions.get(code) is first
    assert functions.get(code)() == value


LEAVES_SOMETHING = {
    "in a global": ("k = 0\ndef f():\n global k\n k += 1\n return k", 1),
    "in a new global": ("def f():\n global k\n k = globals().get('k', 0) + 1\n return k", 1),
    "in a helper's global": ("k = 0\ndef g():\n global k\n k += 1\n return k\ndef f(): return g()", 1),
    "in a list": ("k = []\ndef f():\n k.append(1)\n return len(k)", 1),
    "in a default": ("def f(k=[]):\n k.append(1)\n return len(k)", 1),
    "in a cell": ("def make():\n k = 0\n def f():\n  nonlocal k\n  k += 1\n  return k\n return f\nf = make()", 1),
    "in its attributes": ("def f():\n f.k = getattr(f, 'k', 0) + 1\n return f.k", 1),
    "in a helper's attributes": ("def g(): pass\ndef f():\n g.k = getattr(g, 'k', 0) + 1\n return g.k", 1),
    "in its annotations": (
        "def f(a: int = 1):\n was = f.__annotations__['a'] is int\n f.__annotations__['a'] = str\n return was",
        True,
    ),
    "in its keyword defaults": (
        "def f(*, k=0):\n f.__kwdefaults__['k'] += 1\n return k",
        0,
    ),
    "in its defaults": ("def f(k=1):\n f.__defaults__ = (k + 1,)\n return k", 1),
}


@pytest.mark.parametrize(("source", "value"), LEAVES_SOMETHING.values(), ids=LEAVES_SOMETHING)
def test_a_task_does_not_see_what_an_earlier_one_left(functions, source, value):
    code = code_of(source)
    assert [functions.get(code)() for _ in range(3)] == [value] * 3


def test_other_bytes_are_another_function(functions):
    assert functions.get(code_of("def f(): return 1"))() == 1
    assert functions.get(code_of("def f(): return 2"))() == 2


def test_only_so_many_are_kept(functions):
    codes = [code_of(f"def f(): return {number}") for number in range(100)]
    first = functions.get(codes[0])
    last = [functions.get(code) for code in codes][-1]
    assert functions.get(codes[-1]) is last
    assert functions.get(codes[0]) is not first
    assert len(functions._kept) <= 64
