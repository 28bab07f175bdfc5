"""jray in a real ipykernel: output under its cell, the stop button, and what is left at the end."""

from __future__ import annotations

import random

import psutil
import pytest

from tests.support.gates import Gate
from tests.support.kernels import Kernel
from tests.support.waiting import wait_until

START = "%load_ext jray\nimport jray, os, sys, threading, time\njray.init(num_cpus=2)"


@pytest.fixture
def kernel():
    with Kernel() as kernel:
        assert kernel.run(START).error == ""
        yield kernel


def gate_in(kernel, tmp_path, name="gate"):
    gate = Gate(tmp_path, name)
    kernel.run(f"from tests.support.gates import Gate\n{name} = Gate.__new__(Gate)")
    kernel.run(f"{name}.__dict__.update({vars(gate)!r})")
    return gate


def test_prints_appear_under_the_cell_that_submitted_and_before_the_get_returns(kernel):
    kernel.run(
        "@jray.remote\ndef f(x):\n    print('out', x)\n    print('err', x, file=sys.stderr)\n"
        "    os.system('echo child')\n    return x"
    )
    cell = kernel.run("value = jray.get(f.remote(1))\nprint('got', value)")
    assert sorted(cell.stdout.splitlines()[:-1]) == ["child", "out 1"]
    assert cell.stdout.splitlines()[-1] == "got 1"
    assert cell.stderr == "err 1\n"


def test_late_prints_find_their_cell_while_another_runs(kernel, tmp_path):
    gate = gate_in(kernel, tmp_path)
    kernel.run(
        "@jray.remote\ndef inner():\n    print('from the child')\n"
        "@jray.remote\ndef late():\n    gate.pass_through()\n    print('late')\n    jray.get(inner.remote())"
    )
    submits = kernel.run("ref = late.remote()")
    gate.wait_for_arrival()
    waits = kernel.start("jray.wait([ref]); print('done')")
    kernel.client.comm_info()  # another message in between
    gate.open()
    kernel.finish(waits)
    assert submits.stdout == "late\nfrom the child\n"
    assert waits.stdout == "done\n"


def test_the_last_expression_and_a_failure_are_shown_under_their_own_cells(kernel, tmp_path):
    gates = [gate_in(kernel, tmp_path, name) for name in ("one", "two")]  # a gate is for one task at a time
    shown = kernel.run("%%remote\none.pass_through()\nx = 41\nx + 1")
    failing = kernel.run("%%remote -o y\ntwo.pass_through()\ny = 1 / 0")
    assert (shown.displays, failing.stderr) == ([], "")
    for gate in gates:
        gate.wait_for_arrival()
        gate.open()
    other = kernel.run("jray.wait([x, y], num_returns=2); print('other')")
    kernel.read_until_stderr(failing, "ZeroDivisionError: division by zero")
    assert shown.displays == ["42"]
    assert "Cell In[7], line 3, in <module>" in failing.stderr
    assert (other.stdout, other.stderr) == ("other\n", "")
    assert kernel.run("jray.get(y)").error.startswith("TaskError(ZeroDivisionError)")


def test_a_chain_of_cells_is_a_graph(kernel):
    kernel.run("k = 3")
    kernel.run("%%remote\na = k * 2")
    kernel.run("%%remote\nb = a + 1")
    assert kernel.run("print(type(b).__name__, jray.get(b))").stdout == "ObjectRef 7\n"


def test_a_reference_can_be_awaited_in_a_cell(kernel):
    kernel.run("@jray.remote\ndef f(): return 5")
    assert kernel.run("print(await f.remote())").stdout == "5\n"


def test_the_stop_button_ends_the_get_and_nothing_else(kernel, tmp_path):
    gate = gate_in(kernel, tmp_path)
    kernel.run("def slow():\n    gate.pass_through()\n    return 'went on'\nref = jray.remote(slow).remote()")
    gate.wait_for_arrival()
    waiting = kernel.start("print('waiting', flush=True)\njray.get(ref)")
    kernel.read_until_stdout(waiting, "waiting")
    kernel.interrupt()
    kernel.finish(waiting)
    assert waiting.error.startswith("KeyboardInterrupt")
    gate.open()
    assert kernel.run("print(jray.get(ref))").stdout == "went on\n"


def test_a_hail_of_stops_over_many_cells_leaves_jray_whole(kernel):
    random_ = random.Random(3)
    kernel.run("@jray.remote\ndef add(a, b): return a + b\nrefs = None")
    for _ in range(25):
        cell = kernel.start(
            "print('in', flush=True)\nfor _ in range(200):\n    refs = [add.remote(n, 1) for n in range(20)]\n"
            "    assert jray.get(refs) == list(range(1, 21))"
        )
        kernel.read_until_stdout(cell, "in")
        for _ in range(random_.randrange(2000)):
            pass
        kernel.interrupt()
        kernel.finish(cell)
        assert cell.error.partition(":")[0] in ("KeyboardInterrupt", ""), cell.error
    check = kernel.run(
        "from jray.runtime.core.invariants import check\nassert jray.get(add.remote(1, 2), timeout=20) == 3\n"
        "engine = jray.api.running()._engine\nwith engine._locked(): check(engine.scheduler)\nprint(engine.error)"
    )
    assert (check.stdout, check.error) == ("None\n", "")


def test_unload_and_reload_leave_nothing_behind(kernel):
    kernel.run("jray.get(jray.remote(os.getpid).remote())")
    family = psutil.Process(kernel.pid).children(recursive=True)
    assert len(family) >= 2
    kernel.run("%unload_ext jray")
    wait_until(lambda: not any(p.is_running() and p.status() != "zombie" for p in family), 10, "all processes are gone")
    left = kernel.run(
        "import signal\nm = get_ipython().magics_manager\n"
        "print([t.name for t in threading.enumerate() if t.name.startswith('jray')],"
        " [k for kind in m.magics.values() for k in kind if k in ('remote', 'jray')],"
        " get_ipython().events.callbacks['pre_run_cell'],"
        " signal.getsignal(signal.SIGINT) is signal.default_int_handler, jray.is_initialized())"
    )
    assert left.stdout == "[] [] [] True False\n"
    assert "not found" in kernel.run("%jray status").stderr
    kernel.run("%load_ext jray\n%reload_ext jray")
    assert kernel.run("print(jray.get(jray.put(3)))").stdout == "3\n"


def test_a_kernel_that_is_killed_leaves_no_process(kernel):
    kernel.run(
        "refs = [jray.remote(time.sleep).remote(600) for _ in range(2)]\n"
        "jray.get(jray.remote(num_cpus=0)(os.getpid).remote())"
    )
    family = psutil.Process(kernel.pid).children(recursive=True)
    assert len(family) >= 3
    psutil.Process(kernel.pid).kill()
    wait_until(lambda: not any(p.is_running() and p.status() != "zombie" for p in family), 20, "all processes are gone")


def test_two_kernels_do_not_disturb_each_other(kernel):
    with Kernel() as other:
        other.run(START)
        one, two = (k.run("print(jray.get(jray.remote(os.getppid).remote()))").stdout for k in (kernel, other))
        assert one != two


def test_where_late_output_is_dropped_a_visible_result_is_waited_for():
    with Kernel(JRAY_NONINTERACTIVE="1") as kernel:
        kernel.run(START)
        assert kernel.run("%%remote\nx = 2\nx * 21").displays == ["42"]
        assert "ZeroDivisionError" in kernel.run("%%remote\n1 / 0").stderr
        assert kernel.run("%%remote\nx * 2;").displays == []
