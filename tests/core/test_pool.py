"""What the user changes of the pool while it runs: the number of CPUs, and the processes."""

from __future__ import annotations

from jray.runtime.core import messages as m
from jray.runtime.core.memory import StoreLimits
from jray.runtime.core.model import TaskState, WorkerState
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.core.views import amounts_of, view_of
from jray.runtime.ids import UNIT, WorkerId
from tests.support.builders import (
    W1,
    W2,
    W3,
    child,
    cpus,
    cpus_free,
    finished,
    handed_back,
    hear,
    knows_duration,
    lost,
    one_cpu,
    publish,
    publish_failure,
    result,
    send,
    state_of,
    submitted,
    taken,
    tell,
    two_cpus,
    waits,
)


def resized(amount: float) -> m.Resized:
    return m.Resized(0.0, round(amount * UNIT))


def restart(*, now: bool = False) -> m.RestartAsked:
    return m.RestartAsked(0.0, now)


def spoiled(worker: WorkerId) -> m.WorkerSpoiled:
    return m.WorkerSpoiled(0.0, worker)


def imported(worker: WorkerId, module: str = "utils") -> m.ModuleImported:
    return m.ModuleImported(0.0, worker, module)


def changed(*modules: str) -> m.ModulesChanged:
    return m.ModulesChanged(0.0, modules or ("utils",))


class TestResized:
    def test_more_cpus_are_used_at_once(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), submitted(2))

        orders = hear(scheduler, resized(2))
        assert [order for order in orders if not isinstance(order, m.KeepWarm)] == [m.StartWorker(W2), send(W2, (2, 1))]

    def test_running_tasks_keep_cpus_that_are_taken_away_and_nothing_starts_until_it_fits(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), submitted(3), resized(1))

        assert hear(scheduler, finished(1, W1)) == [publish(1, W1)]
        assert cpus_free(scheduler) == 0
        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), send(W2, (3, 1))]

    def test_cpus_that_are_held_and_not_there_show_in_the_picture_but_none_is_available(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), resized(1))

        assert (view_of(scheduler).total, view_of(scheduler).available) == ({"CPU": 1.0}, {"CPU": -1.0})
        assert amounts_of(scheduler) == ({"CPU": 1.0}, {})

    def test_a_blocked_task_that_held_more_than_there_is_goes_on_when_all_is_free(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1, shape=cpus(2)), child(2, of=1, on=W1), waits(1, W1, [result(2)]), resized(1))
        tell(scheduler, submitted(3))

        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), m.ReplyToWait(W1, 1)]
        assert state_of(scheduler, 1) is TaskState.RUNNING
        assert cpus_free(scheduler) == -1
        assert hear(scheduler, finished(1, W1))[-1] == send(W1, (3, 1))

    def test_a_request_that_has_become_infeasible_is_said_and_said_again_after_it_was_feasible(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2, shape=cpus(2)))

        def warnings(cpus_now):
            return [order.text for order in hear(scheduler, resized(cpus_now)) if isinstance(order, m.WarnUser)]

        (text,) = warnings(1)
        assert "asks for 2 CPU. This runtime has 1 CPU" in text
        assert text.endswith("or give it more: jray.resize(num_cpus=...).")
        assert warnings(1.5) == []
        assert warnings(2) == []
        assert len(warnings(1)) == 1

    def test_a_machine_without_cpus_gets_some(self):
        scheduler = Scheduler(cpus(0))
        hear(scheduler, submitted(1))

        assert send(W1, (1, 1)) in hear(scheduler, resized(1))

    def test_as_many_idle_workers_may_stay_as_there_are_cpus(self):
        scheduler = Scheduler(cpus(3))
        tell(scheduler, *map(submitted, (1, 2, 3)), *map(finished, (1, 2, 3), (W1, W2, W3)), resized(1))
        tell(scheduler, m.TimerFired(10.0))

        assert list(scheduler.placement.workers) == [W3]

    def test_all_processes_together_keep_no_more_warm_pages_than_before(self):
        limits = StoreLimits.of(1000, None, 2)
        scheduler = Scheduler(cpus(1), limits=limits)
        assert limits.warm == 125

        assert hear(scheduler, resized(9)) == [m.KeepWarm(25)]
        assert hear(scheduler, resized(9)) == []
        assert scheduler.memory.limits.standing == limits.standing


