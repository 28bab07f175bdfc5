"""Events in, instructions out: what the scheduler answers to each fact."""

from __future__ import annotations

import pytest

from jray.runtime.core import messages as m
from jray.runtime.core.model import IllegalMove, TaskState
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import KERNEL, TaskId, WorkerId
from tests.support.builders import (
    W1,
    W2,
    W3,
    abandoned,
    child,
    cpus,
    cpus_free,
    dropped,
    failed,
    finished,
    free,
    handed_back,
    hear,
    knows_duration,
    lost,
    one_cpu,
    publish,
    publish_failure,
    put,
    result,
    send,
    state_of,
    submitted,
    taken,
    task_id,
    tell,
    timer,
    two_cpus,
    waits,
)

NOBODY = WorkerId(77)  # never started


def blocked_parent_and_running_child(**of_parent) -> Scheduler:
    """One CPU: task 1 on worker 1 waits for task 2, which runs on worker 2."""
    scheduler = one_cpu()
    tell(scheduler, submitted(1, **of_parent), child(2, of=1, on=W1), waits(1, W1, [result(2)]))
    assert state_of(scheduler, 1) is TaskState.BLOCKED
    assert state_of(scheduler, 2) is TaskState.RUNNING
    return scheduler


def resuming_parent() -> Scheduler:
    """One CPU: the time-out of task 1 on worker 1 is over, but its child on worker 2 has the CPU."""
    scheduler = blocked_parent_and_running_child()
    assert hear(scheduler, abandoned(W1)) == []
    assert state_of(scheduler, 1) is TaskState.RESUMING
    return scheduler


class TestSubmitted:
    def test_a_task_is_sent_to_a_new_worker(self):
        assert hear(one_cpu(), submitted(1)) == [m.StartWorker(W1), send(W1, (1, 1))]

    def test_a_task_is_sent_to_the_idle_worker(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), finished(1, W1))

        assert hear(scheduler, submitted(2)) == [send(W1, (2, 1))]

    def test_a_task_waits_while_all_cpus_are_taken(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))

        assert hear(scheduler, submitted(2)) == []
        assert state_of(scheduler, 2) is TaskState.QUEUED

    def test_a_task_waits_for_its_arguments(self):
        scheduler = two_cpus()
        hear(scheduler, submitted(1))

        assert hear(scheduler, submitted(2, needs=[result(1)])) == []
        assert state_of(scheduler, 2) is TaskState.WAITING

    def test_an_argument_that_is_there_is_not_waited_for(self):
        scheduler = one_cpu()
        hear(scheduler, put(result(9)))

        assert send(W1, (1, 1)) in hear(scheduler, submitted(1, needs=[result(9)]))

    def test_an_argument_that_failed_fails_the_task_at_once(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), failed(1, W1))

        assert hear(scheduler, submitted(2, needs=[result(1)])) == [publish_failure(2, result(1))]

    def test_an_argument_that_is_gone_fails_the_task_at_once(self):
        assert hear(one_cpu(), submitted(2, needs=[result(1)])) == [publish_failure(2, result(1))]

    def test_the_same_argument_twice_is_waited_for_once(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2, needs=[result(1), result(1)]))

        assert send(W1, (2, 1)) in hear(scheduler, finished(1, W1))

    def test_one_good_and_one_failed_argument_leave_no_trace(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), failed(2, W2))

        out = hear(scheduler, submitted(3, needs=[result(1), result(2)]))

        assert out == [publish_failure(3, result(2))]
        assert hear(scheduler, finished(1, W1)) == [publish(1, W1)]

    def test_said_twice_counts_once(self):
        scheduler = two_cpus()
        hear(scheduler, submitted(1))

        assert hear(scheduler, submitted(1)) == []

    def test_a_task_without_results_runs_too(self):
        scheduler = one_cpu()

        assert tell(scheduler, submitted(1, num_returns=0), finished(1, W1))[-1] == publish(1, W1)
        assert scheduler.references.objects == {}

    def test_the_refs_of_a_child_are_held_by_its_parents_worker(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), child(2, of=1, on=W1))
        assert tell(scheduler, finished(2, W2)) == [publish(2, W2)]

        assert hear(scheduler, lost(W1)) == [send(W2, (1, 2)), free(result(2))]

    def test_the_refs_of_a_submitter_that_is_gone_are_gone(self):
        scheduler = one_cpu()
        hear(scheduler, child(2, of=1, on=NOBODY))

        assert hear(scheduler, finished(2, W1)) == [publish(2, W1), free(result(2))]


