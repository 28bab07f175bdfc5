"""A task finds what its function reached when it was submitted, and nothing that another task has changed."""

from __future__ import annotations

import builtins
import inspect
import linecache
import sys
import types
import weakref

import pytest

from jray.runtime import wire
from jray.runtime.pool.known_code import KnownCode
from jray.runtime.serde import classes, loading
from jray.runtime.serde.code import PackedForm, pack_code
from jray.runtime.worker.definitions import Definitions


class Notebook:
    """A module `__main__`, whose functions are sent to a worker in the same process."""

    def __init__(self, monkeypatch):
        self.main = types.ModuleType("__main__")
        vars(self.main)["__builtins__"] = builtins
        self._monkeypatch = monkeypatch
        self._worker_classes = {
            "_ids": {},
            "_classes": weakref.WeakValueDictionary(),
            "_copies": weakref.WeakValueDictionary(),
            "_from_elsewhere": set(),
        }
        self.definitions = self.in_worker(Definitions)
        self._known = KnownCode()
        self.keys = []

    def in_worker(self, action, *args):
        """With the worker's `__main__`, which it makes itself."""
        with self._monkeypatch.context() as patch:
            patch.setitem(sys.modules, "__main__", getattr(self, "_worker_main", None) or self.main)
            patch.setattr(loading, "shared_namespace", vars(sys.modules["__main__"]))
            for name, table in self._worker_classes.items():
                patch.setattr(classes, name, table)
            try:
                return action(*args)
            finally:
                self._worker_main = sys.modules["__main__"]

    def run(self, source):
        with self._monkeypatch.context() as patch:
            patch.setitem(sys.modules, "__main__", self.main)
            exec(compile(source, "<cell>", "exec", dont_inherit=True), vars(self.main))

    def pack(self, name="f"):
        with self._monkeypatch.context() as patch:
            patch.setitem(sys.modules, "__main__", self.main)
            return pack_code(getattr(self.main, name), PackedForm(), name)

    def send(self, name="f"):
        code = self.pack(name)
        if not self._known.knows(code.key):
            for message in self._known.teach(code):
                take = self.definitions.define if type(message) is wire.Define else self.definitions.forget
                take(message)
        self.keys.append(code.key)
        return code.key

    def task(self, key, *args):
        def enter_call_and_leave():
            try:
                return self.definitions.enter(key, lambda number: number)(*args)
            finally:
                self.definitions.leave()

        return self.in_worker(enter_call_and_leave)

    def call(self, *args, name="f"):
        return self.task(self.send(name), *args)


@pytest.fixture
def notebook(monkeypatch):
    return Notebook(monkeypatch)


CASES = {
    "what it reaches": ("k = 2\ndef h(): return k\ndef f(): return h()", 2),
    "a builtin": ("def f(): return len('abc')", 3),
    "a mutable default is new": ("def f(a=[]): a.append(1); return len(a)", 1),
    "a list is new": ("box = []\ndef f(): box.append(1); return len(box)", 1),
    "an inner list is new": ("box = {'a': [0]}\ndef f(): box['a'].append(1); return len(box['a'])", 2),
    "a global that is counted up is new": ("n = 0\ndef f():\n global n\n n += 1\n return n", 1),
    "an attribute of a class is new": ("class A: n = 0\ndef f(): A.n += 1; return A.n", 1),
    "a list in a class is new": ("class A: n = []\ndef f(): A.n.append(1); return len(A.n)", 1),
    "a new attribute of a class goes": (
        "class A: pass\ndef f():\n had = hasattr(A, 'x'); A.x = 1; return had",
        False,
    ),
    "a method that was replaced is back": (
        "class A:\n def m(self): return 1\ndef f():\n r = A().m(); A.m = lambda self: 2; return r",
        1,
    ),
    "an instance is new": (
        "class A: pass\na = A(); a.x = 0\ndef f(): a.x += 1; return a.x",
        1,
    ),
    "a cell is new": (
        "def make():\n n = 0\n def f():\n  nonlocal n\n  n += 1\n  return n\n return f\nf = make()",
        1,
    ),
    "two functions share a cell": (
        """def make():
            n = 0
            def up():
                nonlocal n
                n += 1
            return up, lambda: n
up, now = make()
def f(): up(); up(); return now()""",
        2,
    ),
    "methods and functions share one namespace": (
        "limit = 1\nclass A:\n def m(self): return limit\ndef f():\n global limit\n limit = 7\n return A().m()",
        7,
    ),
    "a class knows its name": (
        "import pickle\nclass A: pass\ndef f(): return type(pickle.loads(pickle.dumps(A()))) is A",
        True,
    ),
    "super works": (
        "class B:\n def m(self): return 1\nclass A(B):\n def m(self): return super().m() + 1\ndef f(): return A().m()",
        2,
    ),
    "recursion": ("def f(n=5): return n * f(n - 1) if n else 1", 120),
    "mutual recursion": (
        "def even(n): return n == 0 or odd(n - 1)\ndef odd(n): return n != 0 and even(n - 1)\ndef f(): return even(10)",
        True,
    ),
}


@pytest.mark.parametrize("what", CASES)
def test_each_task_finds(notebook, what):
    source, expected = CASES[what]
    notebook.run(source)
    assert [notebook.call() for _ in range(4)] == [expected] * 4
    assert len(set(notebook.keys)) == 1


def test_a_function_that_nobody_has_changed_is_loaded_twice_and_then_used_again(notebook):
    notebook.run("import math\nk = 2\ndef h(): return k\ndef f(): return h() * math.pi")
    key = notebook.send()
    seen = [notebook.in_worker(lambda: notebook.definitions.enter(key, None)) for _ in range(4)]
    assert seen[1] is seen[2] is seen[3]
    assert seen[0] is not seen[1]


