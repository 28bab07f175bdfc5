"""`Out` and references: what keeps a result alive, and what the user hears when nothing did (rule 11)."""

from __future__ import annotations

import copy
import gc

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

import jray
from jray.exceptions import ObjectLostError
from jray.extension import load, unload
from jray.runtime.object_ref import ObjectRef, is_counted
from tests.support.waiting import wait_until

BIG = "jray.put(np.zeros(10_240))"


def number_of(shell):
    """The number of the cell that ran last."""
    return shell.shell.execution_count - 1


def show(shell, code):
    """Run a cell whose value is shown; its number."""
    shell.run(code)
    return number_of(shell)


def scroll(shell, cells=3):
    """As many more results: what was in `_` before has left `___`."""
    for _ in range(cells):
        shell.run("0")


def stored_bytes():
    jray.api.running().view()  # handles what has been dropped
    return jray.api.running()._engine.books.bytes_in_blocks


@pytest.fixture
def shell(shell):
    shell.run("import numpy as np")
    yield shell
    shell.complaint("1 / 0")  # the frames of the last error have references, which know their runtime


def test_a_result_is_kept_by_underscores_and_freed_when_it_leaves_them(shell):
    show(shell, BIG)
    assert stored_bytes() == 81_920
    scroll(shell, 2)
    assert stored_bytes() == 81_920
    assert shell.run("print(jray.get(___).nbytes)") == "81920\n"
    scroll(shell, 1)
    assert stored_bytes() == 0


def test_a_long_notebook_keeps_three_results(shell):
    for _ in range(10):
        show(shell, BIG)
    assert stored_bytes() == 3 * 81_920


@pytest.mark.parametrize("name", ["Out[{}]", "_{}"])
@pytest.mark.parametrize(
    "use",
    [
        "jray.get({})",
        "jray.get([{}])",
        "jray.wait([{}])",
        "jray.remote(id).remote({})",
        "jray.remote(id).remote([{}])",
        "jray.put([{}])",
        "{}.future()",
        "import pickle; pickle.dumps({})",
    ],
)
def test_a_use_that_comes_too_late_says_which_cell_to_run_again(shell, name, use):
    number = show(shell, BIG)
    scroll(shell)
    said = shell.complaint(use.format(name.format(number)))
    assert "ObjectLostError" in said
    assert f"The object of Out[{number}] is gone: made by In[{number}], freed since." in said
    assert f"Run In[{number}] again" in said


def test_the_cell_that_made_it_is_named_not_the_one_that_showed_it(shell):
    shell.run("x = " + BIG)
    made = number_of(shell)
    number = show(shell, "x")
    shell.run("del x")
    scroll(shell)
    assert f"Out[{number}] is gone: made by In[{made}]" in shell.complaint(f"jray.get(Out[{number}])")


def test_a_task_cell_that_needs_it_says_so_too(shell):
    number = show(shell, BIG)
    scroll(shell)
    shell.run(f"x = Out[{number}]")
    assert "freed since" in shell.complaint("%%remote\ny = x")


@pytest.mark.parametrize(
    "use",
    [
        "jray.get({})",
        "jray.get(jray.wait([{}])[0])[0]",
        "jray.get(jray.remote(np.copy).remote({}))",
        "jray.get(jray.get(jray.put([{}]))[0])",
        "{}.future().result()",
        "jray.get(jray.get(jray.remote(sorted).remote([{}]))[0])",
    ],
)
def test_what_another_reference_keeps_can_be_used_through_out(shell, use):
    number = show(shell, f"x = {BIG}; x")
    scroll(shell)
    shell.run(f"v = {use.format(f'Out[{number}]')}")
    assert np.array_equal(shell["v"], np.zeros(10_240)) or shell["v"] == [0.0]
    shell.run("del x, v")
    scroll(shell)
    gc.collect()
    # The worker says that it holds nothing any more when it has nothing else to do.
    wait_until(lambda: stored_bytes() == 0, 10, "the object is freed")


def test_it_is_a_reference_like_any_other(shell):
    number = show(shell, f"x = {BIG}; x")
    scroll(shell)
    weak, x = shell["Out"][number], shell["x"]
    assert weak is not x
    assert weak is shell[f"_{number}"]
    assert type(weak) is ObjectRef
    assert (repr(weak), hash(weak), weak.hex(), weak.binary(), weak.task_id()) == (
        repr(x), hash(x), x.hex(), x.binary(), x.task_id()
    )  # fmt: skip
    assert weak == x
    assert copy.deepcopy(weak) is weak
    assert len({weak, x}) == 1


def test_a_name_given_to_it_in_time_keeps_the_object(shell):
    number = show(shell, f"x = {BIG}; x")
    scroll(shell)
    shell.run(f"kept = [Out[{number}]]")  # nothing of jray is called
    shell.run("del x")
    scroll(shell)
    assert shell.run("print(jray.get(kept[0]).nbytes)") == "81920\n"
    shell.run("del kept")
    scroll(shell)
    assert stored_bytes() == 0


