"""Live views in a real kernel: what is published under which cell, and when a widget lives."""

from __future__ import annotations

import subprocess
import sys

import pytest

from jray.widgets.bundle import bundle
from tests.support.kernels import Kernel

WIDGET = "application/vnd.jupyter.widget-view+json"
GATE = "import os, time\ndef wait_for(path):\n    while not os.path.exists(path):\n        time.sleep(0.01)"


@pytest.fixture(scope="module")
def kernel():
    assert bundle() is not None, "The front end was not built: run `make frontend`."
    with Kernel() as kernel:
        kernel.run("%load_ext jray\nimport jray")
        kernel.run("jray.init(num_cpus=2)")
        kernel.run(GATE)
        yield kernel


def until(kernel, condition):
    kernel.read_until_true(condition)


def text(view):
    return view["text/plain"]


def widgets_of(kernel, cell):
    """The lines to the widgets that this cell's views have become."""
    models = [view[WIDGET]["model_id"] for view in cell.views if WIDGET in view]
    return [kernel.comms[model] for model in models]


def running_cell(kernel, gate, **where):
    """A cell that runs until `gate` exists, with its widget."""
    cell = kernel.run(f"%%remote -o out\nwait_for({str(gate)!r})\nout = 5", **where)
    until(kernel, lambda: widgets_of(kernel, cell))
    return cell


class TestCells:
    def test_a_cell_says_at_once_what_stays_true(self, kernel):
        cell = kernel.run("%%remote\nquick = 1")
        assert text(cell.views[0]) == f"{cell.label}: runs as a task; references: quick"
        assert WIDGET not in cell.views[0]

    def test_a_cell_that_is_done_soon_becomes_a_still_picture(self, kernel):
        cell = kernel.run("%%remote\nquick = 1")
        until(kernel, lambda: "finished" in text(cell.views[-1]))
        assert "<code>quick</code>" in cell.views[-1]["text/html"]
        assert WIDGET not in cell.views[-1]

    def test_a_cell_that_takes_longer_has_a_widget_until_it_is_done(self, kernel, tmp_path):
        cell = running_cell(kernel, tmp_path / "gate")
        (comm,) = widgets_of(kernel, cell)
        assert comm.views[0]["state"] == "running"
        assert (comm.states[0]["_esm"], comm.states[0]["_css"]) == (bundle().js, bundle().css)
        assert "text/html" in cell.views[-1]
        (tmp_path / "gate").touch()
        until(kernel, lambda: "finished" in text(cell.views[-1]))
        assert WIDGET not in cell.views[-1]
        assert comm.views[-1]["state"] == "finished"
        assert [(row["name"], row["type"]) for row in comm.views[-1]["objects"]] == [("out", "int")]

    def test_a_cell_that_has_waited_for_another_says_how_long_it_ran_itself(self, kernel):
        kernel.run("%%remote\nimport time\ntime.sleep(0.7)\nslow = 1")
        cell = kernel.run("%%remote\nquick = slow + 1")
        until(kernel, lambda: "finished" in text(cell.views[-1]))
        assert "(ran for 0.0 s)" in cell.views[-1]["text/html"]

    def test_a_failed_cell_says_what_was_raised(self, kernel):
        cell = kernel.run("%%remote\n1 / 0")
        until(kernel, lambda: text(cell.views[-1]) == f"{cell.label}: failed")
        assert "ZeroDivisionError" in cell.views[-1]["text/html"]

    def test_a_view_changes_while_another_cell_keeps_the_kernel_busy(self, kernel, tmp_path):
        cell = kernel.run("%jray dashboard")
        until(kernel, lambda: widgets_of(kernel, cell))
        (comm,) = widgets_of(kernel, cell)
        seen = len(comm.views)
        kernel.run("@jray.remote\ndef watched(path):\n    wait_for(path)")
        busy = kernel.start(f"ref = watched.remote({str(tmp_path / 'gate')!r})\nwait_for({str(tmp_path / 'end')!r})")
        until(kernel, lambda: any("watched" in str(view["tasks"]) for view in comm.views[seen:]))
        (tmp_path / "gate").touch()
        until(kernel, lambda: {"name": "watched", "counts": {"finished": 1}} in comm.views[-1]["tasks"])
        (tmp_path / "end").touch()  # only now the busy cell ends
        kernel.finish(busy)

    def test_a_widget_is_closed_when_its_cell_runs_again(self, kernel, tmp_path):
        cell = running_cell(kernel, tmp_path / "gate", cell_id="again")
        (comm,) = widgets_of(kernel, cell)
        assert not comm.is_closed
        kernel.run("1", cell_id="again")
        until(kernel, lambda: comm.is_closed)
        (tmp_path / "gate").touch()
        assert kernel.value("jray.get(out)") == "5"

    def test_a_widget_stays_for_a_page_that_is_loaded_anew(self, kernel, tmp_path):
        cell = running_cell(kernel, tmp_path / "gate")
        (comm,) = widgets_of(kernel, cell)
        (tmp_path / "gate").touch()
        until(kernel, lambda: "finished" in text(cell.views[-1]))
        kernel.run("1")
        assert not comm.is_closed

    def test_watching_keeps_no_result_alive(self, kernel, tmp_path):
        cell = running_cell(kernel, tmp_path / "gate")
        (tmp_path / "gate").touch()
        until(kernel, lambda: "finished" in text(cell.views[-1]))
        count = "len(jray.api.running()._engine.books.values)"
        before = int(kernel.value(count))
        kernel.run("del out")
        assert int(kernel.value(f"(jray.api.running().view(), {count})[1]")) == before - 1

    def test_nothing_is_shown_where_texts_must_be_the_same_at_each_run(self):
        with Kernel(JRAY_NONINTERACTIVE="1") as kernel:
            kernel.run("%load_ext jray")
            cell = kernel.run("%%remote\nx = 1\nx")
            assert (cell.views, cell.displays) == ([], ["1"])
            assert kernel.run("x").displays == ["ObjectRef"]

    def test_a_picture_that_nobody_can_change_later_is_true_for_ever(self):
        with Kernel(names_its_cells=False) as kernel:  # as nbclient, and with it nbconvert, does
            kernel.run("%load_ext jray")
            waited = kernel.run("%%remote\nx = 1\nx")
            assert [text(view) for view in waited.views][-1] == f"{waited.label}: finished; references: x"
            late = kernel.run("%%remote\ny = 1")
            assert text(late.views[0]) == f"{late.label}: runs as a task; references: y"
            kernel.run("import jray; jray.get(y)")
            until(kernel, lambda: text(late.views[-1]) == f"{late.label}: finished; references: y")
            assert kernel.comms == {}