def test_names_that_the_notebook_does_not_have_stay(notebook):
    notebook.run("def f():\n global model\n try: model += 1\n except NameError: model = 1\n return model")
    assert [notebook.call() for _ in range(4)] == [1, 2, 3, 4]


def test_they_stay_by_the_code_and_whatever_it_captures(notebook):
    notebook.run("k = 1\ndef f():\n global seen\n try: seen\n except NameError: seen = 0\n seen += k\n return seen")
    assert notebook.call() == 1
    notebook.run("k = 10")
    assert notebook.call() == 11
    notebook.run("def f():\n global seen\n try: return seen\n except NameError: return 'other code'")
    assert notebook.call() == "other code"


def test_they_do_not_stay_where_they_should_not(notebook):
    notebook.run(
        "from jray.runtime.serde.loading import forget_names\n"
        "def f():\n forget_names()\n global x\n try: return x\n except NameError: x = 1"
    )
    assert [notebook.call() for _ in range(2)] == [None, None]


def test_a_name_of_the_notebook_goes_before_what_was_left(notebook):
    notebook.run("def f():\n global k\n try: return k\n finally: k = 'left'")
    with pytest.raises(NameError):
        notebook.call()
    assert notebook.call() == "left"
    notebook.run("k = 'mine'")
    assert [notebook.call(), notebook.call()] == ["mine", "mine"]
    notebook.run("del k")
    assert notebook.call() == "left"


def test_a_task_sees_what_was_when_it_was_submitted(notebook):
    notebook.run("k = 1\nclass A: n = 1\ndef h(): return 1\ndef f(): return k, A.n, h()")
    old = notebook.send()
    notebook.run("k = 2\nA.n = 2\ndef h(): return 2")
    new = notebook.send()
    assert [notebook.task(key) for key in (new, old, new, old)] == [(2, 2, 2), (1, 1, 1), (2, 2, 2), (1, 1, 1)]


def test_no_value_is_there_when_a_task_is_over(notebook):
    notebook.run("class Box: pass\nbox = Box()\ndef f():\n global more\n more = box")
    notebook.call()
    assert notebook.in_worker(lambda: [name for name in vars(sys.modules["__main__"]) if name[0] != "_"]) == ["Box"]


def test_what_outlives_a_task_finds_the_functions_and_modules_that_it_uses(notebook):
    notebook.run(
        "import sys, math\ndef h(): return math.pi\n"
        "def later():\n yield 1\n yield h()\n"
        "def f():\n sys.jray_test = later()\n return next(sys.jray_test)"
    )
    notebook.call()
    notebook.run("def f():\n try: return next(sys.jray_test)\n finally: del sys.jray_test")
    assert notebook.call() == notebook.main.math.pi


def test_what_a_set_up_leaves_finds_all_its_names(notebook):
    notebook.run(
        "import sys\nlimit = 3\ndef h(): return limit\ndef hook(): return h() + limit\ndef f(): sys.jray_test = hook"
    )
    code = notebook.pack("f")
    notebook.in_worker(lambda: (notebook.definitions.enter_whole(code)(), notebook.definitions.leave()))
    notebook.run("limit = 5\ndef f():\n limit\n return sys.jray_test()")
    assert notebook.call() == 10  # one namespace, as in the notebook
    notebook.run("def f(): return sys.jray_test()")
    assert notebook.call() == 6
    notebook.run("def f():\n try: return sys.jray_test()\n finally: del sys.jray_test")
    assert notebook.call() == 6


def test_names_that_stay_are_not_seen_by_who_should_not(notebook):
    notebook.run("def len(x): return 'mine'\ndef h(): return 1\ndef f(): return len('abc'), h()")
    assert notebook.call() == ("mine", 1)
    notebook.run("del len, h")
    notebook.run("def f():\n try: return len('abc'), h()\n except NameError: return len('abc'), 'no h'")
    assert notebook.call() == (3, "no h")


def test_what_was_forgotten_goes_when_nothing_waits(notebook):
    notebook.run("def f(): return 1")
    key = notebook.send()
    notebook.definitions.forget(wire.Forget((key,)))
    assert notebook.task(key) == 1  # it was here already
    notebook.definitions.tidy()
    with pytest.raises(KeyError):
        notebook.task(key)


def test_what_was_forgotten_and_defined_again_stays(notebook):
    notebook.run("def f(): return 1")
    key = notebook.send()
    notebook.definitions.forget(wire.Forget((key,)))
    notebook._known = KnownCode()
    notebook.send()
    notebook.definitions.tidy()
    assert notebook.task(key) == 1


def test_thousands_of_versions_leave_nothing_behind(notebook):
    for number in range(3_000):
        notebook.run(f"def f(): return {number}")
        assert notebook.call() == number
        notebook.definitions.tidy()
    definitions = notebook.definitions
    assert len(definitions._sent) <= 1_000
    assert len(definitions._parts) <= 1_000
    assert len(definitions._codes) <= 1_000
    assert len(definitions._loaded) <= 256


def test_the_source_of_a_cell_is_known(notebook, monkeypatch):
    text = "def f():\n    return 1  # here\n"
    monkeypatch.setitem(linecache.cache, "<cell>", (len(text), None, text.splitlines(keepends=True), "<cell>"))
    notebook.run(text)
    key = notebook.send()
    monkeypatch.delitem(linecache.cache, "<cell>")
    function = notebook.in_worker(lambda: notebook.definitions.enter(key, None))
    assert inspect.getsource(function) == text
