"""Which task next, where: order, prefetch, lines that are called back, and what the user is told."""

from __future__ import annotations

from collections import deque

import pytest

from jray.runtime.core import messages as m
from jray.runtime.core.idle import SURPLUS_S
from jray.runtime.core.lines import LINE_BUDGET_S, LINE_LIMIT, MOST_BUDGET_S, RECALL_GRACE_S
from jray.runtime.core.model import TaskState
from jray.runtime.core.placement import MOST_REFUSALS, MOST_WITHOUT_CPU
from jray.runtime.core.refusals import REFUSED_S
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import NO_TASK, WorkerId
from tests.support.builders import (
    W1,
    W2,
    W3,
    child,
    cpus,
    cpus_free,
    dropped,
    failed,
    finished,
    handed_back,
    hear,
    knows_duration,
    lost,
    one_cpu,
    publish,
    publish_failure,
    put,
    refused,
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

SHORT_S = 0.0001


def line_of_three(*, at: float = 0.0) -> Scheduler:
    """One CPU: tasks 1, 2 and 3 are in the line of worker 1, task 4 is queued."""
    scheduler = one_cpu()
    knows_duration(scheduler, took_s=SHORT_S)
    out = hear(scheduler, *(submitted(n, at=at) for n in (1, 2, 3, 4)))
    assert out[0] == send(W1, (1, 1), (2, 1), (3, 1))
    return scheduler


def sent(orders: list[m.Instruction]) -> list[tuple[WorkerId, list[int]]]:
    """Which task numbers went where."""
    sends = [order for order in orders if isinstance(order, m.SendTasks)]
    return [(order.worker, [task // task_id(1) for task, _ in order.runs]) for order in sends]


def warnings(orders: list[m.Instruction]) -> list[str]:
    return [order.text for order in orders if isinstance(order, m.WarnUser)]


class TestWhoIsNext:
    def test_first_come_first_served(self):
        scheduler = one_cpu()
        hear(scheduler, *(submitted(n) for n in (1, 2, 3)))

        assert sent(hear(scheduler, finished(1, W1))) == [(W1, [2])]
        assert sent(hear(scheduler, finished(2, W1))) == [(W1, [3])]

    def test_children_go_before_roots(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1), submitted(2))
        hear(scheduler, child(3, of=1, on=W1))

        assert sent(hear(scheduler, finished(1, W1))) == [(W1, [3])]

    def test_children_go_before_roots_of_another_shape(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1), submitted(2))
        hear(scheduler, child(3, of=1, on=W1, shape=cpus(0.5)))

        assert sent(hear(scheduler, finished(1, W1))) == [(W1, [3])]

    def test_among_shapes_the_earlier_task_goes_first(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))
        hear(scheduler, submitted(2, shape=cpus(0.7)), submitted(3, shape=cpus(0.6)))

        assert sent(hear(scheduler, finished(1, W1))) == [(W1, [2])]

    def test_submitters_take_turns(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))
        hear(scheduler, *(submitted(n, depth=1, parent=task_id(10)) for n in (2, 3, 4)))
        hear(scheduler, submitted(5, depth=1, parent=task_id(11)))

        order = [sent(hear(scheduler, finished(n, W1)))[0][1][0] for n in (1, 2, 5, 3)]

        assert order == [2, 5, 3, 4]

    def test_a_large_request_does_not_hold_up_small_ones(self):
        scheduler = two_cpus()
        hear(scheduler, submitted(1), submitted(2, shape=cpus(2)))

        assert sent(hear(scheduler, submitted(3))) == [(W2, [3])]

    def test_a_large_request_is_served_first_when_it_fits(self):
        scheduler = two_cpus()
        hear(scheduler, submitted(1), submitted(2, shape=cpus(2)), submitted(3))
        tell(scheduler, submitted(4), finished(1, W1))

        assert state_of(scheduler, 4) is TaskState.RUNNING
        assert sent(hear(scheduler, finished(3, W2), finished(4, W1))) == [(W1, [2])]