class TestDashboard:
    def test_nobody_looks_nothing_is_sent(self, kernel):
        cell = kernel.run("%jray dashboard")
        until(kernel, lambda: widgets_of(kernel, cell))
        model = next(view[WIDGET]["model_id"] for view in cell.views if WIDGET in view)
        kernel.say(model, {"op": "seen", "viewer": "a"})
        kernel.say(model, {"op": "unseen", "viewer": "a"})
        kernel.run("jray.get(jray.remote(lambda: 1).options(name='unwatched').remote())")
        assert not any("unwatched" in str(view) for view in kernel.comms[model].views)
        kernel.say(model, {"op": "seen", "viewer": "a"}, waits=False)
        until(kernel, lambda: "unwatched" in str(kernel.comms[model].views[-1]))

    def test_a_dashboard_is_closed_when_its_cell_runs_again(self, kernel):
        first = kernel.run("%jray dashboard", cell_id="board")
        until(kernel, lambda: widgets_of(kernel, first))
        kernel.run("%jray dashboard", cell_id="board")
        (comm,) = widgets_of(kernel, first)
        until(kernel, lambda: comm.is_closed)

    def test_an_idle_dashboard_sends_nothing(self, kernel):
        cell = kernel.run("%jray dashboard")
        until(kernel, lambda: widgets_of(kernel, cell))
        (comm,) = widgets_of(kernel, cell)
        looks = (
            "import time, jray.extension as e\n"
            "shown = list(e._loaded.values())[0].feed._shown[-1]\n"
            "was = shown.looked\n"
            "while shown.looked == was:\n    time.sleep(0.01)"
        )
        kernel.run(looks)
        sent = len(comm.views)
        kernel.run(looks)  # it has looked once more, and seen nothing new
        assert len(comm.views) == sent

    def test_leaves_still_pictures_when_the_kernel_ends(self):
        with Kernel() as kernel:
            kernel.run("%load_ext jray\nimport jray")
            cell = kernel.run("%jray dashboard")
            until(kernel, lambda: widgets_of(kernel, cell))
            kernel.shut_down()
            until(kernel, lambda: WIDGET not in cell.views[-1])
            assert "jray" in cell.views[-1]["text/html"]

    def test_without_a_front_end_there_are_still_pictures_and_a_word(self, tmp_path):
        hide = f"import jray.widgets.bundle as b, jray.widgets.feed as f, jray.widgets.place as p, pathlib\nmissing = pathlib.Path({str(tmp_path)!r})"
        with Kernel() as kernel:
            kernel.run("%load_ext jray\nimport jray")
            kernel.run(f"{hide}\np.bundle = lambda: b.bundle(missing)\nf.why_none = lambda: b.why_none(missing)")
            cell = kernel.run("%jray dashboard")
            assert "run `make frontend`" in cell.stdout
            kernel.run("jray.get(jray.remote(lambda: 1).options(name='alpha').remote())")
            until(kernel, lambda: "alpha" in cell.views[-1]["text/html"])
            assert kernel.comms == {}

    def test_survives_a_runtime_that_is_stopped_and_started(self):
        with Kernel() as kernel:
            kernel.run("%load_ext jray\nimport jray")
            cell = kernel.run("%jray dashboard")
            assert "not running" in cell.views[0]["text/html"]
            until(kernel, lambda: widgets_of(kernel, cell))
            (comm,) = widgets_of(kernel, cell)
            kernel.run("jray.get(jray.remote(lambda: 1).options(name='alpha').remote())")
            until(kernel, lambda: "alpha" in str(comm.views[-1]))
            kernel.run("jray.shutdown()")
            until(kernel, lambda: comm.views[-1]["closed"])
            kernel.run("jray.get(jray.remote(lambda: 1).options(name='beta').remote())")
            until(kernel, lambda: "beta" in str(comm.views[-1]) and not comm.views[-1]["closed"])


