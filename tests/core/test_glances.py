"""What live views show: cheap pictures of the newest objects, of one cell's tasks, of one task."""

from __future__ import annotations

from jray.runtime.core.glances import glance, object_glance, outcomes_of, task_glance
from jray.runtime.core.views import FunctionView, function_views
from tests.support.builders import (
    W1,
    W2,
    child,
    cpus,
    dropped,
    failed,
    finished,
    hear,
    knows_duration,
    one_cpu,
    put,
    result,
    submitted,
    task_id,
    tell,
    two_cpus,
    waits,
)


def test_tasks_are_counted_by_where_they_started():
    scheduler = two_cpus()
    tell(scheduler, submitted(1, origin=7), submitted(2, origin=8), submitted(3, name="g", origin=8))
    tell(scheduler, finished(1, W1))
    assert function_views(scheduler, 7) == (FunctionView(name="f", counts={"finished": 1}),)
    assert function_views(scheduler, 8) == (
        FunctionView(name="f", counts={"running": 1}),
        FunctionView(name="g", counts={"running": 1}),
    )
    assert function_views(scheduler)[0] == FunctionView(name="f", counts={"running": 1, "finished": 1})


def test_of_names_that_are_over_only_the_newest_are_shown_and_of_others_all():
    scheduler = two_cpus()
    tell(scheduler, submitted(1, name="first"))  # it runs all the time
    for number in range(2, 202):
        tell(scheduler, submitted(number, name=f"name {number}"), finished(number, W2))
    names = [view.name for view in glance(scheduler).functions]
    assert names == ["first", *(f"name {number}" for number in range(152, 202))]


def test_a_prefetched_task_of_another_cell_is_not_counted_here():
    scheduler = one_cpu()
    knows_duration(scheduler)
    hear(scheduler, submitted(1, origin=7), submitted(2, origin=8))
    assert function_views(scheduler, 7)[0].counts == {"running": 1}
    assert function_views(scheduler, 8)[0].counts == {"queued": 1}
    assert task_glance(scheduler, task_id(2)).state == "queued"


def test_the_newest_objects_are_shown_and_the_others_counted():
    scheduler = two_cpus()
    tell(scheduler, *(put(result(number)) for number in range(1, 8)))
    seen = glance(scheduler, newest=3)
    assert [shown.id for shown in seen.objects] == [result(7), result(6), result(5)]
    assert seen.more_objects == 4


def test_the_objects_that_were_asked_for_are_shown_also_when_they_are_gone():
    scheduler = two_cpus()
    tell(scheduler, submitted(1), submitted(2), finished(1, W1), dropped(result(1)))
    seen = glance(scheduler, objects=[result(1), result(2)])
    assert [(shown.id, shown.state) for shown in seen.objects] == [(result(1), "freed"), (result(2), "pending")]
    assert seen.more_objects == 0


def test_an_object_that_is_to_come_says_why_it_is_not_there():
    scheduler = one_cpu()
    tell(scheduler, submitted(1), submitted(2, shape=cpus(1)))
    assert object_glance(scheduler, result(1)).words == "running"
    assert object_glance(scheduler, result(2)).words == "queued: it needs 1 CPU; free now: 0 CPU"


def test_a_failed_task_s_object_is_failed():
    scheduler = one_cpu()
    tell(scheduler, submitted(1), failed(1, W1))
    assert object_glance(scheduler, result(1)).state == "failed"


def test_a_running_task_says_where_it_runs_and_since_when():
    scheduler = two_cpus()
    tell(scheduler, submitted(1), submitted(2))
    seen = task_glance(scheduler, task_id(2))
    assert (seen.state, seen.worker, seen.since) == ("running", W2, scheduler.tasks[task_id(2)].since)


def test_a_task_that_waits_says_for_what():
    scheduler = two_cpus()
    tell(scheduler, put(result(9)), submitted(1), submitted(2, needs=[result(1), result(9)]))
    seen = task_glance(scheduler, task_id(2))
    assert (seen.state, seen.missing, seen.worker) == ("waiting", (result(1),), None)


def test_a_task_that_is_blocked_keeps_its_worker():
    scheduler = one_cpu()
    tell(scheduler, submitted(1), child(2, of=1, on=W1), waits(1, W1, [result(2)]))
    assert (task_glance(scheduler, task_id(1)).state, task_glance(scheduler, task_id(1)).worker) == ("blocked", W1)


def test_a_task_that_is_done_has_no_glance():
    scheduler = one_cpu()
    tell(scheduler, submitted(1), finished(1, W1))
    assert task_glance(scheduler, task_id(1)) is None


def test_what_is_still_to_come_is_told_from_what_is_there_or_gone():
    scheduler = two_cpus()
    tell(scheduler, submitted(1), submitted(2), submitted(3), finished(1, W1), dropped(result(1)), finished(2, W2))
    assert outcomes_of(scheduler, [result(1), result(2), result(3)]) == ([result(3)], 0, 1)


def test_failures_are_counted_among_the_given_objects_only():
    scheduler = two_cpus()
    tell(scheduler, submitted(1), submitted(2), failed(1, W1), finished(2, W2))
    assert outcomes_of(scheduler, [result(1), result(2)]) == ([], 1, 0)
    assert outcomes_of(scheduler, [result(2)]) == ([], 0, 0)


def test_the_time_in_a_state_begins_with_the_move():
    scheduler = one_cpu()
    tell(scheduler, submitted(1, at=1.0), submitted(2, at=2.0))
    assert task_glance(scheduler, task_id(2)).since == 2.0
    hear(scheduler, finished(1, W1, at=5.0))
    assert task_glance(scheduler, task_id(2)).since == 5.0
