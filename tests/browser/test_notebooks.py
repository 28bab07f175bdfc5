"""What a user sees in JupyterLab and in Notebook 7."""

from __future__ import annotations

from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_a_remote_cell_runs_and_shows_its_result(open_notebook):
    page = open_notebook(["%load_ext jray", "%%remote\nprint('in a worker')\nanswer = 6 * 7\nanswer", "answer"])

    page.run_cell(0)
    page.run_cell(1)
    page.wait_for_output(1, "in a worker")
    page.wait_for_output(1, "42")
    page.run_cell(2)
    page.wait_for_output(2, "ObjectRef")


def test_what_a_task_prints_is_shown_while_its_cell_is_busy(open_notebook, server):
    gate = server.root / "gate"
    task = f"%%remote\nprint('I wait')\nwhile not __import__('os').path.exists({str(gate)!r}): pass\nprint('I go on')"
    page = open_notebook(["%load_ext jray\nimport jray", f"{task}\nanswer = 42", "jray.get(answer)"])
    page.run_cell(0)
    page.run_cell(1)

    page.start_cell(2)
    page.wait_for_output(1, "I wait")
    gate.touch()
    page.wait_until_done(2)

    page.wait_for_output(1, "I go on")
    page.wait_for_output(2, "42")
    gate.unlink()


def test_results_are_still_there_after_a_reload(open_notebook):
    page = open_notebook(["%load_ext jray", "%%remote\nprint('in a worker')\n6 * 7", "1 / 0"])
    for index in range(3):
        page.run_cell(index)
    page.wait_for_output(1, "42")
    page.save()

    page.reload()

    page.wait_for_output(1, "in a worker")
    page.wait_for_output(1, "42")
    page.wait_for_output(2, "ZeroDivisionError")


@pytest.mark.timeout(300)  # a minute, or several when the machine is busy
@pytest.mark.parametrize("name", ["tour", "definitions"])
def test_a_notebook_of_ours_runs(open_notebook, name):
    page = open_notebook(NOTEBOOKS / f"{name}.ipynb")

    page.run_all()

    page.screenshot(f"{name}-in-{page.front_end}")
