"""Live views as a user sees them: they change while a cell is busy, and are still pictures after a reload."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow

# As the menu's "Restart Kernel", without its question.
RESTART = "() => notebookPanel().sessionContext.session.kernel.restart()"
# The next picture is on the screen, and whoever watches what is in sight has been told.
NEXT_FRAME = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
LOAD = "%load_ext jray\nimport jray"
GATE = "import os, time\ndef wait_for(path):\n    while not os.path.exists(path):\n        time.sleep(0.01)"


def widget(page, index):
    """What the front end has drawn under a cell."""
    return page.output(index).locator(".jray")


def test_the_dashboard_changes_while_a_cell_keeps_the_kernel_busy(open_notebook, tmp_path):
    hold = "@jray.remote\ndef hold(path):\n    wait_for(path)"
    busy = f"refs = hold.map([{str(tmp_path / 'gate')!r}] * 3)\nwait_for({str(tmp_path / 'end')!r})"
    page = open_notebook([LOAD, "jray.init(num_cpus=2)", GATE, hold, "%jray dashboard", busy])
    for index in range(5):
        page.run_cell(index)
    expect(widget(page, 4)).to_be_visible()
    page.start_cell(5)
    expect(widget(page, 4)).to_contain_text("2 running, 1 queued")
    expect(widget(page, 4)).not_to_have_css("border-left-width", "0px")  # the style sheet has come along
    page.screenshot(f"dashboard-{page.front_end}")
    (tmp_path / "gate").touch()
    expect(widget(page, 4)).to_contain_text("3 finished")
    assert page.is_busy(5), "all of this while the cell runs"
    (tmp_path / "end").touch()
    page.wait_until_done(5)


def test_a_cell_is_followed_while_it_runs_and_leaves_a_still_picture(open_notebook, tmp_path):
    page = open_notebook([LOAD, GATE, f"%%remote\nwait_for({str(tmp_path / 'gate')!r})\nmodel = [1, 2, 3]"])
    for index in range(3):
        page.run_cell(index)
    expect(widget(page, 2)).to_contain_text(re.compile(r"running on w\d+ for"))
    expect(widget(page, 2)).to_contain_text("model")
    page.screenshot(f"cell-{page.front_end}")
    (tmp_path / "gate").touch()
    page.wait_for_output(2, "finished after")
    expect(widget(page, 2)).to_have_count(0)

    page.save()
    page.reload()
    page.wait_for_output(2, "finished after")
    page.wait_for_output(2, "model")
    page.output(2).locator("summary").click()
    page.wait_for_output(2, "list of 3")
    page.screenshot(f"still-{page.front_end}")


def test_a_page_that_is_loaded_anew_follows_what_still_runs(open_notebook, tmp_path):
    page = open_notebook([LOAD, GATE, f"%%remote\nwait_for({str(tmp_path / 'gate')!r})\nmodel = [1, 2, 3]"])
    for index in range(3):
        page.run_cell(index)
    expect(widget(page, 2)).to_contain_text("running")
    page.save()
    page.reload()
    expect(widget(page, 2)).to_contain_text("running")
    (tmp_path / "gate").touch()
    expect(widget(page, 2)).to_contain_text("finished after")


def test_the_still_picture_is_there_without_a_kernel(open_notebook):
    page = open_notebook([LOAD, "%%remote\nmodel = [1, 2, 3]", "%jray dashboard"])
    page.run_all()
    page.wait_for_output(1, "finished after")
    expect(widget(page, 2)).to_contain_text("idle")
    page.stop_kernel()
    expect(widget(page, 2)).to_have_count(0)  # the kernel has left a still picture
    page.save()
    page.reload()
    page.wait_for_output(1, "finished after")
    page.wait_for_output(2, "In[2]")
    expect(page.output(2)).not_to_contain_text("Error displaying widget")


def test_a_dashboard_says_that_its_kernel_was_restarted(open_notebook):
    page = open_notebook([LOAD, "jray.init(num_cpus=2)", "%jray dashboard"])
    errors = []
    page.page.on("pageerror", lambda error: errors.append(str(error)))
    page.run_all()
    expect(widget(page, 2)).to_contain_text("idle")
    page.page.evaluate(RESTART)
    expect(widget(page, 2)).to_contain_text("the kernel was restarted or has ended")
    page.screenshot(f"restarted-{page.front_end}")
    page.wait_until_ready()
    page.output(2).evaluate("node => { node.style.display = 'none'; }")  # out of sight: it would tell the kernel
    page.page.evaluate(NEXT_FRAME)
    assert errors == []
