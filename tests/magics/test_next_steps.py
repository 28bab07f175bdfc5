"""`%jray` alone: how things stand, and what can be done next."""

from __future__ import annotations

import pytest

from jray.magics.control import COMMANDS
from jray.magics.next_steps import next_steps
from jray.runtime.core.views import FunctionView, SchedulerView


def view(objects=0, **counts):
    functions = (FunctionView(name="f", counts=counts), FunctionView(name="g", counts={"finished": 1}))
    return SchedulerView(
        total={"CPU": 2},
        available={},
        functions=functions,
        workers=1,
        busy_workers=0,
        objects=objects,
        pending_objects=0,
    )


SITUATIONS = [
    (None, "jray is not running; the first use starts it.", "%jray init"),
    (view(), "jray is running; no tasks are under way.", "%%remote"),
    (view(objects=3), "jray is running; no tasks are under way.", "%jray memory"),
    (view(running=2, queued=3, finished=9), "jray is running; tasks: 2 running, 3 queued.", "%jray status"),
    (view(waiting=1, failed=1), "jray is running; tasks: 1 waiting, 1 failed.", "%jray status"),
    (view(failed=2), "jray is running; tasks: 2 failed, none under way.", "raises its error"),
]


@pytest.mark.parametrize(("picture", "head", "step"), SITUATIONS)
def test_each_situation_has_its_next_steps_in_at_most_ten_lines(picture, head, step):
    text = next_steps(picture, COMMANDS)
    first, *steps, last = text.splitlines()
    assert first == head
    assert any(step in line for line in steps)
    assert last == f"All commands of %jray: {', '.join(COMMANDS)}. %jray? and %%remote? tell more."
    assert len(text.splitlines()) <= 10


def test_a_store_without_objects_is_not_worth_a_look():
    assert "%jray memory" not in next_steps(view(), ())


def test_the_columns_stand_below_each_other():
    for picture, _, _ in SITUATIONS:
        steps = next_steps(picture, COMMANDS).splitlines()[1:-1]
        assert {line[20:22] for line in steps} == {"  "}
        assert all(line[22] != " " for line in steps)


def test_jray_alone_looks_at_the_runtime_and_does_not_start_it(shell):
    assert shell.run("%jray").startswith("jray is running; no tasks are under way.\n")
    shell.run("%%remote\nx = 1 / 0")
    shell.run("jray.wait([x]);")
    assert shell.run("%jray").startswith("jray is running; tasks: 1 failed, none under way.\n")
    shell.run("%jray stop")
    assert shell.run("%jray").startswith("jray is not running; the first use starts it.\n")
    assert shell.run("%jray").startswith("jray is not running")
