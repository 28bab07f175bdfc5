"""Which GPUs a task gets, which worker may use them, and who has to leave first."""

from __future__ import annotations

from hypothesis import given, strategies as st

from jray.runtime.core import messages as m
from jray.runtime.core.idle import SURPLUS_S
from jray.runtime.core.resources import Resources, gpus_in
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.core.views import explain
from jray.runtime.ids import UNIT, Shape, WorkerId
from tests.support.builders import (
    W1,
    W2,
    W3,
    W4,
    cpus,
    finished,
    hear,
    lost,
    refused,
    result,
    send,
    submitted,
    taken,
    task_id,
    tell,
    timer,
    waits,
)


def gpus(amount: float, cpu: float = 0) -> Shape:
    return cpus(cpu, GPU=amount)


def machine(number: float) -> Scheduler:
    return Scheduler(cpus(8, GPU=number))


def ended(orders: list[m.Instruction]) -> list[WorkerId]:
    return [order.worker for order in orders if isinstance(order, m.EndWorker)]


class TestAmounts:
    def test_a_fraction_fits_where_one_gpu_has_room_for_it(self):
        resources = Resources(cpus(1, GPU=2))
        for gpu in (0, 1):
            resources.take(gpus(0.5))
            resources.take_gpus((gpu,), UNIT // 2)

        assert resources.fits(gpus(0.5))
        assert not resources.fits(gpus(0.6))
        assert not resources.fits(gpus(1))
        assert resources.lacking(gpus(1, cpu=1)) == ("GPU",)
        assert resources.fits(cpus(1))

    def test_whole_ones_need_gpus_that_nobody_uses(self):
        resources = Resources(cpus(1, GPU=3))
        resources.take(gpus(0.0001))
        resources.take_gpus((1,), 1)

        assert resources.fits(gpus(2))
        assert not resources.fits(gpus(3))
        assert resources.could_fit(gpus(3))


class TestWhoGetsWhich:
    def test_no_two_tasks_have_a_gpu(self):
        scheduler = machine(2)
        shape = gpus(1)
        orders = tell(scheduler, *(submitted(number, shape=shape) for number in (1, 2, 3)))

        assert orders == [m.StartWorker(W1, (0,)), send(W1, (1, 1)), m.StartWorker(W2, (1,)), send(W2, (2, 1))]
        assert explain(scheduler, task_id(3)) == "task f is queued: it needs 1 GPU; free now: 0 GPU"

    def test_several_gpus_for_one_task(self):
        assert hear(machine(3), submitted(1, shape=gpus(2)))[0] == m.StartWorker(W1, (0, 1))

    def test_fractions_fill_a_gpu_before_they_begin_another(self):
        scheduler = machine(3)
        amounts = (0.5, 0.7, 0.25, 0.25, 0.25, 1)
        orders = tell(scheduler, *(submitted(n, shape=gpus(amount)) for n, amount in enumerate(amounts, 1)))

        started = [order.gpus for order in orders if isinstance(order, m.StartWorker)]
        assert started == [(0,), (1,), (1,), (0,), (0,), (2,)]

    def test_what_is_left_on_different_gpus_is_no_whole_one(self):
        scheduler = machine(2)
        tell(scheduler, submitted(1, shape=gpus(0.6)), submitted(2, shape=gpus(0.6)))

        assert hear(scheduler, submitted(3, shape=gpus(0.5, cpu=1))) == []
        assert explain(scheduler, task_id(3)) == (
            "task f is queued: it needs 1 CPU, 0.5 GPU; free now: 8 CPU, 0.8 GPU, but not on one GPU"
        )

    def test_a_blocked_task_keeps_its_gpus(self):
        scheduler = machine(1)
        tell(scheduler, submitted(1, shape=gpus(1, cpu=1)), submitted(2, shape=cpus(8)), waits(1, W1, [result(2)]))

        assert hear(scheduler, submitted(3, shape=gpus(0.1))) == []


class TestWhichWorker:
    def test_a_worker_is_used_again_for_its_gpus(self):
        scheduler = machine(2)
        tell(scheduler, submitted(1, shape=gpus(1)), finished(1, W1))

        assert hear(scheduler, submitted(2, shape=gpus(1))) == [send(W1, (2, 1))]

    def test_another_gpu_is_another_worker(self):
        scheduler = machine(2)
        tell(scheduler, submitted(1, shape=gpus(1)), submitted(2, shape=gpus(1)), finished(1, W1), finished(2, W2))

        orders = hear(scheduler, submitted(3, shape=gpus(2)))
        assert ended(orders) == [W1, W2]
        assert hear(scheduler, lost(W1)) == []  # the memory of the other is not free yet
        assert hear(scheduler, lost(W2)) == [m.StartWorker(W3, (0, 1)), send(W3, (3, 1))]

    def test_workers_with_gpus_and_without_never_change_places(self):
        scheduler = machine(1)
        tell(scheduler, submitted(1), finished(1, W1))
        assert hear(scheduler, submitted(2, shape=gpus(1, cpu=1))) == [m.StartWorker(W2, (0,)), send(W2, (2, 1))]

        tell(scheduler, finished(2, W2), submitted(3))
        assert hear(scheduler, submitted(4)) == [m.StartWorker(W3), send(W3, (4, 1))]

    def test_a_gpu_without_an_idle_worker_is_taken_first(self):
        scheduler = machine(2)
        tell(scheduler, submitted(1, shape=gpus(0.5)), finished(1, W1))
        tell(scheduler, submitted(2, shape=gpus(1)), submitted(3, shape=gpus(0.25)))

        assert scheduler.placement.workers[W1].gpus == (0,)
        assert scheduler.placement.workers[W2].gpus == (1,)

    def test_idle_neighbours_stay_while_there_is_room_for_their_share(self):
        scheduler = machine(1)
        tell(scheduler, submitted(1, shape=gpus(0.5)), submitted(2, shape=gpus(0.25)), finished(1, W1), finished(2, W2))

        assert hear(scheduler, submitted(3, shape=gpus(0.25))) == [send(W2, (3, 1))]
        assert hear(scheduler, submitted(4, shape=gpus(0.25))) == [m.StartWorker(W3, (0,)), send(W3, (4, 1))]
        assert ended(hear(scheduler, submitted(5, shape=gpus(0.4)))) == [W1]
        assert hear(scheduler, lost(W1)) == [m.StartWorker(W4, (0,)), send(W4, (5, 1))]

    def test_a_worker_that_needs_more_waits_until_its_neighbour_has_left(self):
        scheduler = machine(1)
        tell(scheduler, submitted(1, shape=gpus(0.5)), submitted(2, shape=gpus(0.5)), finished(1, W1), finished(2, W2))

        assert hear(scheduler, submitted(3, shape=gpus(1))) == [m.EndWorker(W1)]
        assert hear(scheduler, submitted(4)) == [m.StartWorker(W3), send(W3, (4, 1))]  # nobody else waits
        assert hear(scheduler, lost(W1)) == [send(W2, (3, 1))]

    def test_who_must_leave_may_still_hold_objects(self):
        scheduler = machine(1)
        tell(scheduler, submitted(1, shape=gpus(0.5)), taken(result(1), holder=W1), finished(1, W1))
        orders = hear(scheduler, submitted(2, shape=gpus(1)))
        assert orders == [send(W1, (2, 1))]  # it has grown

        tell(scheduler, finished(2, W1))
        assert hear(scheduler, submitted(3, shape=gpus(0.5))) == [m.EndWorker(W1)]
        assert hear(scheduler, lost(W1)) == [m.StartWorker(W2, (0,)), send(W2, (3, 1))]

    def test_nobody_is_ended_while_the_system_refuses_workers(self):
        scheduler = machine(2)
        tell(scheduler, submitted(1, shape=gpus(1)), submitted(2, shape=gpus(1)), finished(1, W1), finished(2, W2))
        tell(scheduler, submitted(3), refused(W3, at=1.0))

        assert ended(tell(scheduler, submitted(4, shape=gpus(2), at=1.0))) == []

    def test_the_idle_ones_end_after_a_while_however_few_they_are(self):
        scheduler = machine(1)
        orders = tell(scheduler, submitted(1, shape=gpus(1)), finished(1, W1, at=1.0))

        assert orders[-1] == m.SetTimer(1.0 + SURPLUS_S)
        assert hear(scheduler, timer(1.0 + SURPLUS_S)) == [m.EndWorker(W1)]
        assert hear(scheduler, submitted(2, shape=gpus(0.5), at=20.0)) == []  # not before it has gone
        assert hear(scheduler, lost(W1, at=21.0)) == [m.StartWorker(W2, (0,)), send(W2, (2, 1))]

    def test_a_line_of_short_tasks_stays_on_its_gpu(self):
        scheduler = machine(2)
        tell(scheduler, submitted(1, shape=gpus(1)), finished(1, W1, took_s=0.0001))
        orders = hear(scheduler, *(submitted(number, shape=gpus(1)) for number in range(2, 12)))

        sent = {order.worker: len(order.runs) for order in orders if isinstance(order, m.SendTasks)}
        assert sent.keys() == {W1, W2}
        assert max(sent.values()) > 1


AMOUNTS = st.one_of(st.integers(1, 3).map(float), st.floats(0.0001, 0.9999))


class World:
    """Tasks that run, and workers that were told to end."""

    def __init__(self, number: int) -> None:
        self.scheduler = machine(number)
        self.running: dict[int, WorkerId] = {}
        self.leaving: list[WorkerId] = []

    def tell(self, event: m.Event) -> None:
        for order in hear(self.scheduler, event):
            if isinstance(order, m.SendTasks):
                self.running.update((task >> 16, order.worker) for task, _ in order.runs)
            elif isinstance(order, m.EndWorker):
                self.leaving.append(order.worker)

    def end_something(self, random) -> bool:
        if self.leaving and random.random() < 0.5:
            self.tell(lost(self.leaving.pop()))
        elif self.running:
            done = random.choice(list(self.running))
            self.tell(finished(done, self.running.pop(done)))
        return bool(self.running or self.leaving)


@given(st.integers(1, 4), st.lists(st.tuples(AMOUNTS, st.integers(0, 5)), max_size=40), st.randoms())
def test_no_gpu_is_ever_given_out_twice(number, requests, random):
    """Tasks come and end, and workers leave, in any order; the books are checked after each event."""
    world = World(number)
    for task, (amount, ends) in enumerate(requests, 1):
        world.tell(submitted(task, shape=gpus(amount)))
        for _ in range(ends):
            world.end_something(random)
    while world.end_something(random):
        pass

    left = [task.spec.template.shape for task in world.scheduler.tasks.values()]
    assert all(gpus_in(shape) > number * UNIT for shape in left)
    assert world.scheduler.placement.resources.free_gpus == [UNIT] * number
