"""Pictures of the books, and why a task is not done yet, in words."""

from __future__ import annotations

from jray.runtime.core.scheduler import Scheduler
from jray.runtime.core.views import FunctionView, SchedulerView, explain, view_of
from tests.support.builders import (
    W1,
    W2,
    abandoned,
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


def counts_of(scheduler: Scheduler, name: str = "f") -> dict[str, int]:
    return next(dict(view.counts) for view in view_of(scheduler).functions if view.name == name)


def why(scheduler: Scheduler, number: int) -> str:
    return explain(scheduler, task_id(number))


def test_names_without_end_are_counted_together_and_nothing_is_lost():
    scheduler = two_cpus()
    tell(scheduler, submitted(1, name="first"))  # it runs all the time
    for number in range(2, 3000):
        tell(scheduler, submitted(number, name=f"name {number}"), finished(number, W2))
    counts = {view.name: view.counts for view in view_of(scheduler).functions}
    assert len(counts) <= 1000
    assert counts["first"] == {"running": 1}
    assert sum(count.get("finished", 0) for count in counts.values()) == 2998
    assert counts["(other names)"]["finished"] > 1900


class TestViews:
    def test_a_new_scheduler_has_everything_and_does_nothing(self):
        assert view_of(Scheduler(cpus(2, gpu=1))) == SchedulerView(
            total={"CPU": 2.0, "gpu": 1.0},
            available={"CPU": 2.0, "gpu": 1.0},
            functions=(),
            workers=0,
            busy_workers=0,
            objects=0,
            pending_objects=0,
        )

    def test_a_running_task_is_seen_everywhere(self):
        scheduler = two_cpus()
        tell(scheduler, put(result(9)), submitted(1, shape=cpus(0.5)))

        assert view_of(scheduler) == SchedulerView(
            total={"CPU": 2.0},
            available={"CPU": 1.5},
            functions=(FunctionView(name="f", counts={"running": 1}),),
            workers=1,
            busy_workers=1,
            objects=2,
            pending_objects=1,
        )

    def test_what_is_used_up_is_absent(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))

        assert view_of(scheduler).available == {}

    def test_idle_workers_are_not_busy(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), finished(1, W1))

        assert (view_of(scheduler).workers, view_of(scheduler).busy_workers) == (1, 0)

    def test_freed_objects_are_not_counted(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), finished(1, W1), dropped(result(1)))

        assert view_of(scheduler).objects == 0

    def test_tasks_are_counted_by_function_and_state(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), submitted(2), submitted(3))
        tell(scheduler, submitted(4, needs=[result(3)]), submitted(5, name="g"))
        tell(scheduler, finished(1, W1), failed(2, W1))

        assert counts_of(scheduler) == {"waiting": 1, "running": 1, "finished": 1, "failed": 1}
        assert counts_of(scheduler, "g") == {"queued": 1}

    def test_waiting_tasks_are_counted_as_blocked_and_then_as_resuming(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), child(2, of=1, on=W1), waits(1, W1, [result(2)]))
        assert counts_of(scheduler) == {"blocked": 1, "running": 1}

        hear(scheduler, abandoned(W1))
        assert counts_of(scheduler) == {"resuming": 1, "running": 1}

    def test_a_prefetched_task_is_queued_for_people(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=0.0001)
        hear(scheduler, submitted(1), submitted(2))

        assert counts_of(scheduler) == {"running": 1, "queued": 1, "finished": 1}


class TestExplain:
    def test_says_nothing_about_what_is_over_or_unknown(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), finished(1, W1))

        assert why(scheduler, 1) == ""
        assert why(scheduler, 2) == ""

    def test_counts_missing_arguments(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), submitted(3, name="g", needs=[result(1), result(2)]))

        assert why(scheduler, 3) == "task g is waiting for 2 of its arguments"

    def test_compares_what_is_asked_with_what_is_free(self):
        scheduler = Scheduler(cpus(2, gpu=1))
        tell(scheduler, submitted(1, shape=cpus(1.5)), submitted(2, shape=cpus(1, gpu=1)))

        assert why(scheduler, 2) == "task f is queued: it needs 1 CPU, 1 gpu; free now: 0.5 CPU, 1 gpu"

    def test_says_what_can_never_be_met(self):
        scheduler = Scheduler(cpus(2, gpu=1))
        hear(scheduler, submitted(1, shape=cpus(1, tpu=1)))

        assert why(scheduler, 1) == (
            "task f is queued for ever: it needs 1 CPU, 1 tpu, and this runtime has 2 CPU, 1 gpu"
        )

    def test_knows_running_blocked_and_resuming(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), child(2, of=1, on=W1))
        assert why(scheduler, 1) == "task f is running"

        hear(scheduler, waits(1, W1, [result(2)]))
        assert why(scheduler, 1) == "task f is blocked in get or wait"

        hear(scheduler, abandoned(W1))
        assert why(scheduler, 1) == "task f is ready to go on after get or wait, waiting for its CPUs"

        hear(scheduler, finished(2, W2))
        assert why(scheduler, 1) == "task f is running"

    def test_a_prefetched_task_does_not_run_yet(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=0.0001)
        hear(scheduler, submitted(1), submitted(2))

        assert why(scheduler, 1) == "task f is running"
        assert why(scheduler, 2) == "task f is queued: next in a worker's line, behind a short task"

    def test_a_task_without_cpus_waits_for_a_worker(self):
        scheduler = one_cpu()
        hear(scheduler, *(submitted(number, shape=()) for number in range(1, 40)))

        assert why(scheduler, 39) == "task f is queued: it needs nothing; free now: a worker"