class TestReports:
    def test_a_result_is_published(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))

        assert hear(scheduler, finished(1, W1)) == [publish(1, W1)]
        assert state_of(scheduler, 1) is None
        assert cpus_free(scheduler) == 1

    def test_an_error_is_published(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))

        assert hear(scheduler, failed(1, W1)) == [publish(1, W1)]
        assert cpus_free(scheduler) == 1

    def test_an_error_is_not_retried(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1, max_retries=-1))

        assert hear(scheduler, failed(1, W1)) == [publish(1, W1)]

    def test_the_waiting_task_starts_when_its_last_argument_is_there(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), submitted(3, needs=[result(1), result(2)]))

        assert hear(scheduler, finished(1, W1)) == [publish(1, W1)]
        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), send(W2, (3, 1))]

    def test_a_failure_goes_down_the_whole_chain(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), *(submitted(n, needs=[result(n - 1)]) for n in (2, 3, 4)))

        assert hear(scheduler, failed(1, W1)) == [
            publish(1, W1),
            publish_failure(2, result(1)),
            publish_failure(3, result(2)),
            publish_failure(4, result(3)),
        ]
        assert scheduler.tasks == {}

    def test_a_long_chain_of_failures_needs_no_deep_stack(self):
        scheduler = one_cpu()
        scheduler.handle([submitted(1), *(submitted(n, needs=[result(n - 1)]) for n in range(2, 5000))])

        assert len(hear(scheduler, failed(1, W1))) == 4999

    def test_one_of_several_results_may_be_an_error(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, num_returns=2))
        tell(scheduler, submitted(2, needs=[result(1, 0)]), submitted(3, needs=[result(1, 1)]))

        out = hear(scheduler, finished(1, W1, failed=[False, True]))

        assert out == [publish(1, W1), publish_failure(3, result(1, 1)), send(W1, (2, 1))]

    @pytest.mark.parametrize("report", [finished, failed])
    def test_said_twice_counts_once(self, report):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), submitted(2), report(1, W1))

        assert hear(scheduler, report(1, W1)) == []
        assert state_of(scheduler, 2) is TaskState.RUNNING
        assert cpus_free(scheduler) == 0

    @pytest.mark.parametrize("report", [finished, failed])
    def test_the_report_of_an_earlier_attempt_is_stale(self, report):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), lost(W1))  # the second attempt runs on worker 2

        assert hear(scheduler, report(1, W1, attempt=1)) == []
        assert hear(scheduler, report(1, W2, attempt=1)) == []
        assert hear(scheduler, report(1, W2, attempt=2)) == [publish(1, W2, attempt=2)]

    @pytest.mark.parametrize("report", [finished, failed])
    def test_a_report_of_a_task_that_waits_is_nonsense(self, report):
        scheduler = blocked_parent_and_running_child()

        assert hear(scheduler, report(1, W1)) == []
        assert state_of(scheduler, 1) is TaskState.BLOCKED


