"""Functions of a notebook in real workers: sent once, seen as they were at submission, gone when nobody needs them."""

from __future__ import annotations

import builtins
import gc
import os
import sys
import types

import numpy as np
import pytest

import jray
from jray.runtime.pool.known_code import KnownCode
from tests.support.gates import Gate


@pytest.fixture
def notebook(monkeypatch):
    """Run cells in a module that plays `__main__`."""
    main = types.ModuleType("__main__")
    main.__dict__.update(__builtins__=builtins, jray=jray)
    monkeypatch.setitem(sys.modules, "__main__", main)

    def run(source, **names):
        vars(main).update(names)
        exec(compile(source, "<cell>", "exec", dont_inherit=True), vars(main))
        return main

    return run


@pytest.fixture
def sent(monkeypatch):
    """What workers are sent of functions: the names of the functions' parts."""
    messages = []
    teach = KnownCode.teach

    def teach_and_note(self, code):
        taught = teach(self, code)
        messages.append(taught[-1])
        return taught

    monkeypatch.setattr(KnownCode, "teach", teach_and_note)
    return messages


def test_a_function_is_sent_once_to_each_worker(runtime_with, notebook, sent):
    runtime = runtime_with(num_cpus=1)
    cell = notebook("@jray.remote\ndef f(x): return x + k", k=1)
    assert runtime.get([cell.f.remote(x) for x in range(50)]) == list(range(1, 51))
    assert len(sent) == 1


def test_running_a_cell_again_or_editing_a_comment_sends_nothing(runtime_with, notebook, sent):
    runtime = runtime_with(num_cpus=1)
    source = "def h(x): return x + k\n@jray.remote\ndef f(x): return h(x)"
    for cell in (
        source,
        source,
        "# why\n\n" + source,
        source.replace("return h", "return (  # what\n h").replace("h(x)", "h(x)") + ")",
    ):
        assert runtime.get(notebook(cell, k=1).f.remote(1)) == 2
    assert len(sent) == 1


def test_what_changes_is_sent_and_nothing_else(runtime_with, notebook, sent):
    runtime = runtime_with(num_cpus=1)
    cell = notebook("def h(x): return x + k\ndef i(x): return x\n@jray.remote\ndef f(x): return i(h(x))", k=1)
    assert runtime.get(cell.f.remote(1)) == 2
    notebook("k = 2")
    assert runtime.get(cell.f.remote(1)) == 3
    notebook("def h(x): return x - k")
    assert runtime.get(cell.f.remote(1)) == -1
    assert [len(message.parts) for message in sent] == [3, 0, 1]


def test_a_name_that_comes_later_is_seen(runtime, notebook):
    cell = notebook("@jray.remote\ndef f(): return time.sleep.__name__")
    with pytest.raises(NameError):
        runtime.get(cell.f.remote())
    notebook("import time")
    assert runtime.get(cell.f.remote()) == "sleep"


def test_tasks_that_wait_and_their_retries_keep_what_they_were_submitted_with(runtime_with, notebook, tmp_path):
    runtime = runtime_with(num_cpus=1)
    gate = Gate(tmp_path)
    blocker = runtime.remote(gate.pass_through).remote()
    marker = tmp_path / "died"
    cell = notebook(
        "import os\ndef h(): return k\n"
        "@jray.remote\ndef f():\n"
        " if not marker.exists():\n  marker.touch()\n  os._exit(1)\n"
        " return h()",
        k="old",
        marker=marker,
    )
    old = cell.f.remote()
    notebook("def h(): return 'redefined'\nk = 'new'")
    new = cell.f.remote()
    gate.open()
    runtime.get(blocker)
    assert (runtime.get(old), runtime.get(new)) == ("old", "redefined")


def test_a_child_has_the_snapshot_of_its_parent_and_what_the_parent_assigned(runtime_with, notebook, tmp_path):
    runtime = runtime_with(num_cpus=1)
    gate = Gate(tmp_path)
    blocker = runtime.remote(gate.pass_through).remote()
    cell = notebook(
        "@jray.remote\ndef h(): return k, mine\n"
        "@jray.remote\ndef f():\n global mine\n mine = 'of the task'\n return jray.get(h.remote())",
        k="old",
        mine="of the notebook",
    )
    ref = cell.f.remote()
    notebook("k = 'new'")
    gate.open()
    runtime.get(blocker)
    assert runtime.get(ref) == ("old", "of the task")
    assert cell.mine == "of the notebook"


