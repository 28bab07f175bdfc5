"""The stop button: ends what the cell waits for, at once, and nothing else."""

from __future__ import annotations

import random
import time

import pytest

PROMPT_S = 5  # far less than what the tasks would take; a busy machine may take a second

# Not `await ref`: ipykernel 7.4 leaves a cell that awaits asleep until something else wakes its loop, with any future.
WAITS = {
    "get": "jray.get(ref)",
    "wait": "jray.wait([ref])",
    "--get": "get_ipython().run_cell_magic('remote', '--get', 'value = ref')",
    "a future": "ref.future().result()",
}


@pytest.mark.parametrize("waits", WAITS.values(), ids=WAITS)
def test_stop_ends_the_waiting_at_once_and_the_task_goes_on(kernel, gate_in, waits):
    gate = gate_in(kernel)
    kernel.run("def slow():\n    gate.pass_through()\n    return 'went on'\nref = jray.remote(slow).remote()")
    gate.wait_for_arrival()
    family = kernel.family()
    cell = kernel.start(f"print('in', flush=True)\n{waits}")
    kernel.read_until_stdout(cell, "in")
    began = time.monotonic()
    kernel.interrupt()
    kernel.finish(cell)
    assert time.monotonic() - began < PROMPT_S
    assert cell.error.startswith("KeyboardInterrupt"), cell.error
    assert kernel.value("1 + 1") == "2"
    gate.open()
    assert kernel.value("jray.get(ref)") == "went on"
    assert {process.pid for process in family} <= {process.pid for process in kernel.family()}


def test_what_a_stopped_cell_waited_for_can_be_had_later(kernel, gate_in):
    gate = gate_in(kernel)
    cell = kernel.start("%%remote --get\n_ = gate.pass_through()\nx = 42\ny = 43")
    gate.wait_for_arrival()
    kernel.interrupt()
    kernel.finish(cell)
    assert cell.stdout == "the task goes on; for now, references: x, y\n"
    gate.open()
    assert kernel.value("jray.get([x, y])") == "[42, 43]"


def test_stop_does_not_reach_the_tasks(kernel, gate_in):
    gate = gate_in(kernel)
    kernel.run("%%remote\ngate.pass_through()\ntime.sleep(0.2)\nx = 'done'")
    gate.wait_for_arrival()
    cell = kernel.start("print('in', flush=True)\ntime.sleep(600)")
    kernel.read_until_stdout(cell, "in")
    gate.open()  # from here on the worker sleeps, which a signal would end
    kernel.interrupt()
    assert kernel.finish(cell).error.startswith("KeyboardInterrupt")
    assert kernel.value("jray.get(x)") == "done"


HAIL = {
    "get": "refs = [add.remote(n, 1) for n in range(20)]\nassert jray.get(refs) == list(range(1, 21))",
    "wait": "refs = [add.remote(n, 1) for n in range(20)]\nready, rest = jray.wait(refs, num_returns=20)",
    "put": "refs = [jray.put([n]) for n in range(50)]\nassert jray.get(refs[7]) == [7]",
    "nested": "assert jray.get(twice.remote(3)) == 6",
}


def test_a_hail_of_stops_over_many_cells_leaves_jray_whole(kernel):
    seed = random.randrange(10**6)
    chance = random.Random(seed)
    kernel.run(
        "@jray.remote\ndef add(a, b): return a + b\n"
        "@jray.remote\ndef twice(n): return jray.get(add.remote(n, n))\n"
        "jray.get([add.remote(0, 0) for _ in range(9)])"
    )
    interrupted = 0
    for number in range(50):
        body = chance.choice(list(HAIL.values())).replace("\n", "\n    ")
        cell = kernel.start(f"print('in', flush=True)\nfor _ in range(1000):\n    {body}")
        kernel.read_until_stdout(cell, "in")
        for _ in range(chance.randrange(100_000)):
            pass
        kernel.interrupt()
        kernel.finish(cell)
        assert cell.error.partition(":")[0] in ("KeyboardInterrupt", ""), (seed, number, cell.error)
        interrupted += cell.error != ""
    assert interrupted > 25, seed
    check = kernel.run(
        "from jray.runtime.core.invariants import check\n"
        "assert jray.get([add.remote(n, 2) for n in range(100)], timeout=20) == list(range(2, 102))\n"
        "engine = jray.api.running()._engine\nwith engine.locked(): check(engine.scheduler)\nprint(engine.error)"
    )
    assert (check.stdout, check.error) == ("None\n", ""), seed
    cell = kernel.run("%%remote\nx = 40\nx + 2")
    kernel.read_until_true(lambda: cell.displays)
    assert cell.displays == ["42"], seed
