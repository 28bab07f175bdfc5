"""A packed function is used again only when packing it anew would give the same."""

from __future__ import annotations

import gc
import json
import types
import weakref

import cloudpickle
import pytest

from jray.runtime.serde.code import PackedForm, pack_code
from jray.runtime.serde.reach import snapshot_of


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
    source, names, change = CHANGES[what]
    f, namespace = function_of(source, **names)
    snapshot = snapshot_of(f)
    assert snapshot is not None
    assert snapshot.holds()
    change(f, namespace)
    assert not snapshot.holds()
    sys.modules.pop("jray_test_x", None)


@pytest.mark.parametrize(
    ("source", "names"),
    [
        ("def f(): return box", {"box": []}),
        ("def f(a=[]): return a", {}),
        ("def f(*, a=[]): return a", {}),
        ("def f(a: list[int]): return a", {}),
        ("def f(a: []): return a", {}),
        ("class C: pass\ndef f(a: C): return a", {}),
        ("class C: pass\ndef f(): return C", {}),
        ("def h(a=[]): return a\ndef f(): return h()", {}),
        ("f = len", {}),
        ("f = lambda: 1\nf.x = 1", {}),
    ],
)
def test_what_can_change_in_place_is_packed_anew(source, names):
    assert snapshot_of(function_of(source, **names)[0]) is None


def test_an_unchanged_function_is_packed_once():
    f, namespace = function_of("def f(): return k", k=1)
    form = PackedForm()
    assert pack_code(f, form, "f") is pack_code(f, form, "f")
    before = pack_code(f, form, "f")
    namespace["k"] = 2
    assert pack_code(f, form, "f").head != before.head


def test_what_can_change_without_being_bound_anew_is_packed_anew():
    table, module = {"a": 1}, types.ModuleType("made_here")
    module.x = 1
    get_f, _ = function_of("def f(): return get('a')", get=table.get)
    module_f, _ = function_of("def f(): return module.x", module=module)
    assert (snapshot_of(get_f), snapshot_of(module_f)) == (None, None)


def test_nothing_is_reused_while_modules_travel_by_value():
    f, _ = function_of("def f(): return 1")
    cloudpickle.register_pickle_by_value(types)
    try:
        assert snapshot_of(f) is None
    finally:
        cloudpickle.unregister_pickle_by_value(types)
    assert snapshot_of(f) is not None


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


def test_a_function_that_is_no_more_what_its_module_calls_so_does_not_travel_by_name(monkeypatch):
    f, _ = function_of("from json import dumps\ndef f(a): return dumps(a)")
    before = snapshot_of(f)
    monkeypatch.setattr(json, "dumps", lambda a: "other")
    assert snapshot_of(f) is None  # json.encoder and what it reaches
    assert before is not None


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