class TestWorkers:
    def test_each_running_task_has_its_own(self):
        assert sent(hear(two_cpus(), submitted(1), submitted(2))) == [(W1, [1]), (W2, [2])]

    def test_the_warmest_idle_worker_is_taken(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), finished(2, W2), finished(1, W1))

        assert sent(hear(scheduler, submitted(3))) == [(W1, [3])]

    def test_a_lost_idle_worker_is_not_taken(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), finished(2, W2), finished(1, W1), lost(W1))

        assert sent(hear(scheduler, submitted(3))) == [(W2, [3])]

    def test_fractions_share_a_cpu(self):
        scheduler = one_cpu()

        out = hear(scheduler, *(submitted(n, shape=cpus(0.5)) for n in (1, 2, 3)))

        assert sent(out) == [(W1, [1]), (W2, [2])]
        assert cpus_free(scheduler) == 0

    def test_tasks_without_cpus_run_beside_a_full_machine(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1))

        assert sent(hear(scheduler, submitted(2, shape=()))) == [(W2, [2])]

    def test_tasks_without_cpus_do_not_start_any_number_of_processes(self):
        scheduler = one_cpu()
        out = hear(scheduler, *(submitted(n, shape=()) for n in range(1, MOST_WITHOUT_CPU + 2)))

        assert sum(isinstance(order, m.StartWorker) for order in out) == MOST_WITHOUT_CPU
        assert sent(hear(scheduler, finished(1, W1))) == [(W1, [MOST_WITHOUT_CPU + 1])]

    def test_a_blocked_task_without_cpus_makes_room_for_another(self):
        scheduler = one_cpu()
        hear(scheduler, *(submitted(n, shape=()) for n in range(1, MOST_WITHOUT_CPU + 2)))

        out = hear(scheduler, waits(1, W1, [result(2)]))

        assert sent(out) == [(WorkerId(MOST_WITHOUT_CPU + 1), [MOST_WITHOUT_CPU + 1])]

    @pytest.mark.parametrize("is_blocked", [False, True])
    def test_a_lost_task_without_cpus_makes_room_once(self, is_blocked):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, shape=(), max_retries=0), submitted(2, shape=()))
        if is_blocked:
            hear(scheduler, waits(1, W1, [result(2)]))
        hear(scheduler, lost(W1))

        assert scheduler.placement.without_cpu == 1  # and the books agree, says hear()


@pytest.mark.parametrize(("amount", "is_free"), [(2, False), (1.5, True), (1, True)])
def test_it_knows_whether_a_new_task_might_start_at_once(amount, is_free):
    scheduler = two_cpus()
    hear(scheduler, submitted(1, shape=cpus(amount)))

    assert scheduler.placement.has_free_cpus == is_free


def sent_by(orders):
    """The numbers of all tasks that were sent."""
    return [number for _, numbers in sent(orders) for number in numbers]


