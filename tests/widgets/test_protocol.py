"""Views: the words and numbers that the page, the still picture and the plain text show."""

from __future__ import annotations

import json

import pytest

from jray.runtime.core.glances import Glance, ObjectGlance, TaskGlance
from jray.runtime.core.views import FunctionView
from jray.runtime.engine.books import Maker
from jray.runtime.engine.pictures import Seen, SeenObject
from jray.widgets.protocol import (
    OVER,
    Naming,
    Progress,
    Work,
    cell_view,
    closed,
    dashboard_view,
    in_time,
    map_view,
    nothing_view,
    submitted_view,
)
from jray.widgets.still import html_of, plain_of

WORK = Work(label="In[5]", origin=7, began=100.0)
NAMING = Naming({17: "model", 18: "data"}, lambda origin: f"In[{origin}]" if origin else None)


def seen_object(number=17, state="ready", *, words="", nbytes=24, kind="DataFrame 3 × 1", maker=None):
    maker = Maker("In[5]", 5) if maker is None else maker
    return SeenObject(ObjectGlance(number, state, words, 0), nbytes, kind, maker)


def glance(functions=(), more_objects=0, **changes):
    values = {
        "total": {"CPU": 2.0},
        "available": {"CPU": 0.5},
        "workers": 2,
        "busy_workers": 1,
        "store_limit": 1000,
        "store_used": 100,
        "on_disk": 0,
        "functions": tuple(FunctionView(name=name, counts=counts) for name, counts in functions),
        "objects": (),
        "more_objects": more_objects,
    }
    return Glance(**values | changes)


def seen(task=None, objects=(), at=103.0, **changes):
    return Seen(at, glance(**changes), tuple(objects), task)


def task(state="running", worker=2, missing=(), words=None, since=100.5):
    return TaskGlance(state, since, worker, missing, state if words is None else words)


class TestCells:
    def test_a_running_cell_says_where_and_for_how_long(self):
        view = cell_view(WORK, seen(task()), NAMING, None, 103.0)
        assert (view["state"], view["headline"]) == ("running", "running on w2 for 2.5 s")

    def test_a_waiting_cell_names_what_it_waits_for(self):
        view = cell_view(WORK, seen(task("waiting", None, (18, 19))), NAMING, None, 103.0)
        assert (view["state"], view["headline"]) == ("waiting", "waiting for data, 13")

    def test_a_queued_cell_says_why(self):
        why = "queued: it needs 4 CPU; free now: 0.5 CPU"
        view = cell_view(WORK, seen(task("queued", None, words=why)), NAMING, None, 103.0)
        assert view["headline"] == why

    def test_a_finished_cell_says_after_what_time(self):
        view = cell_view(WORK, seen(), NAMING, seen_object(99), 101.5)
        assert (view["state"], view["headline"]) == ("finished", "finished after 1.5 s")

    def test_a_cell_that_has_waited_says_how_long_it_ran(self):
        view = cell_view(WORK, seen(), NAMING, seen_object(99), 106.5, took=0.3)
        assert view["headline"] == "finished after 6.5 s (ran for 0.3 s)"
        assert cell_view(WORK, seen(), NAMING, seen_object(99), 100.6, took=0.3)["headline"] == "finished after 0.6 s"

    def test_a_failed_cell_says_what_was_raised(self):
        view = cell_view(WORK, seen(), NAMING, seen_object(99, "failed", kind="ZeroDivisionError"), 101.5)
        assert (view["state"], view["headline"]) == ("failed", "failed after 1.5 s: ZeroDivisionError")

    def test_a_cell_whose_runtime_was_stopped_is_lost(self):
        running = cell_view(WORK, seen(task()), NAMING, None, 103.0)
        assert closed(running)["state"] in OVER
        assert closed(running)["headline"] == "jray was stopped before it was done"
        assert cell_view(WORK, seen(), NAMING, None, 103.0)["state"] == "lost"

    def test_a_cell_that_had_ended_stays_as_it_was_when_jray_is_stopped(self):
        view = cell_view(WORK, seen(), NAMING, seen_object(99), 101.5)
        assert closed(view) == view | {"closed": True}

    def test_objects_carry_their_names_types_sizes_and_makers(self):
        objects = [seen_object(), seen_object(18, "pending", words="running", kind="", maker=Maker("score", 5))]
        rows = cell_view(WORK, seen(task(), objects), NAMING, None, 103.0)["objects"]
        assert rows == [
            {
                "id": "11",
                "name": "model",
                "state": "ready",
                "words": "",
                "size": 24,
                "type": "DataFrame 3 × 1",
                "made_by": "In[5]",
            },
            {
                "id": "12",
                "name": "data",
                "state": "pending",
                "words": "running",
                "size": None,
                "type": "",
                "made_by": "In[5] (score)",
            },
        ]


