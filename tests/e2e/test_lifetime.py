"""Loading, unloading, restarting, dying: nothing stays behind, and kernels do not disturb each other."""

from __future__ import annotations

import psutil
import pytest

from tests.e2e.conftest import START
from tests.support.kernels import Kernel, wait_until_gone

PICTURE = """
import signal, threading
def picture():
    shell = get_ipython()
    return (
        sorted(thread.name for thread in threading.enumerate()),
        {kind: sorted(names) for kind, names in shell.magics_manager.magics.items()},
        sorted(name for name in shell.magics_manager.registry if name != 'ExtensionMagics'),  # IPython's own
        {event: list(callbacks) for event, callbacks in shell.events.callbacks.items()},
        signal.getsignal(signal.SIGINT),
        sorted(link.partition(':')[0] for link in links() if not link.startswith('anon_inode')),
    )
def links():  # anon_inode: ipykernel keeps one for some seconds for each thread that has printed
    for number in os.listdir('/proc/self/fd'):
        try: yield os.readlink(f'/proc/self/fd/{number}')
        except FileNotFoundError: pass
"""


def busy(kernel):
    """Let two tasks run and a third have run; the processes."""
    kernel.run("refs = [jray.remote(time.sleep).remote(600) for _ in range(2)]")
    kernel.run("jray.get(jray.remote(num_cpus=0)(os.getpid).remote())")
    family = kernel.family()
    assert len(family) >= 3
    return family


def test_unload_leaves_nothing_behind_and_load_works_again():
    with Kernel() as kernel:
        kernel.run("import os\n" + PICTURE)
        kernel.run("before = picture()")
        kernel.run(START)
        kernel.run("%%remote\nx = 1 / 0")  # starts the thread that shows failures
        kernel.run("try: jray.get(x)\nexcept ZeroDivisionError: pass")
        kernel.run("print(await jray.put(1))")
        family = busy(kernel)
        assert kernel.run("%unload_ext jray").error == ""
        kernel.run("after = picture()")
        for index in range(6):
            assert kernel.value(f"after[{index}] == before[{index}] or (before[{index}], after[{index}])") == "True"
        wait_until_gone(family)
        assert "not found" in kernel.run("%jray status").stderr
        assert kernel.run("%load_ext jray\n%load_ext jray\n%reload_ext jray").error == ""
        assert kernel.value("jray.get(jray.put(3))") == "3"


def test_reload_ends_the_runtime_and_its_references_say_so(new_kernel):
    family = busy(new_kernel)
    assert new_kernel.run("%reload_ext jray").error == ""
    wait_until_gone(family)
    assert new_kernel.run("jray.get(refs[0])").error.startswith("ObjectLostError")
    assert new_kernel.value("jray.get(jray.remote(len).remote('abc'))") == "3"


def test_a_kernel_that_is_shut_down_leaves_no_process(new_kernel):
    family = busy(new_kernel)
    new_kernel.shut_down()
    wait_until_gone(family)


def test_a_kernel_that_is_killed_leaves_no_process(new_kernel):
    family = busy(new_kernel)
    psutil.Process(new_kernel.pid).kill()
    wait_until_gone(family)


def test_a_restart_ends_all_and_begins_anew(new_kernel):
    family = busy(new_kernel)
    new_kernel.restart()
    wait_until_gone(family)
    assert new_kernel.run(START).error == ""
    assert new_kernel.value("jray.get(jray.put('new'))") == "new"


@pytest.mark.parametrize("end", ["interrupt", "kill"])
def test_what_happens_to_one_kernel_does_not_disturb_another(kernel, gate_in, end):
    gate = gate_in(kernel)
    kernel.run("%%remote\ngate.pass_through()\nx = 'undisturbed'")
    gate.wait_for_arrival()
    with Kernel() as other:
        other.run(START)
        family = busy(other)
        if end == "kill":
            psutil.Process(other.pid).kill()
        else:
            cell = other.start("print('in', flush=True)\njray.get(refs)")
            other.read_until_stdout(cell, "in")
            other.interrupt()
            assert other.finish(cell).error.startswith("KeyboardInterrupt")
            assert not {process.pid for process in family} & {process.pid for process in kernel.family()}
        gate.open()
        assert kernel.value("jray.get(x)") == "undisturbed"