class TestMaps:
    def test_a_map_that_takes_long_shows_how_far_it_is(self, kernel, tmp_path):
        kernel.run("@jray.remote\ndef step(path):\n    wait_for(path)")
        paths = [str(tmp_path / name) for name in "abcd"]
        (tmp_path / "a").touch()
        cell = kernel.run(f"refs = step.map({paths!r})")
        until(kernel, lambda: widgets_of(kernel, cell))
        (comm,) = widgets_of(kernel, cell)
        until(kernel, lambda: comm.views[-1]["headline"].startswith("1 of 4 done"))
        for name in "bcd":
            (tmp_path / name).touch()
        until(kernel, lambda: text(cell.views[-1]) == "step.map: finished")
        assert "all 4 done" in cell.views[-1]["text/html"]

    def test_a_quick_map_shows_nothing(self, kernel):
        kernel.run("@jray.remote\ndef quick(x):\n    return x")
        cell = kernel.run("jray.get(quick.map(range(20)))")
        until_settled = "import time, jray.extension as e\nfeed = list(e._loaded.values())[0].feed\n"
        until_settled += "while any(type(s.source).__name__ == 'MapSource' for s in feed._shown):\n    time.sleep(0.01)"
        kernel.run(until_settled)
        assert cell.views == []


class TestFaces:
    def test_a_ref_says_state_type_size_and_the_cell_that_made_it(self, kernel):
        made = kernel.run("import numpy as np\nref = jray.put(np.ones((100, 3)))")
        cell = kernel.run("ref")
        assert cell.displays[0].endswith(f"): ready, ndarray 100 × 3 of float64, 2.5 KiB, made by {made.label} (put)")
        assert cell.displays[0].startswith("ObjectRef(")
        assert "<code>" in cell.bundles[0]["text/html"]

    def test_a_ref_of_a_running_task_says_so_and_does_not_wait(self, kernel, tmp_path):
        kernel.run("@jray.remote\ndef hold(path):\n    wait_for(path)")
        kernel.run(f"held = hold.remote({str(tmp_path / 'gate')!r})")
        assert "): running, made by In[" in kernel.run("held").displays[0]
        (tmp_path / "gate").touch()
        kernel.run("jray.get(held)")

    def test_a_failed_ref_says_what_was_raised(self, kernel):
        kernel.run("bad = jray.remote(lambda: 1 / 0).remote()\njray.wait([bad])")
        assert "): failed, ZeroDivisionError" in kernel.run("bad").displays[0]

    def test_refs_in_a_list_are_short(self, kernel):
        assert kernel.run("short = jray.put(1)\n[short, short]").displays[0].count(":") == 0

    def test_a_ref_of_a_runtime_that_is_gone_still_has_a_face(self):
        with Kernel() as kernel:
            kernel.run("%load_ext jray\nimport jray")
            kernel.run("old = jray.put(1)\njray.shutdown()")
            assert kernel.run("old").displays[0].startswith("ObjectRef(")
            kernel.run("jray.init()")
            assert "gone" in kernel.run("old").displays[0]


def test_loading_jray_does_not_import_what_widgets_need():
    code = (
        "from IPython.testing.globalipapp import start_ipython; shell = start_ipython()\n"
        "shell.run_line_magic('load_ext', 'jray'); import sys\n"
        "print([name for name in ('anywidget', 'ipywidgets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip().endswith("[]")
