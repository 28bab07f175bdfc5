"""Rich results of tasks, in a real kernel: formatted in the worker, shown under the cell that submitted them."""

from __future__ import annotations

import base64

import pytest

from tests.support.kernels import Kernel


@pytest.fixture(scope="module")
def kernel():
    with Kernel() as kernel:
        kernel.run("%load_ext jray\nimport jray")
        kernel.run("jray.init(num_cpus=2)")
        yield kernel


def displayed(kernel, code, number=1):
    """What a task cell shows, when it has shown so much."""
    cell = kernel.run(code)
    kernel.read_until_true(lambda: len(cell.bundles) >= number)
    return cell.bundles


def test_a_table_has_its_html(kernel):
    (bundle,) = displayed(kernel, "%%remote\nimport pandas as pd\npd.DataFrame({'a': [1, 2]})")
    assert bundle["text/plain"] == "   a\n0  1\n1  2"
    assert "<table" in bundle["text/html"]


def test_a_plot_that_is_not_shown_by_hand_appears_at_the_end_of_its_cell(kernel):
    pytest.importorskip("matplotlib", reason="nothing else of jray needs it")
    bundles = displayed(kernel, "%%remote\nimport matplotlib.pyplot as plt\nplt.plot([1, 2]);\nprint('drawn')")
    assert base64.b64decode(bundles[0]["image/png"]).startswith(b"\x89PNG")
    again = kernel.run("%%remote --get\nn = len(plt.get_fignums())")
    assert again.bundles == []
    assert kernel.value("n") == "0"


def test_long_containers_are_laid_out_as_ipython_does(kernel):
    (bundle,) = displayed(kernel, "%%remote\nlist(range(100))")
    assert kernel.run("list(range(100))").displays == [bundle["text/plain"]]


def test_numbers_and_texts_look_as_in_the_notebook(kernel):
    assert displayed(kernel, "%%remote\n'ü'")[0] == {"text/plain": "'ü'"}
    assert displayed(kernel, "%%remote\n41 + 1")[0] == {"text/plain": "42"}


def test_none_and_a_semicolon_show_nothing(kernel):
    assert kernel.run("%%remote --get\nx = 1\nNone").bundles == []
    assert kernel.run("%%remote --get\nx = 1\n[x];").bundles == []


def test_an_object_with_its_own_html_is_shown_with_it(kernel):
    kernel.run(
        "class Face:\n    def _repr_html_(self):\n        return '<b>face</b>'\n    def __repr__(self):\n        return 'face'"
    )
    (bundle,) = displayed(kernel, "%%remote\nFace()")
    assert bundle == {"text/plain": "face", "text/html": "<b>face</b>"}


def test_display_inside_a_function_appears_under_the_cell_that_called_it(kernel):
    kernel.run("@jray.remote\ndef show(x):\n    display(x, {'b': 1})\n    print('printed')\n    return 7")
    cell = kernel.run("jray.get(show.remote('a'))")
    assert cell.displays == ["'a'", "{'b': 1}", "7"]
    assert cell.stdout == "printed\n"


def test_display_that_was_imported_works_too(kernel):
    kernel.run(
        "from IPython.display import HTML, display as imported\n@jray.remote\ndef show():\n    imported(HTML('<i>x</i>'))"
    )
    cell = kernel.run("jray.get(show.remote())")
    assert cell.bundles == [{"text/plain": "<IPython.core.display.HTML object>", "text/html": "<i>x</i>"}]


def test_what_a_nested_task_displays_goes_to_the_cell_that_all_started_in(kernel):
    kernel.run(
        "@jray.remote\ndef inner():\n    display('inner')\n@jray.remote\ndef outer():\n    return jray.get(inner.remote())"
    )
    assert kernel.run("jray.get(outer.remote())").displays == ["'inner'"]


def test_what_is_displayed_stands_between_the_lines_printed_before_and_after(kernel):
    seen = []
    cell = kernel.start("%%remote --get\nprint('before')\ndisplay(1)\nprint('after')\ny = 1")
    note = kernel._note

    def in_order(message):
        note(message)
        content = message["content"]
        is_output = message["msg_type"] in {"stream", "display_data"} and "jray" not in content.get("metadata", {})
        if message["parent_header"].get("msg_id") == cell.message_id and is_output:
            seen.append(content.get("text") or content["data"]["text/plain"])

    kernel._note = in_order
    try:
        kernel.finish(cell)
    finally:
        kernel._note = note
    assert "".join(seen) == "before\n1after\n"


def test_a_display_can_be_changed_by_its_handle(kernel):
    messages = []
    cell = kernel.start("%%remote --get\nhandle = display('old', display_id='d')\nhandle.update('new')\nz = 1")
    kernel.read_until(lambda message: messages.append(message) or message["msg_type"] == "update_display_data")
    kernel.finish(cell)
    assert messages[-1]["content"]["transient"] == {"display_id": "d"}
    assert messages[-1]["content"]["data"] == {"text/plain": "'new'"}
    assert messages[-1]["parent_header"]["msg_id"] == cell.message_id


def test_a_formatter_that_fails_costs_the_picture_and_not_the_results(kernel):
    kernel.run(
        "class Bad:\n    def _repr_html_(self):\n        raise ValueError('no picture')\n    def __repr__(self):\n        return 'bad'"
    )
    cell = kernel.run("%%remote\nw = 5\nBad()")
    kernel.read_until_true(lambda: cell.bundles)
    assert cell.bundles[0]["text/plain"] == "bad"
    assert kernel.value("jray.get(w)") == "5"


def test_display_needs_no_stdout(kernel):
    kernel.run("@jray.remote\ndef show():\n    import sys\n    sys.stdout = None\n    display('x')")
    assert kernel.run("jray.get(show.remote())").displays == ["'x'"]
    kernel.run("jray.restart()")  # that worker has none now
