"""Things that only a notebook has, in functions that go to workers: its streams, its shell, its widgets."""

from __future__ import annotations

import pytest

PRINTS = """
def by_default(file=sys.stdout): print("by default", file=file)
out, err = sys.stdout, sys.stderr
@jray.remote
def prints():
    by_default()
    out.write("by a name\\n")
    print("an error", file=err)
"""


def test_a_function_that_has_the_streams_of_the_notebook_prints_under_its_cell(kernel):
    assert kernel.run(PRINTS).error == ""
    cell = kernel.run("jray.get(prints.remote())")
    assert (cell.error, cell.stdout, cell.stderr) == ("", "by default\nby a name\n", "an error\n")


def test_also_while_what_it_prints_is_captured(kernel):
    assert kernel.run(PRINTS).error == ""
    kernel.run("%%capture captured\njray.get(prints.remote())")
    assert kernel.run("print(captured.stdout, captured.stderr)").stdout == "by default\nby a name\n an error\n\n"


SHELL = (
    "the notebook's shell, get_ipython() (ipykernel.zmqshell.ZMQInteractiveShell). A task runs in a worker, which has no "
    "notebook. Ask the shell here, and give the task what it says."
)
SLIDER = (
    "a widget (ipywidgets.widgets.widget_int.IntSlider). It is tied to the page of this notebook. Give what is needed of "
    "it, such as widget.value."
)
FILE = (
    "a file object (_io.TextIOWrapper). It is open in this process only. Open it in the task that needs it: give it the "
    "name."
)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def g(): return get_ipython().user_ns", f"Function g can't be sent to a worker: g → get_ipython → self is {SHELL}"),
        ("shell = get_ipython()\ndef g(): return shell", f"Function g can't be sent to a worker: g → shell is {SHELL}"),
        ("def g(): return slider.value", f"Function g can't be sent to a worker: g → slider is {SLIDER}"),
        ("def g(x=0, of=None): pass\nargs = [1, {'x': slider}]", f"An argument of g can't be sent to a worker: of[\"x\"] is {SLIDER}"),
        (
            "Out[99] = open('/dev/null')\ndef g(): return Out[1]",
            f"Function g can't be sent to a worker: g → Out[99] is {FILE}",
        ),
    ],
)  # fmt: skip
def test_what_belongs_to_the_notebook_is_told_at_the_submitting_line(kernel, code, said):
    kernel.run("import ipywidgets\nslider, args = ipywidgets.IntSlider(), []")
    assert kernel.run(code).error == ""
    cell = kernel.run("jray.remote(g).remote(*args)")
    assert cell.error == f"NotPicklable: {said}"
    assert "cannot pickle" not in cell.traceback
    kernel.run("slider.close()")


@pytest.mark.parametrize("code", ["%%remote\nx = slider.value", "x = %remote slider.value"])
def test_cells_that_use_a_widget_are_told_so(kernel, code):
    kernel.run("import ipywidgets\nslider = ipywidgets.IntSlider()")
    cell = kernel.run(code)
    assert cell.stderr == f"UsageError: {cell.label} was not started: slider is {SLIDER}\n"
    kernel.run("slider.close()")