def test_what_is_shown_again_is_in_the_underscores_again(shell):
    number = show(shell, f"x = {BIG}; x")
    scroll(shell)
    show(shell, f"Out[{number}]")
    shell.run("del x")
    assert stored_bytes() == 81_920
    scroll(shell)
    assert stored_bytes() == 0


def test_one_use_does_not_make_out_hold_it_for_ever(shell):
    number = show(shell, f"x = {BIG}; x")
    scroll(shell)
    for _ in range(3):
        shell.run(f"n = jray.get(Out[{number}]).nbytes")
    shell.run("del x")
    assert stored_bytes() == 0


def test_results_to_come_are_freed_when_they_come(shell, tmp_path):
    from tests.support.gates import Gate

    shell["gate"] = Gate(tmp_path)
    shell.run("def wait():\n    gate.pass_through()\n    return np.zeros(10_240)")
    number = show(shell, "jray.remote(wait).remote()")
    shell["gate"].wait_for_arrival()
    scroll(shell)
    shell["gate"].open()
    jray.get(jray.remote(num_cpus=2)(abs).remote(1))  # runs when the other one has ended
    assert stored_bytes() == 0
    assert "freed since" in shell.complaint(f"jray.get(Out[{number}])")


def test_a_list_of_references_stays(shell):
    number = show(shell, f"[{BIG}]")
    scroll(shell)
    assert shell.run(f"print(jray.get(Out[{number}][0]).nbytes)") == "81920\n"


def test_values_that_are_no_references_stay_as_they_are(shell):
    number = show(shell, "[1, 2]")
    before = shell["Out"][number]
    scroll(shell)
    assert shell["Out"][number] is before


def test_names_that_are_the_users_own_are_left_alone(shell):
    number = show(shell, BIG)
    shell.run(f"mine = _{number} = jray.put(1)")
    scroll(shell)
    assert shell[f"_{number}"] is shell["mine"]
    assert stored_bytes() == 0


def test_a_user_who_takes_the_underscore_still_gets_memory_back(shell):
    show(shell, BIG)
    shell.run("_ = 5")
    for _ in range(4):
        show(shell, BIG)
    assert shell["_"] == 5
    assert stored_bytes() == 3 * 81_920


@pytest.mark.parametrize("code", ["%reset -f out", "%reset -f", "del Out[{n}]", "%xdel x", "Out.clear()"])
def test_what_ipython_clears_is_gone_and_the_next_cells_work(shell, code):
    number = show(shell, f"x = {BIG}; x")
    scroll(shell)
    shell.run(code.format(n=number))
    shell.run("import jray\nimport numpy as np\nx = None")
    scroll(shell)
    gc.collect()
    assert stored_bytes() == 0


def test_after_shutdown_the_reference_says_that_the_runtime_is_gone(shell):
    number = show(shell, f"x = {BIG}; x")
    scroll(shell)
    shell.run("jray.shutdown(); jray.init(num_cpus=1)")
    assert "a runtime that was shut down" in shell.complaint(f"jray.get(Out[{number}])")
    assert "a runtime that was shut down" in shell.complaint("jray.get(x)")


def test_unload_gives_the_shell_back_as_it_was(shell):
    events = shell.shell.events.callbacks
    loaded = {name: len(callbacks) for name, callbacks in events.items()}
    shell.run("%unload_ext jray")
    assert not [c for callbacks in events.values() for c in callbacks if c.__module__.startswith("jray")]
    shell.run("%load_ext jray\n%load_ext jray")
    assert {name: len(callbacks) for name, callbacks in events.items()} == loaded


def test_a_shell_without_out_works(runtime):
    shell = InteractiveShell(
        config=Config({"HistoryManager": {"enabled": False}, "InteractiveShell": {"cache_size": 0}})
    )
    load(shell)
    try:
        for _ in range(5):
            shell.run_cell("import jray; jray.put(bytes(10**6))", store_history=True).raise_error()
        assert is_counted(shell.last_execution_result.result)
        shell.run_cell("None").raise_error()
        assert stored_bytes() == 0
    finally:
        unload(shell)


def test_two_threads_that_use_it_at_once_count_it_once(shell):
    import threading

    number = show(shell, f"x = {BIG}; x")
    for _ in range(20):
        scroll(shell)
        weak = shell["Out"][number]
        assert not is_counted(weak)
        start = threading.Barrier(4)

        def use(weak=weak, start=start):
            start.wait()
            assert jray.get(weak).nbytes == 81_920

        threads = [threading.Thread(target=use) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert is_counted(weak)
        del weak, use, threads
    shell.run("del x")
    scroll(shell)
    with pytest.raises(ObjectLostError):
        jray.get(shell["Out"][number])
    assert stored_bytes() == 0