class TestPrefetch:
    def test_an_unknown_function_is_not_prefetched(self):
        assert sent(hear(one_cpu(), *(submitted(n) for n in range(1, 9)))) == [(W1, [1])]

    def test_a_long_function_is_not_prefetched(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=1.0)

        assert sent(hear(scheduler, *(submitted(n) for n in range(1, 9)))) == [(W1, [1])]

    def test_a_short_function_is(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=SHORT_S)

        assert sent(hear(scheduler, *(submitted(n) for n in (1, 2, 3, 4)))) == [(W1, [1, 2, 3])]

    def test_a_line_is_about_four_milliseconds_long(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=0.001)

        assert sent(hear(scheduler, *(submitted(n) for n in range(1, 90)))) == [(W1, [1, 2, 3, 4])]

    def test_a_line_has_an_end_even_if_tasks_take_no_time_at_all(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=0.0)

        out = hear(scheduler, *(submitted(n) for n in range(1, 900)))

        assert len(sent(out)[0][1]) == LINE_LIMIT

    def test_workers_get_their_fair_share_of_few_tasks(self):
        scheduler = Scheduler(cpus(3))
        tell(scheduler, *(submitted(n, num_returns=0) for n in (901, 902, 903)))
        tell(scheduler, *(finished(900 + n, WorkerId(n), took_s=SHORT_S) for n in (1, 2, 3)))

        assert sent(hear(scheduler, submitted(1), submitted(2), submitted(3))) == [(W3, [1]), (W2, [2]), (W1, [3])]

    def test_a_line_holds_one_shape(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=SHORT_S)

        assert sent(hear(scheduler, submitted(1), submitted(2, shape=cpus(0.5)))) == [(W1, [1])]

    def test_a_line_is_one_lease(self):
        scheduler = Scheduler(cpus(2))
        knows_duration(scheduler, took_s=SHORT_S)
        hear(scheduler, *(submitted(n, shape=cpus(2)) for n in (1, 2, 3, 4)))
        assert cpus_free(scheduler) == 0

        out = tell(scheduler, *(finished(n, W1, took_s=SHORT_S) for n in (1, 2, 3, 4)))

        assert cpus_free(scheduler) == 2
        assert [order for order in out if isinstance(order, m.PublishReport)] == [publish(n, W1) for n in (1, 2, 3, 4)]

    def test_a_short_line_is_filled_up(self):
        scheduler = line_of_three()

        assert sent(hear(scheduler, finished(1, W1, took_s=SHORT_S))) == [(W1, [4])]

    def test_a_line_is_not_filled_up_with_tasks_of_another_shape(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=SHORT_S)
        hear(scheduler, submitted(1), submitted(2), submitted(3, shape=cpus(0.5)))

        assert sent(hear(scheduler, finished(1, W1, took_s=SHORT_S))) == []

    def test_a_full_line_is_not_filled_up(self, monkeypatch):
        monkeypatch.setattr("jray.runtime.core.lines.LINE_LIMIT", 2)
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=0.0)
        hear(scheduler, *(submitted(n) for n in range(1, 9)))
        monkeypatch.setattr("jray.runtime.core.lines.LINE_LIMIT", 1)

        assert sent(hear(scheduler, finished(1, W1, took_s=0.0))) == []

    def test_a_line_with_many_tasks_is_not_filled_up_by_a_few(self, monkeypatch):
        monkeypatch.setattr("jray.runtime.core.lines.LINE_LIMIT", 4)
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=0.0)
        hear(scheduler, *(submitted(n) for n in range(1, 20)))

        assert sent(hear(scheduler, finished(1, W1, took_s=0.0))) == []
        assert sent(hear(scheduler, finished(2, W1, took_s=0.0))) == [(W1, [5, 6])]

    def test_lines_are_longer_while_the_kernel_answers_so_late_that_they_run_dry(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=0.001)
        (line,) = sent(hear(scheduler, *(submitted(n) for n in range(1, 900))))
        lengths, at = [len(line[1])], 1.0
        for _ in range(6):
            out = hear(scheduler, *(finished(n, W1, took_s=0.001, at=at) for n in line[1]))
            (line,) = sent(out)
            lengths.append(len(line[1]))
            at += 1.0

        assert lengths == [4, 8, 16, 32, 64, 64, 64]

    def test_and_shorter_again_when_they_are_filled_up_in_time(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=0.001)
        (line,) = sent(hear(scheduler, *(submitted(n) for n in range(1, 2_000))))
        waiting = [*line[1]]
        for number in range(4):
            out = hear(scheduler, *(finished(n, W1, took_s=0.001, at=1.0 + number) for n in waiting))
            waiting = [*sent(out)[0][1]]
        for number in range(1_000):
            out = hear(scheduler, finished(waiting.pop(0), W1, took_s=0.001, at=9.0 + number))
            for _, more in sent(out):
                waiting += more

        assert len(waiting) <= 6

    def test_an_unknown_function_gets_no_line_however_long_lines_are(self):
        scheduler = one_cpu()
        scheduler.placement.lines.budget_s = MOST_BUDGET_S

        assert sent(hear(scheduler, *(submitted(n) for n in range(1, 50)))) == [(W1, [1])]

    @pytest.mark.parametrize("took_s", [0.0005, 0.001, 0.0019, 0.0025, 0.003, 0.0039, 0.01, 0.1])
    def test_an_attentive_kernel_keeps_them_short_and_makes_them_so(self, took_s):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=took_s)
        scheduler.placement.lines.budget_s = MOST_BUDGET_S
        line = deque(sent_by(scheduler.handle([submitted(n) for n in range(1, 6_000)])))
        at = 1.0
        for _ in range(5_000):
            at += took_s + 0.0001
            line += sent_by(scheduler.handle([finished(line.popleft(), W1, took_s=took_s, at=at)]))

        assert scheduler.placement.lines.budget_s <= 2 * LINE_BUDGET_S

    def test_a_line_of_one_that_ends_says_nothing_of_the_kernel(self):
        scheduler = one_cpu()
        for number in range(1, 9):
            tell(scheduler, submitted(number), submitted(number + 100), finished(number, W1, at=float(number)))

        assert scheduler.placement.lines.budget_s == LINE_BUDGET_S

    def test_a_line_that_turns_out_long_is_not_filled_up(self):
        scheduler = line_of_three()

        assert sent(hear(scheduler, finished(1, W1, took_s=1.0))) == []

    def test_nothing_is_put_behind_a_task_that_handed_its_line_back(self):
        scheduler = line_of_three()
        hear(scheduler, handed_back(W1, (2, 1), (3, 1)))

        assert sent(hear(scheduler, submitted(5))) == []

    def test_a_mean_forgets_slowly(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=1.0)
        for number in range(100, 140):
            tell(scheduler, submitted(number), finished(number, W1, took_s=SHORT_S))

        assert len(sent(hear(scheduler, *(submitted(n) for n in range(1, 90))))[0][1]) > 1

    def test_the_time_of_a_failure_counts_too(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1), failed(1, W1))  # took a second

        assert scheduler.placement.lines._durations._means_s == {"f": 1.0}

    def test_there_is_an_end_to_the_functions_it_remembers(self, monkeypatch):
        monkeypatch.setattr("jray.runtime.core.durations._MOST", 2)
        scheduler = one_cpu()
        for number in (1, 2, 3):
            tell(scheduler, submitted(number, name=f"f{number}"), finished(number, W1))

        assert scheduler.placement.lines._durations._means_s == {"f3": 1.0}