class TestWaits:
    def test_a_waiting_task_gives_its_cpu_to_its_child(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), child(2, of=1, on=W1))

        assert hear(scheduler, waits(1, W1, [result(2)])) == [m.StartWorker(W2), send(W2, (2, 1))]

    def test_it_goes_on_when_all_is_there(self):
        scheduler = blocked_parent_and_running_child()

        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), m.ReplyToWait(W1, 1)]
        assert state_of(scheduler, 1) is TaskState.RUNNING
        assert cpus_free(scheduler) == 0

    def test_it_goes_on_when_the_child_failed(self):
        scheduler = blocked_parent_and_running_child()

        assert hear(scheduler, failed(2, W2)) == [publish(2, W2), m.ReplyToWait(W1, 1)]

    def test_what_is_there_already_releases_nothing(self):
        scheduler = one_cpu()
        tell(scheduler, put(result(9)), submitted(1))

        assert hear(scheduler, waits(1, W1, [result(9)])) == [m.ReplyToWait(W1, 1)]
        assert state_of(scheduler, 1) is TaskState.RUNNING

    def test_enough_of_them_is_enough(self):
        scheduler = Scheduler(cpus(4))
        tell(scheduler, *(submitted(n) for n in (1, 2, 3, 4)))
        hear(scheduler, waits(1, W1, [result(2), result(3), result(4)], count=2))

        assert hear(scheduler, finished(4, WorkerId(4))) == [publish(4, WorkerId(4))]
        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), m.ReplyToWait(W1, 1)]

    def test_a_failure_counts_as_one_that_is_there(self):
        scheduler = Scheduler(cpus(3))
        tell(scheduler, submitted(1), submitted(2), submitted(3))
        hear(scheduler, waits(1, W1, [result(2), result(3)], count=2, until_failure=False))

        assert hear(scheduler, failed(2, W2)) == [publish(2, W2)]
        assert m.ReplyToWait(W1, 1) in hear(scheduler, failed(3, W3))

    def test_a_wait_until_failure_ends_with_the_first(self):
        scheduler = Scheduler(cpus(3))
        tell(scheduler, submitted(1), submitted(2), submitted(3))
        hear(scheduler, waits(1, W1, [result(2), result(3)]))

        assert m.ReplyToWait(W1, 1) in hear(scheduler, failed(2, W2))

    def test_a_wait_for_something_that_failed_before_ends_at_once(self):
        scheduler = Scheduler(cpus(3))
        tell(scheduler, submitted(1), submitted(2), submitted(3), failed(2, W2))

        assert hear(scheduler, waits(1, W1, [result(3), result(2)])) == [m.ReplyToWait(W1, 1)]

    def test_a_wait_for_something_unknown_ends_at_once(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2))

        assert hear(scheduler, waits(1, W1, [result(2), result(999)])) == [m.ReplyToWait(W1, 1)]

    def test_the_same_object_twice_counts_twice(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), waits(1, W1, [result(2), result(2)]))

        assert m.ReplyToWait(W1, 1) in hear(scheduler, finished(2, W2))

    def test_a_helper_thread_releases_nothing_and_is_answered_at_once(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2))

        assert hear(scheduler, waits(1, W1, [result(2)], releases=False)) == []
        assert cpus_free(scheduler) == 0
        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), m.ReplyToWait(W1, 1)]

    def test_a_helper_thread_does_not_wait_for_the_cpus_of_the_main_thread(self):
        scheduler = Scheduler(cpus(2))
        tell(scheduler, submitted(1), submitted(2))
        tell(scheduler, waits(1, W1, [result(2)], request=1, releases=False), waits(1, W1, [result(2)], request=2))
        hear(scheduler, submitted(3))  # takes the CPU that task 1 gave back
        hear(scheduler, submitted(4))

        out = hear(scheduler, finished(2, W2))

        assert out == [publish(2, W2), m.ReplyToWait(W1, 1), m.ReplyToWait(W1, 2)]

    def test_a_wait_in_the_name_of_another_attempt_releases_nothing(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2))
        hear(scheduler, waits(1, W1, [result(2)], attempt=7))

        assert state_of(scheduler, 1) is TaskState.RUNNING

    def test_a_wait_said_twice_is_answered_once(self):
        scheduler = blocked_parent_and_running_child()
        hear(scheduler, waits(1, W1, [result(2)]))

        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), m.ReplyToWait(W1, 1)]

    def test_two_objects_that_come_and_go_in_one_batch_answer_once(self):
        """Nobody holds them, so that they are freed before the waiting task is told: it was told twice."""
        scheduler = Scheduler(cpus(3))
        tell(scheduler, submitted(1), submitted(2), submitted(3), dropped(result(2), result(3)))
        hear(scheduler, waits(1, W1, [result(2), result(3)], count=1))

        out = hear(scheduler, finished(2, W2), finished(3, W3))

        assert out == [publish(2, W2), publish(3, W3), m.ReplyToWait(W1, 1), free(result(2), result(3))]

    def test_gpus_and_custom_resources_are_kept(self):
        scheduler = Scheduler(cpus(1, gpu=1))
        tell(scheduler, submitted(1, shape=cpus(1, gpu=1)), submitted(2), waits(1, W1, [result(2)]))

        assert scheduler.placement.resources.available == {"CPU": 0, "gpu": 0}
        assert state_of(scheduler, 2) is TaskState.RUNNING