class TestRestartAsked:
    def test_idle_workers_end_at_once(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), finished(1, W1), finished(2, W2))

        assert hear(scheduler, restart()) == [m.EndWorker(W1), m.EndWorker(W2)]
        assert hear(scheduler, submitted(3)) == [m.StartWorker(W3), send(W3, (3, 1))]

    def test_a_busy_worker_ends_when_its_task_is_done(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), submitted(2))

        assert hear(scheduler, restart()) == []
        assert hear(scheduler, finished(1, W1)) == [
            publish(1, W1),
            m.EndWorker(W1),
            m.StartWorker(W2),
            send(W2, (2, 1)),
        ]

    def test_what_is_prefetched_goes_to_new_workers(self):
        scheduler = two_cpus()
        knows_duration(scheduler)
        hear(scheduler, *map(submitted, range(1, 9)))
        first = scheduler.placement.workers[W1]
        assert len(first.lease.line) > 1

        assert m.RecallTasks(W1) in hear(scheduler, restart())
        assert hear(scheduler, restart()) == []
        line = [(task >> 16, attempt) for task, attempt in list(first.lease.line.items())[1:]]
        tell(scheduler, handed_back(W1, *line))
        assert len(first.lease.line) == 1
        assert m.EndWorker(W1) in hear(scheduler, finished(1, W1))

    def test_a_blocked_worker_ends_when_its_task_is_done(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), child(2, of=1, on=W1), waits(1, W1, [result(2)]), restart(), finished(2, W2))

        assert m.EndWorker(W1) in hear(scheduler, finished(1, W1))

    def test_busy_workers_are_killed_if_they_must_not_be_waited_for(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=1), submitted(2, max_retries=0), restart())

        assert hear(scheduler, restart(now=True)) == [m.KillWorker(W1)]
        assert hear(scheduler, lost(W1)) == [m.StartWorker(W2), send(W2, (1, 2))]
        hear(scheduler, finished(1, W2, 2), restart(now=True))
        assert publish_failure(2, reason="by a restart") in hear(scheduler, lost(W3, reason="by a restart"))

    def test_a_task_that_ends_just_before_its_worker_is_killed_counts(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), restart(now=True))

        assert hear(scheduler, finished(1, W1)) == [publish(1, W1), m.EndWorker(W1)]
        assert hear(scheduler, lost(W1)) == []

    def test_what_a_retired_worker_holds_is_freed_when_its_process_has_ended(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), taken(result(1), holder=W1), finished(1, W1))
        tell(scheduler, m.RefsDropped(0.0, WorkerId(0), (result(1),)))

        assert hear(scheduler, taken(result(1), holder=W1), restart()) == [m.EndWorker(W1)]
        assert scheduler.placement.workers[W1].state is WorkerState.LEAVING
        assert hear(scheduler, lost(W1)) == [m.FreeObjects([result(1)])]

    def test_a_worker_that_is_lost_in_the_same_moment_is_not_ended(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), finished(1, W1))

        assert hear(scheduler, restart(), lost(W1)) == []


class TestWorkerSpoiled:
    def test_it_ends_when_its_task_is_done_and_the_others_go_on(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), finished(1, W1), finished(2, W2))
        tell(scheduler, submitted(3))

        assert hear(scheduler, spoiled(W2)) == []
        assert hear(scheduler, finished(3, W2)) == [publish(3, W2), m.EndWorker(W2)]
        assert hear(scheduler, submitted(4)) == [send(W1, (4, 1))]

    def test_one_that_is_gone_is_passed_over(self):
        assert hear(one_cpu(), spoiled(W1)) == []


class TestModulesChanged:
    """What is submitted afterwards never runs where the old code was imported."""

    def test_an_idle_worker_that_has_imported_one_ends_at_once_and_others_stay(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), imported(W1), imported(W2, "others"))
        tell(scheduler, finished(1, W1), finished(2, W2))

        assert hear(scheduler, changed("utils", "more")) == [m.EndWorker(W1)]
        assert hear(scheduler, submitted(3)) == [send(W2, (3, 1))]
        assert hear(scheduler, submitted(4)) == [m.StartWorker(W3), send(W3, (4, 1))]

    def test_a_busy_one_ends_when_its_task_is_done(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), imported(W1))

        assert hear(scheduler, changed(), submitted(2)) == []
        assert hear(scheduler, finished(1, W1)) == [
            publish(1, W1),
            m.EndWorker(W1),
            m.StartWorker(W2),
            send(W2, (2, 1)),
        ]

    def test_what_a_task_that_began_before_has_imported_is_known_only_at_its_end(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1))

        assert hear(scheduler, changed(), submitted(2)) == []
        orders = hear(scheduler, imported(W1), finished(1, W1))
        assert orders == [publish(1, W1), m.EndWorker(W1), m.StartWorker(W2), send(W2, (2, 1))]

    def test_if_it_has_imported_none_its_worker_goes_on(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), changed(), submitted(2))

        assert hear(scheduler, imported(W1, "others"), finished(1, W1)) == [publish(1, W1), send(W1, (2, 1))]

    def test_what_a_later_task_of_that_worker_imports_is_the_new_code(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), changed(), finished(1, W1), submitted(2))

        assert hear(scheduler, imported(W1), finished(2, W1)) == [publish(2, W1)]
        assert hear(scheduler, submitted(3)) == [send(W1, (3, 1))]

    def test_nothing_new_is_put_into_the_line_of_a_busy_worker(self):
        scheduler = one_cpu()
        knows_duration(scheduler)
        assert send(W1, (1, 1), (2, 1)) in hear(scheduler, submitted(1), submitted(2), submitted(3))

        assert hear(scheduler, changed(), submitted(4)) == [m.RecallTasks(W1)]
        assert hear(scheduler, finished(1, W1, took_s=0.0001)) == [publish(1, W1)]  # no place for 3 behind 2
        orders = hear(scheduler, imported(W1), finished(2, W1, took_s=0.0001))
        assert orders[:3] == [publish(2, W1), m.EndWorker(W1), m.StartWorker(W2)]

    def test_a_task_that_waits_goes_on_where_it_is_and_its_worker_ends_then(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), imported(W1), child(2, of=1, on=W1), waits(1, W1, [result(2)]), changed())

        assert m.ReplyToWait(W1, 1) in hear(scheduler, finished(2, W2))
        assert m.EndWorker(W1) in hear(scheduler, finished(1, W1))

    def test_a_second_change_while_it_is_busy_changes_nothing_more(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), imported(W1), changed())

        assert hear(scheduler, changed(), imported(W1)) == []
        assert hear(scheduler, finished(1, W1)) == [publish(1, W1), m.EndWorker(W1)]

    def test_a_worker_that_is_gone_has_imported_nothing(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), imported(W1), lost(W1))

        assert hear(scheduler, imported(W1), changed()) == []