class TestRecall:
    DEADLINE = 3 * SHORT_S + RECALL_GRACE_S

    def test_a_line_sets_a_timer(self):
        scheduler = one_cpu()
        knows_duration(scheduler, took_s=SHORT_S)

        out = hear(scheduler, *(submitted(n, at=5.0) for n in (1, 2, 3, 4)))

        assert out == [send(W1, (1, 1), (2, 1), (3, 1)), m.SetTimer(pytest.approx(5.0 + self.DEADLINE))]

    def test_one_task_alone_needs_no_timer(self):
        assert hear(one_cpu(), submitted(1)) == [m.StartWorker(W1), send(W1, (1, 1))]

    def test_a_late_line_is_called_back(self):
        scheduler = line_of_three()

        assert hear(scheduler, timer(1.0)) == [m.RecallTasks(W1)]

    def test_it_is_called_back_once(self):
        scheduler = line_of_three()
        hear(scheduler, timer(1.0))

        assert hear(scheduler, timer(2.0)) == []

    def test_a_line_that_is_not_late_is_looked_at_again(self):
        scheduler = line_of_three()
        hear(scheduler, finished(1, W1, at=0.01, took_s=SHORT_S))

        out = hear(scheduler, timer(self.DEADLINE))

        assert len(out) == 1
        assert isinstance(out[0], m.SetTimer)
        assert out[0].at > self.DEADLINE
        assert hear(scheduler, timer(out[0].at)) == [m.RecallTasks(W1)]

    def test_a_line_that_is_done_needs_no_look(self):
        scheduler = line_of_three()
        tell(scheduler, *(finished(n, W1, took_s=SHORT_S) for n in (1, 2, 3, 4)))

        assert hear(scheduler, timer(1.0)) == []

    def test_what_comes_back_runs_where_there_is_room(self):
        scheduler = two_cpus()
        knows_duration(scheduler, took_s=SHORT_S)
        hear(scheduler, submitted(8, name="long"))
        assert sent(hear(scheduler, submitted(1), submitted(2))) == [(W2, [1, 2])]
        tell(scheduler, finished(8, W1), timer(1.0))

        assert sent(hear(scheduler, handed_back(W2, (2, 1)))) == [(W1, [2])]

    def test_nothing_is_put_behind_a_line_that_was_called_back(self):
        scheduler = line_of_three()
        hear(scheduler, timer(1.0))

        assert sent(hear(scheduler, finished(1, W1, took_s=SHORT_S))) == []
        assert sent(hear(scheduler, finished(2, W1, took_s=SHORT_S))) == []
        assert sent(hear(scheduler, finished(3, W1, took_s=SHORT_S))) == [(W1, [4])]

    def test_the_worker_may_be_done_before_it_reads_the_recall(self):
        scheduler = line_of_three()
        hear(scheduler, timer(1.0))

        out = tell(scheduler, *(finished(n, W1, took_s=SHORT_S) for n in (1, 2, 3)))

        assert [order for order in out if isinstance(order, m.PublishReport)] == [publish(n, W1) for n in (1, 2, 3)]

    def test_the_earliest_line_sets_the_timer(self):
        scheduler = two_cpus()
        knows_duration(scheduler, took_s=SHORT_S)
        first = hear(scheduler, *(submitted(n, at=0.0) for n in (1, 2, 3)))
        later = hear(scheduler, *(submitted(n, at=0.001) for n in (4, 5, 6)))

        assert [type(order) for order in first].count(m.SetTimer) == 1
        assert [type(order) for order in later].count(m.SetTimer) == 0