class TestMaps:
    def test_says_how_far_it_is_and_how_long_it_will_take(self):
        functions = [("score", {"running": 2, "finished": 9, "failed": 1})]
        view = map_view(WORK, seen(at=110.0, functions=functions), NAMING, Progress("score", 10, 40, failed=1))
        assert view["headline"] == "10 of 40 done after 10 s, about 30 s left, 1 failed"
        assert view["state"] == "running"

    def test_does_not_guess_before_the_first_is_done(self):
        view = map_view(WORK, seen(at=101.0), NAMING, Progress("score", 0, 40))
        assert view["headline"] == "0 of 40 done after 1.0 s"

    @pytest.mark.parametrize(
        ("counts", "state"), [({"finished": 4}, "finished"), ({"finished": 3, "failed": 1}, "failed")]
    )
    def test_ends_as_its_tasks_did(self, counts, state):
        progress = Progress("score", 4, 4, failed=counts.get("failed", 0))
        view = map_view(WORK, seen(functions=[("score", counts)]), NAMING, progress)
        assert view["state"] == state
        assert view["headline"].startswith("all 4 done after 3.0 s")

    def test_failures_of_another_map_in_the_same_cell_are_not_its_own(self):
        functions = [("score", {"finished": 4, "failed": 7})]
        assert map_view(WORK, seen(functions=functions), NAMING, Progress("score", 4, 4))["state"] == "finished"

    def test_failures_of_results_that_nobody_holds_are_counted_by_name(self):
        functions = [("score", {"finished": 2, "failed": 2})]
        view = map_view(WORK, seen(functions=functions), NAMING, Progress("score", 4, 4, failed=1, gone=3))
        assert view["headline"].endswith("2 failed")

    def test_counts_its_own_function_only(self):
        functions = [("other", {"failed": 7}), ("score", {"finished": 4})]
        assert map_view(WORK, seen(functions=functions), NAMING, Progress("score", 4, 4))["state"] == "finished"


class TestDashboard:
    def test_says_what_goes_on(self):
        functions = [("f", {"running": 1, "queued": 2}), ("g", {"blocked": 1, "finished": 5})]
        assert dashboard_view(seen(functions=functions), NAMING)["headline"] == "1 task running, 3 to come"
        assert dashboard_view(seen(functions=[("g", {"finished": 5})]), NAMING)["headline"] == "idle"

    def test_what_has_something_to_do_stands_first_and_then_the_newest(self):
        functions = [("old", {"finished": 1}), ("busy", {"queued": 1}), ("new", {"finished": 1})]
        assert [row["name"] for row in dashboard_view(seen(functions=functions), NAMING)["tasks"]] == [
            "busy",
            "new",
            "old",
        ]

    def test_rows_are_bounded(self):
        functions = [(f"f{number}", {"finished": 1}) for number in range(1000)]
        assert len(dashboard_view(seen(functions=functions), NAMING)["tasks"]) == 50

    def test_used_is_what_is_not_free(self):
        (cpu,) = dashboard_view(seen(), NAMING)["resources"]
        assert cpu == {"name": "CPU", "total": 2.0, "used": 1.5}
        (cpu,) = dashboard_view(seen(available={}), NAMING)["resources"]
        assert cpu["used"] == 2.0


@pytest.mark.parametrize(
    "view",
    [
        nothing_view(),
        dashboard_view(seen(objects=[seen_object()], more_objects=3), NAMING),
        cell_view(WORK, seen(task(), [seen_object()]), NAMING, None, 103.0),
        submitted_view(WORK, seen(task(), [seen_object()]), NAMING),
    ],
    ids=["nothing", "dashboard", "cell", "submitted"],
)
class TestEveryView:
    def test_is_json_with_the_same_fields(self, view):
        assert json.loads(json.dumps(view)) == view
        assert view.keys() == nothing_view().keys()

    def test_has_a_still_picture_that_needs_no_script_and_no_style_sheet(self, view):
        html = html_of(view)
        assert "<script" not in html
        assert "class=" not in html
        assert html.count("<table") == html.count("</table>")

    def test_has_one_line_of_text(self, view):
        assert len(plain_of(view).splitlines()) == 1


class TestStillPictures:
    def test_nothing_that_a_user_wrote_is_taken_for_html(self):
        evil = "<img src=x onerror=alert(1)>"
        functions = [(evil, {"running": 1})]
        view = cell_view(
            Work(label=evil, origin=1, began=0.0),
            seen(task(words=evil), [seen_object(kind=evil, maker=Maker(evil, 0))], functions=functions),
            Naming({17: evil}, lambda _: None),
            None,
            1.0,
        )
        assert "<img" not in html_of(view)

    def test_what_may_have_gone_on_since_says_that_it_is_a_moment(self):
        running = cell_view(WORK, seen(task()), NAMING, None, 103.0)
        assert "when this picture was made" in html_of(running)
        for stays in (
            submitted_view(WORK, seen(task()), NAMING),
            cell_view(WORK, seen(), NAMING, seen_object(9), 101.0),
        ):
            assert "when this picture was made" not in html_of(stays)

    def test_the_text_is_the_same_at_each_run(self):
        first = cell_view(WORK, seen(), NAMING, seen_object(99), 101.5)
        second = cell_view(WORK, seen(at=900.0, store_used=5), NAMING, seen_object(98), 150.0)
        assert plain_of(first) == plain_of(second) == "In[5]: finished"
        running = cell_view(WORK, seen(task(), [seen_object()]), NAMING, None, 103.0)
        assert plain_of(running) == "In[5]: runs as a task; references: model"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (12.3, "12 s"), (59.7, "1 min 0 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")],
)
def test_times_are_said_as_people_say_them(seconds, words):
    assert in_time(seconds) == words
