"""`%jray memory`: every object with its size, its place, who holds it, and what made it."""

from __future__ import annotations

import gc

import pytest

from tests.support.gates import Gate
from tests.support.waiting import wait_until

LARGE = "jray.put(np.zeros(100_000))"


@pytest.fixture
def shell(shell, monkeypatch):
    monkeypatch.setenv("JRAY_NONINTERACTIVE", "1")
    shell.run("import numpy as np")
    yield shell
    shell.complaint("1 / 0")  # the frames of the last error have references, which know their runtime
    gc.collect()


def memory(shell, line=""):
    return shell.shell.run_line_magic("jray", f"memory {line}".strip())


def rows(shell, line=""):
    return [" ".join(row.split()) for row in repr(memory(shell, line)).splitlines()[2:]]


def test_it_says_who_holds_what(shell):
    shell.run(f"x = {LARGE}; table = {{'a': [x]}}")
    shell.run("y = jray.put([x, 1])")
    shell.run("a = jray.get(x)")
    assert rows(shell) == [
        "781.3 KiB shared memory x, table['a'][0], a (array), inside y put",
        "66 B messages y put",
    ]


def test_out_underscores_and_what_cannot_be_named(shell):
    shell.run(f"{LARGE}")
    number = shell.shell.execution_count - 1
    shell.run("import itertools; hidden = iter([jray.put(1)])")
    first, second = rows(shell)
    assert first == f"781.3 KiB shared memory _, Out[{number}] put"
    assert second.endswith("messages elsewhere in this notebook (1) put")


def test_a_task_that_uses_it_is_named(shell, tmp_path):
    shell["gate"] = Gate(tmp_path)
    shell.run("@jray.remote\ndef hold(boxed):\n    gate.pass_through()\n    return len(boxed)")
    shell.run(f"x = {LARGE}; done = hold.remote([x]); del x")
    shell["gate"].wait_for_arrival()
    held = [row for row in rows(shell) if row.startswith("781")]
    assert held == ["781.3 KiB shared memory task hold (running) put"]
    assert any(row.startswith("to come done hold") for row in rows(shell))
    shell["gate"].open()
    shell.get("done")


def test_so_is_a_task_that_waits_for_a_cpu(shell, tmp_path):
    shell["gate"] = Gate(tmp_path)
    shell.run("busy = [jray.remote(gate.pass_through).remote() for _ in range(2)]")
    for _ in range(2):
        shell["gate"].wait_for_arrival()
    shell.run(f"x = {LARGE}; done = jray.remote(np.sum).remote(x); del x")
    (row,) = [row for row in rows(shell) if row.startswith("781")]
    assert row == "781.3 KiB shared memory task sum (queued) put"
    for _ in range(2):
        shell["gate"].open()
    shell.get("done")


def test_a_worker_that_keeps_a_reference_is_named(shell):
    shell.run("def keep(box):\n    import builtins\n    builtins.kept = box")
    shell.run(f"x = {LARGE}; jray.get(jray.remote(keep).remote([x])); del x")
    assert rows(shell) == ["781.3 KiB shared memory a worker put"]


def test_the_traceback_of_an_error_is_named_until_the_next_one(shell):
    shell.run(f"def inner():\n    x = {LARGE}\n    1 / 0")
    shell.complaint("try:\n    inner()\nexcept ZeroDivisionError as error:\n    raise ValueError from error")
    assert rows(shell) == ["781.3 KiB shared memory traceback put"]
    shell.complaint("1 / 0")
    gc.collect()
    assert rows(shell) == []


def test_frames_and_tables_are_named_like_arrays(shell):
    shell.run("import pandas as pd; df = jray.get(jray.put(pd.DataFrame({'x': np.zeros(100_000)})))")
    shell.run(f"nameless = iter([jray.get({LARGE})])")
    assert rows(shell) == ["782.0 KiB shared memory df (DataFrame) put", "781.3 KiB shared memory an array put"]


def test_what_made_it_is_named_with_its_cell(shell, monkeypatch):
    monkeypatch.delenv("JRAY_NONINTERACTIVE")
    shell.run("@jray.remote\ndef make():\n    return np.zeros(100_000)")
    shell.run("r = make.remote(); rest = jray.wait([r])[1]")
    number = shell.shell.execution_count - 1
    (row,) = rows(shell, "r")
    assert row == f"781.3 KiB shared memory r In[{number}]: make {shell['r'].hex()}"


def test_a_name_chooses_and_all_shows_all(shell):
    shell.run(f"x = {LARGE}; many = [jray.put(i) for i in range(30)]")
    assert len(rows(shell, "x")) == 1
    assert len(rows(shell, "many --all")) == 30
    assert rows(shell)[-1] == "and 11 more, not larger; %jray memory --all shows them"
    assert len(rows(shell, "nothing")) == 0


def test_what_is_on_disk_is_said_and_the_store_has_a_picture(shell):
    shell.run("jray.shutdown(); jray.init(num_cpus=1, object_store_memory=1 << 20)")
    shell.run("refs = [jray.put(np.full(300_000, i, np.uint8)) for i in range(5)]; a = jray.get(refs[4])")
    shown = memory(shell)
    assert repr(shown).splitlines()[0] == "5 objects; shared memory: 888.0 KiB of 1.0 MiB; on disk: 592.0 KiB"
    assert [" ".join(row.split()) for row in repr(shown).splitlines()[2:]] == [
        "293.0 KiB disk refs[0] put",
        "293.0 KiB disk refs[1] put",
        "293.0 KiB shared memory refs[2] put",
        "293.0 KiB shared memory refs[3] put",
        "293.0 KiB shared memory refs[4], a (array) put",
    ]
    html = shown._repr_html_()
    for part in ("being read: 296.0 KiB", "could be moved to disk: 592.0 KiB", "free: 136.0 KiB", "on disk: 592.0 KiB"):
        assert part in html
    assert "<td style='text-align:left'>refs[4], a (array)</td>" in html


def test_looking_keeps_nothing_alive(shell):
    shell.run(f"x = {LARGE}")
    memory(shell)
    shell.run("del x")
    runtime = shell["jray"].api.running()
    wait_until(lambda: not runtime.pictures.objects(), 10, "it is freed")


def test_nonsense_is_refused(shell):
    assert "It takes one name, and --al" in shell.complaint("%jray memory x y")
    assert "It takes one name" in shell.complaint("%jray memory --everything")
    shell.run("jray.shutdown()")
    assert "not running" in repr(memory(shell))