class TestResuming:
    def test_it_waits_while_others_have_the_cpus(self):
        scheduler = resuming_parent()

        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), m.ReplyToWait(W1, 1)]

    def test_it_stands_ahead_of_all_queued_tasks(self):
        scheduler = resuming_parent()
        hear(scheduler, submitted(4), submitted(5, depth=9))

        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), m.ReplyToWait(W1, 1)]
        assert hear(scheduler, finished(1, W1)) == [publish(1, W1), send(W1, (5, 1))]

    def test_nobody_passes_it_even_if_his_request_would_fit(self):
        scheduler = Scheduler(cpus(2))
        tell(scheduler, submitted(1, shape=cpus(2)), child(2, of=1, on=W1), waits(1, W1, [result(2)]))
        tell(scheduler, submitted(3), finished(2, W2))  # one CPU is free, task 1 needs two
        assert state_of(scheduler, 1) is TaskState.RESUMING

        assert hear(scheduler, submitted(4)) == []
        assert hear(scheduler, finished(3, W3)) == [publish(3, W3), m.ReplyToWait(W1, 1)]

    def test_tasks_that_need_no_cpu_are_not_held_up(self):
        scheduler = resuming_parent()

        assert hear(scheduler, submitted(4, shape=())) == [m.StartWorker(W3), send(W3, (4, 1))]

    def test_those_who_resume_go_on_in_the_order_of_their_answers(self):
        scheduler = blocked_parent_and_running_child()
        tell(scheduler, child(3, of=2, on=W2, depth=2), waits(2, W2, [result(3)]), abandoned(W2), abandoned(W1))

        assert hear(scheduler, finished(3, W3)) == [publish(3, W3), m.ReplyToWait(W2, 1)]
        assert hear(scheduler, finished(2, W2))[:2] == [publish(2, W2), m.ReplyToWait(W1, 1)]

    def test_a_task_without_cpus_goes_on_at_once(self):
        """It stood behind one that needs CPUs; the world found a deadlock with a helper thread in it."""
        scheduler = resuming_parent()
        tell(scheduler, submitted(4, shape=()), waits(4, W3, [result(2)]))

        assert hear(scheduler, abandoned(W3)) == [m.ReplyToWait(W3, 1)]
        assert state_of(scheduler, 1) is TaskState.RESUMING

    def test_its_time_out_is_over_only_once(self):
        scheduler = resuming_parent()

        assert hear(scheduler, abandoned(W1)) == []


class TestAbandoned:
    def test_the_task_goes_on_with_what_is_there(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), waits(1, W1, [result(2)]))

        assert hear(scheduler, abandoned(W1)) == [m.ReplyToWait(W1, 1)]
        assert state_of(scheduler, 1) is TaskState.RUNNING

    def test_what_comes_later_is_not_answered_again(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), waits(1, W1, [result(2)]), abandoned(W1))

        assert hear(scheduler, finished(2, W2)) == [publish(2, W2)]

    def test_too_late_changes_nothing(self):
        scheduler = blocked_parent_and_running_child()
        hear(scheduler, finished(2, W2))

        assert hear(scheduler, abandoned(W1)) == []