class TestWarnings:
    ENDLESS = (
        "Task f asks for 3 CPU. This runtime has 2 CPU, 1 gpu, so the task stays pending; nothing else waits behind "
        "it. Ask for less (.options(...), or the %%remote line), or give it more: "
        "jray.resize(num_cpus=...)."
    )

    BOTH = (
        "Task train waits for results while its own child score waits for gpu, which train keeps while it waits "
        "(only CPUs are given back). If no other task gives some back, both wait for ever. "
        "Ask for less gpu in one of the two, or start jray with more."
    )

    def test_a_request_that_can_never_be_met_is_said(self):
        scheduler = Scheduler(cpus(2, gpu=1))

        assert hear(scheduler, submitted(1, shape=cpus(3))) == [m.WarnUser(self.ENDLESS)]

    def test_for_more_than_cpus_jray_must_be_started_again(self):
        (warning,) = hear(Scheduler(cpus(2, gpu=1)), submitted(1, shape=cpus(3, gpu=2)))

        assert warning.text.endswith("jray.init(num_cpus=..., num_gpus=..., resources={...}).")

    def test_it_is_said_once_for_each_shape(self):
        scheduler = Scheduler(cpus(2))
        hear(scheduler, submitted(1, shape=cpus(3)))

        assert hear(scheduler, submitted(2, shape=cpus(3))) == []
        assert "asks for 1 CPU, 1 tpu." in warnings(hear(scheduler, submitted(3, shape=cpus(1, tpu=1))))[0]

    def test_nobody_waits_behind_it(self):
        scheduler = one_cpu()
        hear(scheduler, submitted(1, shape=cpus(2)))

        assert sent(hear(scheduler, submitted(2))) == [(W1, [2])]

    def test_a_request_that_must_only_wait_is_not_worth_a_word(self):
        scheduler = two_cpus()
        hear(scheduler, submitted(1))

        assert hear(scheduler, submitted(2, shape=cpus(2))) == []

    def test_a_parent_that_keeps_what_its_child_needs_is_named_with_it(self):
        scheduler = Scheduler(cpus(2, gpu=1))
        hear(scheduler, submitted(1, name="train", shape=cpus(1, gpu=1)))
        hear(scheduler, child(2, of=1, on=W1, name="score", shape=cpus(1, gpu=1)))

        assert warnings(hear(scheduler, waits(1, W1, [result(2)]))) == [self.BOTH]

    def test_it_is_said_once_for_each_pair(self):
        scheduler = Scheduler(cpus(2, gpu=1))
        tell(scheduler, submitted(1, shape=cpus(1, gpu=1)), child(2, of=1, on=W1, shape=cpus(1, gpu=1)))
        assert len(warnings(hear(scheduler, waits(1, W1, [result(2)])))) == 1

        assert warnings(hear(scheduler, child(3, of=1, on=W1, shape=cpus(1, gpu=1)))) == []

    def test_a_grandparent_is_found_too(self):
        scheduler = Scheduler(cpus(2, gpu=1))
        tell(scheduler, submitted(1, name="top", shape=cpus(1, gpu=1)), child(2, of=1, on=W1, name="mid"))
        hear(scheduler, waits(1, W1, [result(2)]))

        out = hear(scheduler, child(3, of=2, on=W2, depth=2, name="low", shape=cpus(1, gpu=1)))

        assert "Task top waits for results while its own child low waits for gpu" in warnings(out)[0]

    def test_somebody_elses_gpu_is_not_worth_a_word(self):
        scheduler = Scheduler(cpus(2, gpu=1))
        hear(scheduler, submitted(1, shape=cpus(1, gpu=1)), submitted(2))
        hear(scheduler, waits(1, W1, [result(2)]))

        assert hear(scheduler, submitted(3, shape=cpus(1, gpu=1))) == []

    def test_a_parent_that_does_not_wait_is_not_worth_a_word(self):
        scheduler = Scheduler(cpus(2, gpu=1))
        hear(scheduler, submitted(1, shape=cpus(1, gpu=1)))

        assert hear(scheduler, child(2, of=1, on=W1, shape=cpus(1, gpu=1))) == []


