"""A packed function is used again only when packing it anew would give the same."""

from __future__ import annotations

import gc
import json
import types
import weakref

import cloudpickle
import pytest

from jray.runtime.serde.code import PackedForm, pack_code
from jray.runtime.serde.reach import Reach


@pytest.fixture(autouse=True)
def _with_all_that_packing_imports():
    pack_code(lambda: None, PackedForm(), "a function")


def function_of(source, **names):
    namespace = {"__name__": "__main__", "__builtins__": __builtins__, **names}
    exec(compile(source, "<cell>", "exec", dont_inherit=True), namespace)
    return namespace["f"], namespace


def change_code(f, ns):
    f.__code__ = (lambda: 5).__code__


CHANGES = {
    "a global is bound anew": ("def f(): return k", {"k": 1}, lambda f, ns: ns.update(k=2)),
    "a global comes": ("def f(): return k", {}, lambda f, ns: ns.update(k=2)),
    "a global goes": ("def f(): return k", {"k": 1}, lambda f, ns: ns.pop("k")),
    "a builtin is shadowed": ("def f(): return len('')", {}, lambda f, ns: ns.update(len=None)),
    "its code is replaced": ("def f(): return 1", {}, change_code),
    "its defaults are replaced": ("def f(a=1): return a", {}, lambda f, ns: setattr(f, "__defaults__", (2,))),
    "keyword defaults come": ("def f(): return 1", {}, lambda f, ns: setattr(f, "__kwdefaults__", {"a": 1})),
    "an attribute comes": ("def f(): return 1", {}, lambda f, ns: setattr(f, "x", 1)),
    "its name changes": ("def f(): return 1", {}, lambda f, ns: setattr(f, "__name__", "g")),
    "an annotation comes": ("def f(): return 1", {}, lambda f, ns: f.__annotations__.update(a=int)),
    "an annotation changes": (
        "def f(a: int) -> None: return 1",
        {},
        lambda f, ns: f.__annotations__.update(a=str),
    ),
    "a keyword default changes": ("def f(*, a=1): return a", {}, lambda f, ns: f.__kwdefaults__.update(a=2)),
    "a class of the same name takes its place": (
        "def f(): return int",
        {"int": bool},
        lambda f, ns: ns.update(int=str),
    ),
    "a nested function's global changes": (
        "def f():\n def g(): return k\n return g",
        {"k": 1},
        lambda f, ns: ns.update(k=2),
    ),
    "a helper's global changes": (
        "def h(): return k\ndef f(): return h()",
        {"k": 1},
        lambda f, ns: ns.update(k=2),
    ),
    "a helper is redefined": (
        "def h(): return 1\ndef f(): return h()",
        {},
        lambda f, ns: exec("def h(): return 2", ns),
    ),
    "a cell changes": (
        "def make():\n k = 1\n def f(): return k\n def put(v):\n  nonlocal k\n  k = v\n return f, put\nf, put = make()",
        {},
        lambda f, ns: ns["put"](2),
    ),
    "an item is added to a list": ("def f(): return box", {"box": []}, lambda f, ns: ns["box"].append(1)),
    "an inner list changes": ("def f(): return box", {"box": {"a": [1]}}, lambda f, ns: ns["box"]["a"].append(1)),
    "a default changes": ("def f(a=[]): return a", {}, lambda f, ns: f.__defaults__[0].append(1)),
    "a keyword default's item changes": ("def f(*, a=[]): return a", {}, lambda f, ns: f.__kwdefaults__["a"].append(1)),
    "an attribute's item changes": ("def f(): pass\nf.x = [1]", {}, lambda f, ns: f.x.append(1)),
    "a function in a dict is redefined": (
        "def h(): return k\nt = {'h': h, 'b': 1}\ndef f(): return t['h']()",
        {"k": 1},
        lambda f, ns: ns.update(k=2),
    ),
    "what a C method belongs to changes": (
        "t = {'a': 1}\nget = t.get\ndef f(): return get('a')",
        {},
        lambda f, ns: ns["t"].update(a=2),
    ),
    "an attribute of an instance changes": (
        "class C: pass\nc = C()\nc.x = 1\ndef f(): return c.x",
        {},
        lambda f, ns: setattr(ns["c"], "x", 2),
    ),
    "a slot of an instance is filled": (
        "class C: __slots__ = ('x',)\nc = C()\ndef f(): return c.x",
        {},
        lambda f, ns: setattr(ns["c"], "x", 2),
    ),
    "an instance changes its class": (
        "class C: pass\nclass D(C): pass\nc = C()\ndef f(): return c",
        {},
        lambda f, ns: setattr(ns["c"], "__class__", ns["D"]),
    ),
    "an attribute of a class changes": (
        "class C: x = 1\ndef f(): return C",
        {},
        lambda f, ns: setattr(ns["C"], "x", 2),
    ),
    "an attribute of a class goes": ("class C: x = 1\ndef f(): return C", {}, lambda f, ns: delattr(ns["C"], "x")),
    "what a method calls is redefined": (
        "def h(): return 1\nclass C:\n def m(self): return h()\nc = C()\ndef f(): return c.m()",
        {},
        lambda f, ns: exec("def h(): return 2", ns),
    ),
    "what a bound method calls is redefined": (
        "def h(): return 1\nclass C:\n def m(self): return h()\nm = C().m\ndef f(): return m()",
        {},
        lambda f, ns: exec("def h(): return 2", ns),
    ),
    "what a property calls is redefined": (
        "def h(): return 1\nclass C:\n @property\n def m(self): return h()\nc = C()\ndef f(): return c.m",
        {},
        lambda f, ns: exec("def h(): return 2", ns),
    ),
    "what a base class calls is redefined": (
        "def h(): return 1\nclass B:\n def m(self): return h()\nclass C(B): pass\ndef f(): return C().m()",
        {},
        lambda f, ns: exec("def h(): return 2", ns),
    ),
    "a partial's keyword changes": (
        "from functools import partial\np = partial(int, base=2)\ndef f(): return p('1')",
        {},
        lambda f, ns: ns["p"].keywords.update(base=3),
    ),
    "what is behind a cache changes": (
        "from functools import cache\ndef h(): return k\nc = cache(h)\ndef f(): return c()",
        {"k": 1},
        lambda f, ns: ns.update(k=2),
    ),
    "an implementation is registered": (
        "from functools import singledispatch\n@singledispatch\ndef h(a): return 1\ndef f(): return h(1)",
        {},
        lambda f, ns: ns["h"].register(int, lambda a: 2),
    ),
    "a bytearray changes": ("def f(): return b", {"b": bytearray(b"x")}, lambda f, ns: ns["b"].append(1)),
    "an array changes": (
        "import array\nb = array.array('i', [1])\ndef f(): return b",
        {},
        lambda f, ns: ns["b"].append(1),
    ),
    "what a module calls so is replaced": (
        "from json import dumps\ndef f(a): return dumps(a)",
        {},
        lambda f, ns: setattr(json, "dumps", lambda a: "other"),
    ),
    "a module is imported": (
        "def f(): return 1",
        {},
        lambda f, ns: __import__("sys").modules.update({"jray_test_x": types.ModuleType("x")}),
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(what, monkeypatch):
    import sys

    monkeypatch.setattr(sys, "modules", sys.modules)
    monkeypatch.setattr(json, "dumps", json.dumps)
    source, names, change = CHANGES[what]
    f, namespace = function_of(source, **names)
    snapshot = Reach(f)
    assert snapshot.holds()
    change(f, namespace)
    assert not snapshot.holds()
    sys.modules.pop("jray_test_x", None)


def test_an_unchanged_function_is_packed_once():
    f, namespace = function_of("def f(): return k", k=1)
    form = PackedForm()
    assert pack_code(f, form, "f") is pack_code(f, form, "f")
    before = pack_code(f, form, "f")
    namespace["k"] = 2
    assert pack_code(f, form, "f").head != before.head


UNCLEAR = {
    "an instance that raises when it is looked at": (
        "class C:\n __slots__ = ()\n def __getattr__(self, name): raise ValueError(name)\nc = C()\ndef f(): return c",
        {},
    ),
    "a module that was made here": ("def f(): return module.x", {"module": types.ModuleType("made_here")}),
    "what its class packs in its own way": (
        "class C:\n def __reduce__(self): return (int, ())\nc = C()\ndef f(): return c",
        {},
    ),
    "more than can be looked at": ("def f(): return many", {"many": [[[]] for _ in range(20_000)] + [lambda: 1]}),
}


@pytest.mark.parametrize("what", UNCLEAR)
def test_what_can_change_unseen_is_packed_anew(what):
    source, names = UNCLEAR[what]
    f, _ = function_of(source, **names)
    reach = Reach(f)
    assert (reach.is_exact, reach.holds()) == (False, False)


def test_nothing_is_reused_while_modules_travel_by_value():
    f, _ = function_of("def f(): return 1")
    cloudpickle.register_pickle_by_value(types)
    try:
        assert not Reach(f).is_exact
    finally:
        cloudpickle.unregister_pickle_by_value(types)
    assert Reach(f).is_exact


@pytest.mark.parametrize(
    "source",
    [
        "def f(a: int, *rest: 'Table', k: float = 1.0) -> None: return a",
        "from collections import Counter\ndef f(a: Counter): return Counter(a)",
        "from json import dumps\nfrom math import sqrt\ndef f(a): return dumps(sqrt(a))",
        "from pathlib import Path\ndef f(*, make=Path): return make()",
    ],
)
def test_what_comes_from_modules_travels_by_name(source):
    f, _ = function_of(source)
    form = PackedForm()
    assert pack_code(f, form, "f") is pack_code(f, form, "f")


def test_the_packed_form_of_a_function_does_not_keep_it_alive():
    gone = []
    for number in range(3):
        f, _ = function_of(f"def f(n): return f(n - 1) if n else {number}")
        form = PackedForm()
        pack_code(f, form, "f")
        assert form.known is not None
        gone.append(weakref.ref(f))
        del f, form, _
    gc.collect()
    assert [ref() for ref in gone] == [None] * 3
