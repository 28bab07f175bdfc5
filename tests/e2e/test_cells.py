"""The main uses in a real kernel: chains of cells, definitions, expressions, awaiting, and notebooks run from outside."""

from __future__ import annotations

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError
from nbconvert.preprocessors import ExecutePreprocessor


def test_a_chain_of_cells_is_a_graph(kernel, gate_in):
    gate = gate_in(kernel)
    kernel.run("k = 3")
    kernel.run("%%remote\ngate.pass_through()\na = k * 2")
    left = kernel.run("%%remote\nb = a + 1\nb")
    kernel.run("%%remote\nc = a + 2")
    last = kernel.run("%%remote\nd = b * c\nd")
    assert kernel.value("type(d).__name__") == "ObjectRef"
    gate.let_through()
    assert kernel.value("jray.get([a, b, c, d])") == "[6, 7, 8, 56]"
    kernel.read_until_true(lambda: left.displays and last.displays)
    assert (left.displays, last.displays) == (["7"], ["56"])


def test_the_submitted_cell_sees_the_names_as_they_were(kernel, gate_in):
    gate = gate_in(kernel)
    kernel.run("n = 1\ndef f(): return n")
    kernel.run("%%remote\ngate.pass_through()\nx = f() + n")
    kernel.run("n = 100\ndef f(): return 1000")
    gate.let_through()
    assert kernel.value("jray.get(x)") == "2"


def test_a_cell_of_definitions_and_redefined_helpers(kernel):
    assert kernel.run("%%remote\ndef f(x):\n    return helper(x)\ndef helper(x):\n    return x + 1").stdout == (
        "remote: f, helper\n"
    )
    assert kernel.value("f(1), jray.get(f.remote(1))") == "2 2"
    kernel.run("def helper(x): return x - 1")
    assert kernel.value("f(1), jray.get(f.remote(1))") == "0 0"


def test_a_class_of_a_cell_is_the_class(kernel):
    kernel.run("%%remote\nclass Point:\n    def __init__(self, x): self.x = x\np = Point(3)")
    assert kernel.value("type(jray.get(p)) is Point, jray.get(p).x") == "True 3"


def test_references_can_be_awaited_together(kernel):
    kernel.run("import asyncio\n@jray.remote\ndef f(x): return x * 2")
    assert kernel.value("await f.remote(4)") == "8"
    assert kernel.value("await asyncio.gather(*(f.remote(n) for n in range(3)))") == "[0, 2, 4]"


def test_prints_of_a_task_that_is_awaited_are_there_before_the_cell_is_done(kernel):
    kernel.run("@jray.remote\ndef f(): print('in the task')")
    cell = kernel.run("await f.remote()\nprint('after')")
    assert cell.stdout == "in the task\nafter\n"


def execute(*cells, **options):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    ExecutePreprocessor(timeout=60, kernel_name="python3", **options).preprocess(notebook, {"metadata": {"path": "."}})
    return [cell.outputs for cell in notebook.cells]


@pytest.mark.parametrize("setting", ["1", None])
def test_nbconvert_shows_results_and_prints_under_their_cells(monkeypatch, setting):
    if setting is not None:
        monkeypatch.setenv("JRAY_NONINTERACTIVE", setting)
    _, first, second, last = execute(
        "%load_ext jray\nimport jray",
        "%%remote\nprint('computing')\na = 6\na * 7",
        "%%remote\nb = a + 1",
        "print(jray.get(b))",
    )
    first, second = ([output for output in outputs if not is_view(output)] for outputs in (first, second))
    assert [output["output_type"] for output in first] == ["stream", "display_data"]
    assert (first[0]["text"], first[1]["data"]["text/plain"]) == ("computing\n", "42")
    assert (second, last[0]["text"]) == ([], "7\n")


def is_view(output):
    """Whether it is the picture of how the cell does."""
    return "jray" in output.get("metadata", {})


def test_nbconvert_has_a_still_picture_of_each_task_cell(tmp_path):
    gate = str(tmp_path / "gate")
    _, waited, late, _ = execute(
        "%load_ext jray\nimport jray",
        "%%remote\na = 6\na * 7",
        f"%%remote\nimport os\nwhile not os.path.exists({gate!r}): pass\nb = a + 1",
        f"open({gate!r}, 'w').close()\njray.get(b)",
    )
    (picture,) = (output for output in waited if is_view(output))
    assert picture["data"].keys() == {"text/html", "text/plain"}
    assert "finished after" in picture["data"]["text/html"]
    assert "finished after" in late[0]["data"]["text/html"], "brought up to date by the cell that waited for it"


def test_a_failing_get_stops_nbconvert_with_the_tasks_error():
    with pytest.raises(CellExecutionError, match="ZeroDivisionError: division by zero"):
        execute("%load_ext jray\nimport jray", "%%remote\na = 1 / 0", "jray.get(a)")