class TestHandedBack:
    def test_a_task_goes_back_to_the_front_of_the_queue(self):
        scheduler = one_cpu()
        knows_duration(scheduler)
        assert hear(scheduler, *(submitted(n) for n in (1, 2, 3, 4)))[0] == send(W1, (1, 1), (2, 1), (3, 1))

        hear(scheduler, handed_back(W1, (2, 1), (3, 1)))

        assert [state_of(scheduler, n) for n in (1, 2, 3)] == [TaskState.RUNNING, TaskState.QUEUED, TaskState.QUEUED]
        assert hear(scheduler, finished(1, W1, took_s=0.0001))[:2] == [publish(1, W1), send(W1, (2, 2), (3, 2))]

    def test_a_worker_that_hands_back_everything_is_idle(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))

        assert hear(scheduler, handed_back(W1, (1, 1))) == [send(W1, (1, 2))]

    def test_it_costs_no_retry(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=0), *(handed_back(W1, (1, n)) for n in (1, 2, 3)))

        assert hear(scheduler, finished(1, W1, attempt=4)) == [publish(1, W1, attempt=4)]

    def test_said_twice_does_not_touch_the_next_attempt(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), handed_back(W1, (1, 1)))

        assert hear(scheduler, handed_back(W1, (1, 1))) == []
        assert hear(scheduler, finished(1, W1, attempt=2)) == [publish(1, W1, attempt=2)]

    def test_said_again_by_an_idle_worker_changes_nothing(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), handed_back(W1, (1, 1)), finished(1, W1, attempt=2))

        assert hear(scheduler, handed_back(W1, (1, 1))) == []

    def test_an_attempt_on_its_way_to_a_worker_that_waits_comes_back_and_runs_elsewhere(self):
        scheduler = one_cpu()
        knows_duration(scheduler)
        assert hear(scheduler, submitted(1), submitted(2))[0] == send(W1, (1, 1), (2, 1))
        # The worker begins task 1 before it reads of task 2: it has nothing to hand back, and waits.
        out = tell(scheduler, child(3, of=1, on=W1), waits(1, W1, [result(3)]))
        assert out == [m.StartWorker(W2), send(W2, (3, 1))]

        assert hear(scheduler, handed_back(W1, (2, 1))) == []
        assert state_of(scheduler, 1) is TaskState.BLOCKED
        assert hear(scheduler, finished(3, W2))[1] == m.ReplyToWait(W1, 1)
        assert hear(scheduler, finished(1, W1))[1] == send(W1, (2, 2))


class TestLostWorkers:
    def test_the_running_attempt_is_retried(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1, max_retries=1))

        assert hear(scheduler, lost(W1)) == [m.StartWorker(W2), send(W2, (1, 2))]

    def test_without_retries_left_the_task_is_lost(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=1), lost(W1))

        out = hear(scheduler, lost(W2, reason="worker w2 was killed"))

        assert out == [publish_failure(1, None, "worker w2 was killed")]
        assert scheduler.tasks == {}

    def test_a_task_that_must_not_be_repeated_is_lost_at_once(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1, max_retries=0))

        assert hear(scheduler, lost(W1, reason="gone")) == [publish_failure(1, None, "gone")]

    def test_minus_one_retries_for_ever(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=-1), *(lost(WorkerId(n)) for n in range(1, 50)))

        assert state_of(scheduler, 1) is TaskState.RUNNING

    def test_only_the_running_attempt_of_a_line_pays(self):
        scheduler = one_cpu()
        knows_duration(scheduler)
        tasks = [submitted(n, max_retries=0) for n in (1, 2, 3, 4)]
        assert hear(scheduler, *tasks)[0] == send(W1, (1, 1), (2, 1), (3, 1))

        out = hear(scheduler, lost(W1, reason="gone"))

        assert out[:3] == [publish_failure(1, None, "gone"), m.StartWorker(W2), send(W2, (2, 2), (3, 2))]

    def test_the_results_of_a_lost_task_are_errors_for_those_who_need_them(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=0), submitted(2, needs=[result(1)]))

        out = hear(scheduler, lost(W1, reason="gone"))

        assert out == [publish_failure(1, None, "gone"), publish_failure(2, result(1))]

    def test_a_blocked_task_is_retried(self):
        scheduler = blocked_parent_and_running_child()

        hear(scheduler, lost(W1))

        assert state_of(scheduler, 1) is TaskState.QUEUED
        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), send(W2, (1, 2)), free(result(2))]

    def test_a_blocked_task_may_be_lost_for_good(self):
        scheduler = blocked_parent_and_running_child(max_retries=0)

        assert hear(scheduler, lost(W1, reason="gone")) == [publish_failure(1, None, "gone")]
        assert cpus_free(scheduler) == 0  # the child still runs

    def test_a_task_that_resumes_is_retried(self):
        scheduler = resuming_parent()

        hear(scheduler, lost(W1))

        assert state_of(scheduler, 1) is TaskState.QUEUED
        assert hear(scheduler, finished(2, W2)) == [publish(2, W2), send(W2, (1, 2)), free(result(2))]

    def test_a_task_that_resumes_may_be_lost_for_good(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=0), child(2, of=1, on=W1), waits(1, W1, [result(2)]), abandoned(W1))
        assert state_of(scheduler, 1) is TaskState.RESUMING

        assert hear(scheduler, lost(W1, reason="gone")) == [publish_failure(1, None, "gone")]

    def test_its_open_waits_are_forgotten(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1, max_retries=0), submitted(2), waits(1, W1, [result(2)], releases=False), lost(W1))

        assert hear(scheduler, finished(2, W2)) == [publish(2, W2)]

    def test_its_refs_are_dropped(self):
        scheduler = one_cpu()
        tell(scheduler, put(result(9)), taken(result(9), holder=KERNEL), submitted(1, max_retries=0))
        tell(scheduler, taken(result(9), holder=W1), dropped(result(9), result(9)))

        assert free(result(9)) in hear(scheduler, lost(W1))

    def test_an_idle_worker_costs_nothing(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), finished(1, W1))

        assert hear(scheduler, lost(W1)) == []
        assert hear(scheduler, submitted(2)) == [m.StartWorker(W2), send(W2, (2, 1))]

    def test_said_twice_costs_one_retry(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=1), lost(W1), lost(W1))

        assert state_of(scheduler, 1) is TaskState.RUNNING

    def test_its_last_report_counts_when_both_come_at_once(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1, max_retries=0))

        assert hear(scheduler, finished(1, W1), lost(W1)) == [publish(1, W1)]