# ---- the promise: a thousand chains f -> g -> h on one CPU need a handful of workers


class Chains:
    """Polite workers: a task submits its child and waits for it, three deep; nothing is lost or late."""

    def __init__(self, scheduler: Scheduler, *, shapes, took_s: float) -> None:
        self.scheduler = scheduler
        self.shapes = shapes
        self.took_s = took_s
        self.lines: dict[WorkerId, deque] = {}
        self.bodies: dict[WorkerId, tuple] = {}  # worker -> (task, attempt) that runs or waits there
        self.waiting: set[WorkerId] = set()
        self.has_waited: set[int] = set()
        self.depths: dict[int, int] = {}
        self.published = 0
        self.last_task = 0

    def submit(self, *, parent: int, owner: WorkerId) -> m.TaskSubmitted:
        self.last_task += 1
        depth = self.depths[self.last_task] = self.depths[parent] + 1 if parent else 0
        return submitted(
            self.last_task,
            name="fgh"[depth],
            shape=self.shapes[depth],
            depth=depth,
            parent=task_id(parent) if parent else NO_TASK,
            owner=owner,
        )

    def hear(self, *events: m.Event) -> None:
        for order in self.scheduler.handle(events):
            match order:
                case m.StartWorker(worker):
                    self.lines[worker] = deque()
                case m.SendTasks(worker, runs):
                    self.lines[worker].extend((task // task_id(1), attempt) for task, attempt in runs)
                case m.ReplyToWait(worker, _):
                    self.waiting.discard(worker)
                case m.PublishReport():
                    self.published += 1

    def go(self, worker: WorkerId) -> bool:
        """Let one worker do what it can do next."""
        line = self.lines[worker]
        if worker in self.waiting:
            if line:
                self.hear(handed_back(worker, *line))  # it reads the next message only afterwards
                line.clear()
            return False
        if worker not in self.bodies:
            if not line:
                return False
            self.bodies[worker] = line.popleft()
        task, attempt = self.bodies[worker]
        if self.depths[task] < 2 and task not in self.has_waited:
            self.has_waited.add(task)
            new = self.submit(parent=task, owner=worker)
            back = [handed_back(worker, *line)] if line else []
            line.clear()
            self.waiting.add(worker)
            self.hear(new, *back, waits(task, worker, [result(self.last_task)], attempt=attempt, request=task))
        else:
            del self.bodies[worker]
            self.hear(finished(task, worker, attempt, took_s=self.took_s))
        return True

    def run(self) -> None:
        while sum(self.go(worker) for worker in list(self.lines)):
            pass


@pytest.mark.parametrize("took_s", [SHORT_S, 1.0])
@pytest.mark.parametrize("shapes", [[cpus(1)] * 3, [cpus(1), cpus(0.5), cpus(1)], [cpus(1), (), cpus(0.5)]], ids=str)
def test_a_thousand_chains_on_one_cpu_need_a_handful_of_workers(shapes, took_s):
    chains = Chains(one_cpu(), shapes=shapes, took_s=took_s)
    chains.hear(*(chains.submit(parent=0, owner=WorkerId(0)) for _ in range(1000)))

    chains.run()

    assert chains.published == 3000
    assert len(chains.lines) < 10


@pytest.mark.parametrize("roots_cpus", [0.1, 0.5, 0.7])
def test_small_roots_do_not_run_past_a_child_that_needs_more_cpus(roots_cpus):
    chains = Chains(one_cpu(), shapes=[cpus(roots_cpus), cpus(1), cpus(1)], took_s=1.0)
    chains.hear(*(chains.submit(parent=0, owner=WorkerId(0)) for _ in range(100)))

    chains.run()

    assert chains.published == 300
    assert len(chains.lines) < 20


def test_roots_run_past_children_that_wait_for_something_else_than_cpus():
    chains = Chains(Scheduler(cpus(1, disk=0.5)), shapes=[cpus(0.5), cpus(0.5, disk=1), cpus(1)], took_s=1.0)
    chains.hear(*(chains.submit(parent=0, owner=WorkerId(0)) for _ in range(100)))

    chains.run()

    assert len(chains.lines) == 100  # all have started, and wait for a child that can never run


def test_a_few_roots_may_use_cpus_that_a_child_cannot_use_yet():
    scheduler = two_cpus()
    tell(scheduler, submitted(1, name="long"), submitted(2, name="parent"))
    tell(scheduler, child(3, of=2, on=W2, shape=cpus(2)), waits(2, W2, [result(3)]))

    assert send(WorkerId(3), (4, 1)) in hear(scheduler, submitted(4, name="root"))


def test_nobody_yields_to_a_deeper_task_that_waits_for_who_waits_for_him():
    """Who holds CPUs either ends or blocks, but not while one of its threads waits: its CPUs may never be free."""
    scheduler = one_cpu()
    half = cpus(0.5)
    tell(scheduler, submitted(1, shape=half, name="holder"))
    for number in range(2, 8):
        tell(scheduler, submitted(number, shape=half, name="parent"))
        blocks = waits(number, WorkerId(number), [result(number + 10)])
        tell(scheduler, child(number + 10, of=number, on=WorkerId(number), shape=cpus(1)), blocks)
    assert hear(scheduler, submitted(20, shape=half, name="root")) == []  # it yields to the children

    ordered = hear(scheduler, waits(1, W1, [result(20)], releases=False))

    assert send(WorkerId(8), (20, 1)) in ordered


def test_shapes_that_nobody_asks_for_any_more_are_forgotten():
    scheduler = two_cpus()
    for number in range(1, 2000):
        tell(scheduler, submitted(number, shape=cpus(number / 10_000)), finished(number, W1))
    assert len(scheduler.placement.queues) <= 64


def test_a_line_is_not_filled_up_past_an_older_task_that_waits_for_its_resources():
    scheduler = Scheduler(cpus(1, disk=1))
    knows_duration(scheduler)
    lines: deque[tuple[int, int]] = deque()
    order = []

    def hear_and_note(*events):
        for instruction in scheduler.handle(events):
            if isinstance(instruction, m.SendTasks):
                lines.extend(instruction.runs)

    hear_and_note(*(submitted(number) for number in range(2, 10)))
    hear_and_note(submitted(10, name="other", shape=cpus(1, disk=1)))
    hear_and_note(*(submitted(number) for number in range(11, 1000)))
    while lines:
        task, attempt = lines.popleft()
        order.append(task // task_id(1))
        hear_and_note(finished(order[-1], next(iter(scheduler.placement.workers)), attempt, took_s=0.0001))
    assert order.index(10) < 50  # at most one line of 4 ms is ahead of it


class TestRefusedWorkers:
    """The system has no process for a worker: too many files, processes, or too little memory."""

    def test_it_costs_no_attempt_and_the_system_is_asked_again_later(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1, max_retries=0))

        orders = hear(scheduler, refused(W1, at=1.0))
        assert [type(order) for order in orders] == [m.WarnUser, m.SetTimer]
        assert orders[1].at == 1.0 + REFUSED_S
        assert hear(scheduler, timer(1.0 + REFUSED_S)) == [m.StartWorker(W2), send(W2, (1, 2))]

    def test_workers_that_there_are_go_on_with_the_rest(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2), refused(W2))

        assert send(W1, (2, 2)) in hear(scheduler, finished(1, W1))

    def test_it_is_said_once_for_all_that_were_asked_for_together(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2))

        orders = hear(scheduler, refused(W1), refused(W2))
        (warning,) = (order.text for order in orders if isinstance(order, m.WarnUser))
        assert warning.startswith("No more workers: worker could not be started. Tasks that are queued wait")

    def test_a_task_fails_when_no_worker_was_to_be_had_for_long(self):
        scheduler = one_cpu()
        orders = hear(scheduler, submitted(1, max_retries=-1))
        at = 0.0
        for _ in range(MOST_REFUSALS):
            (started,) = (order for order in orders if isinstance(order, m.StartWorker))
            at += REFUSED_S
            last = hear(scheduler, refused(started.worker, at=at))
            at += REFUSED_S
            orders = hear(scheduler, timer(at))
        assert publish_failure(1, reason="worker could not be started") in last
        assert state_of(scheduler, 1) is None

    def test_a_child_fails_when_nothing_else_can_free_its_parents_worker(self):
        scheduler = one_cpu()
        tell(scheduler, submitted(1))
        orders = hear(scheduler, child(2, of=1, on=W1), waits(1, W1, [result(2)]))
        at = 0.0
        for _ in range(MOST_REFUSALS):
            (started,) = (order for order in orders if isinstance(order, m.StartWorker))
            last = hear(scheduler, refused(started.worker, at=at))
            at += 2 * REFUSED_S
            orders = hear(scheduler, timer(at))
        assert publish_failure(2, reason="worker could not be started") in last
        assert m.ReplyToWait(W1, 1) in last


