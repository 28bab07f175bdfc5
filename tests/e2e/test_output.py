"""What tasks print, show and fail with appears under the cell that submitted them, whatever the kernel does meanwhile."""

from __future__ import annotations

import re

import pytest

from tests.support.kernels import Kernel

SPEAK = """
@jray.remote
def speak(gate, words):
    gate.pass_through()
    print(words)
    print(words, "in red", file=sys.stderr)
    return words
"""


def test_all_that_a_task_prints_is_there_before_the_get_of_its_result_returns(kernel):
    kernel.run(
        "@jray.remote\ndef f(x):\n    print('out', x)\n    print('err', x, file=sys.stderr)\n"
        "    os.system('echo child')\n    return x"
    )
    cell = kernel.run("value = jray.get(f.remote(1))\nprint('got', value)")
    *of_the_task, last = cell.stdout.splitlines()
    assert (sorted(of_the_task), last) == (["child", "out 1"], "got 1")
    assert cell.stderr == "err 1\n"


def test_what_another_cells_task_prints_is_there_before_the_cell_that_gets_its_result_is_done(kernel, gate_in):
    gate = gate_in(kernel)
    kernel.run(SPEAK)
    submits = kernel.run("ref = speak.remote(gate, 'late')")
    gets = kernel.start("print(jray.get(ref))")
    gate.let_through()
    kernel.finish(gets)
    assert (submits.stdout, submits.stderr) == ("late\n", "late in red\n")
    assert (gets.stdout, gets.stderr) == ("late\n", "")


def test_late_prints_find_their_cell_while_another_cell_runs(kernel, gate_in):
    task_gate, cell_gate = gate_in(kernel, "task_gate"), gate_in(kernel, "cell_gate")
    kernel.run(SPEAK)
    submits = kernel.run("ref = speak.remote(task_gate, 'late')")
    runs = kernel.start("print('mine')\ncell_gate.pass_through()\nprint('mine too')")
    cell_gate.wait_for_arrival()
    task_gate.let_through()
    kernel.read_until_stdout(submits, "late\n")
    cell_gate.open()
    kernel.finish(runs)
    assert (submits.stdout, runs.stdout) == ("late\n", "mine\nmine too\n")


def test_late_prints_find_their_cell_after_a_widget_has_sent_a_message(kernel, gate_in):
    gate = gate_in(kernel)
    kernel.run(SPEAK)
    kernel.run("get_ipython().kernel.comm_manager.register_target('widget', lambda comm, message: None)")
    submits = kernel.run("ref = speak.remote(gate, 'late')")
    kernel.send_comm("widget", "click")
    gate.let_through()
    kernel.read_until_true(lambda: (submits.stdout, submits.stderr) == ("late\n", "late in red\n"))


def test_tasks_of_two_cells_speak_at_once_each_under_its_own(kernel, gate_in):
    gates = gate_in(kernel, "left"), gate_in(kernel, "right")
    kernel.run(
        "@jray.remote\ndef talk(gate, word):\n    for number in range(3):\n        gate.pass_through()\n"
        "        print(word, number)"
    )
    cells = [kernel.run(f"{name}_ref = talk.remote({name}, '{name}')") for name in ("left", "right")]
    for _ in range(3):
        for gate in gates:
            gate.let_through()
    waits = kernel.run("_ = jray.get([left_ref, right_ref])")
    assert [cell.stdout for cell in cells] == ["left 0\nleft 1\nleft 2\n", "right 0\nright 1\nright 2\n"]
    assert waits.stdout == ""


def test_what_nested_tasks_print_belongs_to_the_cell_that_submitted_their_root(kernel, gate_in):
    gate = gate_in(kernel)
    kernel.run(
        "@jray.remote\ndef leaf():\n    print('leaf')\n"
        "@jray.remote\ndef branch():\n    print('branch')\n    jray.get(leaf.remote())\n"
        "@jray.remote\ndef root():\n    gate.pass_through()\n    jray.get(branch.remote())"
    )
    submits = kernel.run("ref = root.remote()")
    waits = kernel.start("jray.get(ref)")
    gate.let_through()
    kernel.finish(waits)
    assert (submits.stdout, waits.stdout) == ("branch\nleaf\n", "")