@pytest.mark.slow
def test_ten_thousand_redefinitions_leave_nothing_behind(runtime_with, notebook):
    runtime = runtime_with(num_cpus=1)
    count = "import gc\n@jray.remote\ndef count():\n gc.collect()\n return len(gc.get_objects())"
    notebook(count)

    def objects():
        in_worker = runtime.get(sys.modules["__main__"].count.remote())
        gc.collect()
        return in_worker, len(gc.get_objects())

    def redefine(numbers):
        refs = []
        for number in numbers:
            cell = notebook(
                f"class A:\n n = {number}\ndef h(): return A.n\n@jray.remote\ndef f(): return h() + {number}"
            )
            refs.append(cell.f.remote())
            if len(refs) == 100:
                assert sum(runtime.get(refs)) == 2 * sum(range(number - 99, number + 1))
                refs.clear()

    redefine(range(2_000))  # fills what is kept, which is bounded
    before = objects()
    redefine(range(2_000, 10_000))
    after = objects()
    assert after[0] < before[0] * 1.2
    assert after[1] < before[1] * 1.2


def test_a_large_captured_value_is_stored_once_and_is_everybodys_own(runtime, notebook):
    cell = notebook(
        "@jray.remote\ndef f(i):\n big[0] += i\n return float(big[0]), big.ctypes.data % 64",
        big=np.zeros(1_000_000),
    )
    assert runtime.get([cell.f.remote(i) for i in range(4)]) == [(float(i), 0) for i in range(4)]
    assert cell.big[0] == 0
    stored = [value for value in jray.api.running()._engine.books.values.values() if value.block is not None]
    assert len(stored) == 1


def test_a_captured_value_that_was_changed_in_place_is_seen(runtime, notebook):
    cell = notebook("@jray.remote\ndef f(): return float(table['big'][0])", table={"big": np.zeros(1_000_000), "k": f})
    assert runtime.get(cell.f.remote()) == 0
    cell.table["big"][0] = 5
    assert runtime.get(cell.f.remote()) == 5


def f():
    """Makes a dictionary more than data."""


def test_a_large_captured_value_goes_with_the_value(runtime, notebook):
    cell = notebook("@jray.remote\ndef f(): return big.nbytes", big=np.zeros(1_000_000))
    assert runtime.get(cell.f.remote()) == 8_000_000
    del cell.big
    with pytest.raises(NameError):
        runtime.get(cell.f.remote())
    assert [value for value in jray.api.running()._engine.books.values.values() if value.block is not None] == []


def test_the_same_large_argument_is_stored_once(runtime):
    big = np.zeros(1_000_000)

    @jray.remote
    def same(one, other, *, again):
        return one is other, other is again, os.getpid()

    refs = [same.remote(big, big, again=big) for _ in range(20)]
    assert {parts[:2] for parts in runtime.get(refs)} == {(True, True)}
    stored = [value for value in jray.api.running()._engine.books.values.values() if value.block is not None]
    assert len(stored) == 1


def test_classes_come_back_as_they_are_here(runtime, notebook):
    cell = notebook(
        "def h(): return 1\n"
        "class A:\n n = 0\n def m(self): return h()\n"
        "@jray.remote\ndef f(a):\n A.n = 99\n A.m = None\n a.x = 1\n return a, A()",
    )
    method = cell.A.m
    one, other = runtime.get(cell.f.remote(cell.A()))
    assert type(one) is type(other) is cell.A
    assert (cell.A.n, cell.A.m) == (0, method)
    assert cell.A.m.__globals__ is vars(cell)
    notebook("def h(): return 2")
    assert one.m() == 2


def test_a_class_that_a_task_makes_is_one_class_here(runtime, notebook):
    cell = notebook(
        "def make():\n class B:\n  def m(self): return helper()\n return B\n"
        "def helper(): return 7\n"
        "@jray.remote\ndef f():\n b = make()\n return b(), b()",
    )
    one, other = runtime.get(cell.f.remote())
    assert type(one) is type(other)
    assert one.m() == 7
    assert not hasattr(cell, "B")


def test_a_value_may_be_pickled_in_a_task_by_the_standard_librarys_pickle(runtime, notebook):
    cell = notebook(
        "import pickle\nclass A:\n def __init__(self, x): self.x = x\n"
        "@jray.remote\ndef f(a): return pickle.dumps([a, A(2)])",
    )
    import pickle

    arrived = pickle.loads(runtime.get(cell.f.remote(cell.A(1))))
    assert [type(a) is cell.A for a in arrived] == [True, True]
    assert [a.x for a in arrived] == [1, 2]