class TestSurplusWorkers:
    """Blocked tasks need workers beyond the number of CPUs; afterwards nobody needs them."""

    def two_idle_workers_on_one_cpu(self, *, at: float = 0.0) -> tuple[Scheduler, list[m.Instruction]]:
        scheduler = one_cpu()
        tell(scheduler, submitted(1), child(2, of=1, on=W1), waits(1, W1, [result(2)]))
        tell(scheduler, finished(2, W2, at=at), dropped(result(2), holder=W1))
        return scheduler, hear(scheduler, finished(1, W1, at=at))

    def test_they_end_when_they_have_been_idle_for_long(self):
        scheduler, orders = self.two_idle_workers_on_one_cpu(at=1.0)

        assert orders[-1] == m.SetTimer(1.0 + SURPLUS_S)
        assert hear(scheduler, timer(1.0 + SURPLUS_S)) == [m.EndWorker(W2)]
        assert list(scheduler.placement.workers) == [W1]  # the one that ran last is the warmest

    def test_not_those_that_have_worked_meanwhile(self):
        scheduler, _ = self.two_idle_workers_on_one_cpu()
        hear(scheduler, submitted(3, at=1.0))
        hear(scheduler, finished(3, W1, at=2.0))

        assert hear(scheduler, timer(SURPLUS_S)) == [m.EndWorker(W2)]

    def test_not_those_that_hold_something(self):
        scheduler, _ = self.two_idle_workers_on_one_cpu()
        tell(scheduler, put(result(9)), taken(result(9), holder=W2))

        assert hear(scheduler, timer(SURPLUS_S)) == [m.EndWorker(W1)]

    def test_as_many_as_there_are_cpus_are_kept(self):
        scheduler = two_cpus()
        tell(scheduler, submitted(1), submitted(2))
        tell(scheduler, finished(1, W1))

        assert hear(scheduler, finished(2, W2)) == [publish(2, W2)]

    def test_what_an_ended_worker_still_says_changes_nothing(self):
        scheduler, _ = self.two_idle_workers_on_one_cpu()
        hear(scheduler, timer(SURPLUS_S))

        assert hear(scheduler, finished(2, W2), taken(result(1), holder=W2), lost(W2)) == []