def test_the_last_expression_of_a_task_cell_is_shown_under_it_when_it_is_done(kernel, gate_in):
    gate = gate_in(kernel)
    shown = kernel.run("%%remote\ngate.pass_through()\nx = 41\nx + 1")
    silenced = kernel.run("%%remote\nx + 2;")
    assert shown.displays == []
    gate.let_through()
    other = kernel.run("print(jray.get(x))")
    kernel.read_until_true(lambda: shown.displays)
    assert (shown.displays, silenced.displays, other.displays, other.stdout) == (["42"], [], [], "41\n")


def test_a_task_cell_that_fails_says_so_under_itself_without_being_asked(kernel, gate_in):
    gate = gate_in(kernel)
    failing = kernel.run("%%remote -o y\n_ = gate.pass_through()\ny = 1 / 0")
    assert failing.stderr == ""
    gate.let_through()
    other = kernel.run("jray.wait([y])\nprint('other')")
    kernel.read_until_stderr(failing, "ZeroDivisionError: division by zero\n")
    number = re.escape(failing.label)
    assert re.fullmatch(
        rf"TaskError\(ZeroDivisionError\): Task {number} failed in worker w\d+ \(pid \d+\): "
        r"ZeroDivisionError: division by zero\n\nTraceback in the worker:\n"
        rf"  Cell {number}, line 3, in <module>\n    y = 1 / 0\nZeroDivisionError: division by zero\n",
        failing.stderr,
    ), failing.stderr
    assert (other.stdout, other.stderr) == ("other\n", "")
    assert kernel.run("jray.get(y)").error.startswith("TaskError(ZeroDivisionError): Task In[")


def test_a_cell_whose_input_failed_says_which_task_it_was(kernel):
    kernel.run("%%remote --name source\na = 1 / 0")
    needs = kernel.run("%%remote --name sink\nb = a + 1")
    kernel.read_until_stderr(needs, "Task sink did not run: an argument of it could not be computed.")
    assert needs.stderr.startswith("TaskError(ZeroDivisionError): Task source failed")


def test_a_request_that_can_never_be_met_is_told_under_the_cell(kernel):
    asks = kernel.run("%%remote --resources plutonium=1\nx = 1")
    assert f"Task {asks.label} asks for 1 CPU, 1 plutonium. This runtime has 2 CPU" in asks.stderr


@pytest.mark.parametrize("what", [{"JRAY_NONINTERACTIVE": "1"}, {"names_its_cells": False}], ids=["told", "seen"])
def test_where_late_output_is_lost_a_visible_result_is_waited_for(what):
    with Kernel(**what) as kernel:
        kernel.run("%load_ext jray\nimport jray, time")
        assert kernel.run("%%remote\nx = 2\nx * 21").displays == ["42"]
        assert kernel.run("%%remote\nx * 2;").displays == []
        assert kernel.run("%%remote\ny = time.sleep(600)").error == ""  # nothing to see: not waited for


def test_for_comparison_the_texts_hold_nothing_that_changes_from_run_to_run():
    with Kernel(JRAY_NONINTERACTIVE="1") as kernel:
        kernel.run("%load_ext jray\nimport jray")
        failing = kernel.run("%%remote --name f\n1 / 0\n2")
        assert failing.stderr == (
            "TaskError(ZeroDivisionError): Task f failed: ZeroDivisionError: division by zero\n\n"
            "Traceback in the worker:\n  Cell, line 2, in <module>\n    1 / 0\nZeroDivisionError: division by zero\n"
        )
        assert "pid" not in kernel.run("%jray status").displays[0]


def test_what_a_set_up_function_prints_appears_under_the_cell_that_gave_it_also_in_later_workers(kernel):
    kernel.run("def set_up():\n    print('ready')\n    os.system('echo child')")
    gives = kernel.run("jray.run_on_all(set_up)")
    assert sorted(gives.stdout.splitlines()) == ["child", "ready"]
    restarts = kernel.run("jray.restart()\nprint(jray.get(jray.remote(abs).remote(-1)))")
    assert restarts.stdout == "1\n"
    assert sorted(gives.stdout.splitlines()) == ["child", "child", "ready", "ready"]
