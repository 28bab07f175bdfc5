"""The session of a shell: which cell submits, what is loaded and unloaded, and what a failure looks like."""

from __future__ import annotations

import os
import signal
import threading

import jray
from tests.support.gates import Gate
from tests.support.waiting import wait_until


def loaded(shell):
    """What the extension adds to a shell."""
    magics = shell.magics_manager.magics
    return (
        [name for kind in ("line", "cell") for name in ("remote", "jray") if name in magics[kind]],
        len(shell.events.callbacks["pre_run_cell"]),
        [name for name in ("RemoteMagics", "ControlMagics") if name in shell.magics_manager.registry],
        [thread.name for thread in threading.enumerate() if thread.name == "jray-cells"],
    )


def test_unload_takes_all_of_it_away_and_stops_the_runtime(shell):
    shell.run("%%remote\nx = 1")
    assert loaded(shell.shell) == (
        ["remote", "jray", "remote"],
        1,
        ["RemoteMagics", "ControlMagics"],
        ["jray-cells"],
    )
    shell.run("%unload_ext jray")
    assert loaded(shell.shell) == ([], 0, [], [])
    assert not jray.is_initialized()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_loading_twice_is_loading_once(shell):
    shell.run("%load_ext jray")
    jray.extension.load(shell.shell)
    assert loaded(shell.shell)[:2] == (["remote", "jray", "remote"], 1)


def test_reload_starts_anew(shell):
    shell.run("%%remote\nx = 1")
    shell.run("%reload_ext jray")
    assert loaded(shell.shell)[:2] == (["remote", "jray", "remote"], 1)
    shell.run("%%remote\ny = 2")
    assert shell.get("y") == 2


def test_a_fork_has_no_pictures_to_end(shell):
    pid = os.fork()
    if not pid:
        os._exit(len(jray.extension._loaded))  # whose pictures are ended at exit
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert jray.extension._loaded


def test_the_cell_that_loads_jray_counts_as_running_and_ends(shell):
    is_busy = "next(iter(jray.extension._loaded.values())).session.is_busy"
    shell.run(f"%reload_ext jray\nnow = {is_busy}")
    session = jray.extension._loaded[id(shell.shell)].session
    assert shell.shell.user_ns["now"]
    assert not session.is_busy


def test_a_picture_that_fails_loses_no_reference(shell):
    class Broken:
        def show_cell(self, task):
            raise OSError("no front end")

        def forget_cell(self, cell_id):
            pass

    jray.extension._loaded[id(shell.shell)].session.watcher = Broken()
    assert "no front end" in shell.complaint("%%remote\nx = 1")
    assert shell.get("x") == 1


def test_unloading_what_is_not_loaded_does_nothing(shell):
    shell.run("%unload_ext jray")
    jray.extension.unload(shell.shell)
    assert loaded(shell.shell)[:2] == ([], 0)


def test_a_cell_is_called_by_its_prompt_and_its_frames_too(shell):
    shell.run("1")
    number = shell.shell.execution_count
    shell.run("%%remote\nx = 1\ny = 1 / 0\n")
    text = f"Task In[{number}] failed in worker w"
    assert shell.get_error("x").startswith(text)
    assert f"Cell In[{number}], line 3, in <module>\n    y = 1 / 0\nZeroDivisionError" in shell.get_error("x")


def test_a_failure_is_told_without_being_asked_and_once(shell):
    shell.run("%%remote --name lost\nx = 1 / 0")
    said = []
    wait_until(lambda: said.append(shell.said()) or "".join(said).endswith("by zero\n"), 10, "the failure is told")
    assert "".join(said).count("Task lost failed") == 1
    shell.run("%%remote\ny = 1")
    shell.run("_ = jray.get(y)")
    assert shell.said() == ""


def test_a_cell_that_is_ended_by_the_user_is_no_news(shell, tmp_path):
    shell["gate"] = gate = Gate(tmp_path)
    shell.run("%%remote\n_ = gate.pass_through()")
    gate.wait_for_arrival()
    watcher = next(thread for thread in threading.enumerate() if thread.name == "jray-cells")
    shell.run("%jray stop")
    shell.run("%unload_ext jray")  # the watcher ends when it has shown all that it was given
    assert not watcher.is_alive()
    assert shell.said() == ""


def test_for_comparison_texts_hold_no_number_that_changes(shell, monkeypatch):
    monkeypatch.setenv("JRAY_NONINTERACTIVE", "1")
    shell.run("%%remote --name f\n1 / 0\n2")
    assert "\n  Cell, line 2, in <module>\n    1 / 0\n" in shell.said()


def test_the_result_of_one_cell_is_shown_before_the_next_one_reads_it(shell, capsys):
    shell.run("%%remote\nprint('first')\nx = 1")
    shell.shell.run_cell("print('second', jray.get(x))")
    assert capsys.readouterr().out == "first\nsecond 1\n"


def test_a_runtime_that_is_started_again_serves_the_same_shell(shell):
    shell.run("%%remote\nx = 1")
    shell.run("jray.shutdown()")
    shell.run("%%remote\ny = 2")
    assert shell.get("y") == 2