class TestUnknownNames:
    @pytest.mark.parametrize(
        "event",
        [
            finished(1, NOBODY),
            failed(1, NOBODY),
            waits(1, NOBODY, [result(1)]),
            abandoned(NOBODY),
            handed_back(NOBODY, (1, 1)),
            lost(NOBODY),
            taken(result(1), holder=NOBODY),
            dropped(result(1), holder=NOBODY),
            finished(88, W1),
            failed(88, W1),
            handed_back(W1, (88, 1)),
            handed_back(W1),
            abandoned(W1, request=88),
            taken(result(88)),
            dropped(result(88)),
            taken(result(88), holder=W1),
            dropped(result(88), holder=W1),
            timer(0.0),
        ],
        ids=repr,
    )
    def test_are_harmless(self, event):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))

        assert hear(scheduler, event) == []
        assert hear(scheduler, finished(1, W1)) == [publish(1, W1)]


class TestBatches:
    def test_a_batch_is_settled_once(self):
        scheduler = one_cpu()

        assert hear(scheduler, submitted(1), submitted(2, depth=1)) == [m.StartWorker(W1), send(W1, (2, 1))]

    def test_an_empty_batch_does_nothing(self):
        assert hear(one_cpu()) == []

    def test_what_is_submitted_and_dropped_in_one_batch_runs_and_is_freed(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1), dropped(result(1)))

        assert hear(scheduler, finished(1, W1)) == [publish(1, W1), free(result(1))]


class TestIllegalMoves:
    def test_the_message_tells_the_tasks_whole_way(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1, at=1.5))
        task = scheduler.tasks[task_id(1)]

        with pytest.raises(IllegalMove) as caught:
            scheduler._move([task], TaskState.WAITING)

        assert str(caught.value) == (
            "Task f (10000) was moved from RUNNING to WAITING. Its moves were: 1.500000: QUEUED -> RUNNING."
        )

    def test_a_refused_move_changes_nothing(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))

        with pytest.raises(IllegalMove):
            scheduler._move([scheduler.tasks[task_id(1)]], TaskState.RESUMING)

        assert state_of(scheduler, 1) is TaskState.RUNNING
        assert hear(scheduler, finished(1, W1)) == [publish(1, W1)]


def test_the_history_keeps_the_latest_moves_of_each_task():
    scheduler = one_cpu()
    tell(scheduler, submitted(1), submitted(2, at=1.0), finished(1, W1, at=2.0))

    assert scheduler.history.of(task_id(2)) == ["2.000000: QUEUED -> RUNNING"]
    assert scheduler.history.of(TaskId(5)) == []
