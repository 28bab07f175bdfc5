"""Thousands of small worlds in which everything goes wrong that may go wrong; see tests/support/simulation.

A failing test names its seed. `python -m tests.support.simulation SEED SIZE` shows what was said in that world.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from jray.runtime.core import messages as m
from jray.runtime.core.gpus import GpuWorkers
from jray.runtime.core.idle import IdleWorkers
from jray.runtime.core.lines import Lines
from jray.runtime.core.model import ObjectState, TaskState, WorkerState
from jray.runtime.core.placement import Placement
from jray.runtime.core.pool import PoolEvents
from jray.runtime.core.references import References
from jray.runtime.core.resources import Resources
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.core.waits import Waits
from tests.support.simulation import World, assert_noticed

CHUNK = 100
WITHIN = 400  # seeds in which a broken scheduler must be noticed


@pytest.mark.parametrize("first", range(0, 600, CHUNK))
def test_small_worlds_end_well(first):
    for seed in range(first, first + CHUNK):
        run(seed, size=1)


@pytest.mark.parametrize("seed", range(12))
def test_larger_worlds_end_well(seed):
    run(seed, size=5)


@pytest.mark.parametrize("seed", [1532, 13403])
def test_worlds_end_well_in_which_a_thread_waits_for_a_root_that_would_yield(seed):
    run(seed, size=3)


def test_a_large_world_ends_well():
    run(1, size=30)


def test_the_same_seed_makes_the_same_world():
    assert World(7, size=3).run().log == World(7, size=3).run().log


@pytest.mark.parametrize("seed", range(10))
def test_the_same_events_give_the_same_instructions(seed):
    world = World(seed, size=3).run()
    scheduler = Scheduler(world.mood.total, limits=world.mood.store.limits if world.mood.store is not None else None)

    assert [scheduler.handle(events) for events, _ in world.log] == [orders for _, orders in world.log]


def test_what_happens_is_nasty_enough():
    """The seeds above are worth nothing when the rare things do not happen in them."""
    moves, said = Counter(), Counter()
    for seed in range(400):
        world = World(seed, checks_books=False).run()
        moves.update((was.name, to.name) for _, _, was, to in world.scheduler.history._moves)
        said.update(type(message) for events, orders in world.log for message in events + orders)

    lost_while_waiting = [moves[(was, to)] for was in ("BLOCKED", "RESUMING") for to in ("QUEUED", "FAILED")]
    assert min(lost_while_waiting) >= 1, moves
    assert sum(lost_while_waiting) >= 40, moves
    assert moves[("RUNNING", "QUEUED")] >= 500, moves
    rare = (
        m.WorkerLost,
        m.WorkerRefused,
        m.EndWorker,
        m.WaitAbandoned,
        m.AttemptsHandedBack,
        m.RecallTasks,
        m.PublishFailure,
        m.WarnUser,
        m.KillWorker,
        m.RestartAsked,
        m.Resized,
        m.WorkerSpoiled,
        m.ModuleImported,
        m.ModulesChanged,
    )
    assert min(said[kind] for kind in rare) >= 20, said
    of_memory = (
        m.ViewsTaken,
        m.ViewsDropped,
        m.ReplyRead,
        m.RoomAbandoned,
        m.RoomReturned,
        m.RefuseRoom,
        m.Allow,
        m.MoveToDisk,
        m.ObjectLoaded,
    )
    assert min(said[kind] for kind in of_memory) >= 20, said


# ---- broken schedulers: without looking into the books, the world must notice


def no_fence(patch):
    """Reports and hand-backs count whatever attempt they name."""
    hand_back, take_from_line = Lines.hand_back, Lines.take

    def current(worker, task, attempt):
        return worker.lease.line.get(task, attempt) if worker.lease is not None else attempt

    patch.setattr(Lines, "hand_back", lambda p, w, t, a: hand_back(p, w, t, current(w, t, a)))
    patch.setattr(
        Lines,
        "take",
        lambda p, w, t, a, took_s, now: take_from_line(p, w, t, current(w, t, a), took_s, now),
    )


def blocked_tasks_keep_their_cpus(patch):
    patch.setattr(Resources, "give_back_cpus", lambda _, units: None)
    patch.setattr(Resources, "take_cpus", lambda _, units: None)


def resumed_tasks_take_no_cpu(patch):
    patch.setattr(Resources, "take_cpus", lambda _, units: None)


def resumed_tasks_do_not_ask_for_cpus(patch):
    """They go on at once, oversubscribing (as Ray's do)."""

    def take_cpus_if_there_are(resources, units):
        resources.available["CPU"] -= units

    def resume(placement):
        while placement.resuming:
            worker = placement.resuming.popleft()
            lease = worker.lease
            take_cpus_if_there_are(placement.resources, lease.cpus) if lease.cpus else None
            placement.without_cpu += not lease.cpus
            ask, lease.ask, lease.released = lease.ask, None, False
            placement._move([placement._tasks[next(iter(lease.line))]], TaskState.RUNNING)
            placement._order(m.ReplyToWait(worker.id, ask.request))

    patch.setattr(Placement, "_resume", resume)


def queued_tasks_overtake_resumed_ones(patch):
    def settle(placement, now):
        for queue in placement._by_priority():
            placement._serve(queue, (), now)
            if queue.length:
                for warning in placement._warnings.about(queue):
                    placement._order(warning)
        placement._resume()

    patch.setattr(Placement, "settle", settle)


def resumed_tasks_without_cpus_queue_up_behind_others(patch):
    def want_resume(placement, worker):
        placement._blocked.pop(worker.id, None)
        placement.resuming.append(worker)

    patch.setattr(Placement, "want_resume", want_resume)


def arguments_are_not_pinned(patch):
    def let_go(references, object_id):
        record = references.objects.get(object_id)
        if record is not None and record.holders:
            record.holders -= 1
            if not record.holders and record.state is not ObjectState.PENDING:
                references._free(object_id)

    patch.setattr(References, "let_go", let_go)


def results_do_not_pin_what_they_contain(patch):
    resolve = References.resolve
    patch.setattr(References, "resolve", lambda refs, object_id, state, _: resolve(refs, object_id, state, ()))


def arguments_are_unpinned_before_results_are_there(patch):
    unpin, on_finished = References.unpin, Scheduler._on_finished

    def unpin_first(scheduler, event):
        task = scheduler.tasks.get(event.task)
        worker = scheduler.placement.workers.get(event.worker)
        line = worker.lease.line if worker is not None and worker.lease is not None else {}
        if task is None or line.get(event.task) != event.attempt:
            return
        unpin(scheduler.references, task.spec.pins)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(References, "unpin", lambda *_: None)
            on_finished(scheduler, event)

    patch.setattr(Scheduler, "_on_finished", unpin_first)


def prefetched_attempts_of_lost_workers_are_forgotten(patch):
    on_worker_lost = Scheduler._on_worker_lost

    def forget_all_but_the_first(scheduler, event):
        worker = scheduler.placement.workers.get(event.worker)
        if worker is not None and worker.lease is not None:
            worker.lease.line = dict(list(worker.lease.line.items())[:1])
        on_worker_lost(scheduler, event)

    patch.setattr(Scheduler, "_on_worker_lost", forget_all_but_the_first)


def prefetched_attempts_of_lost_workers_cost_a_retry(patch):
    on_worker_lost = Scheduler._on_worker_lost

    def charge_all(scheduler, event):
        worker = scheduler.placement.workers.get(event.worker)
        line = list(worker.lease.line)[1:] if worker is not None and worker.lease is not None else []
        for task in (scheduler.tasks[task_id] for task_id in line):
            task.retries_left -= task.retries_left > 0
        on_worker_lost(scheduler, event)

    patch.setattr(Scheduler, "_on_worker_lost", charge_all)


def lost_attempts_are_always_retried(patch):
    patch.setattr(Scheduler, "_lost_attempt", lambda s, task, _: s._queue(task, in_front=True))


def lost_workers_keep_their_refs(patch):
    on_worker_lost = Scheduler._on_worker_lost

    def keep_refs(scheduler, event):
        worker = scheduler.placement.workers.get(event.worker)
        if worker is not None:
            worker.refs.clear()
        on_worker_lost(scheduler, event)

    patch.setattr(Scheduler, "_on_worker_lost", keep_refs)


def lines_are_never_called_back(patch):
    patch.setattr(Lines, "recall_late", lambda *_: None)


def leases_are_granted_on_a_full_machine(patch):
    patch.setattr(Resources, "fits", Resources.could_fit)


def tasks_start_when_one_argument_is_there(patch):
    on_submitted = Scheduler._on_submitted

    def only_the_first(scheduler, event):
        spec = event.spec
        on_submitted(scheduler, replace(event, spec=replace(spec, needs=spec.needs[:1])))

    patch.setattr(Scheduler, "_on_submitted", only_the_first)


def time_outs_are_not_heard(patch):
    patch.setattr(Waits, "_on_wait_abandoned", lambda *_: None)


def waits_are_answered_one_object_too_early(patch):
    on_worker_waits = Waits._on_worker_waits

    def in_haste(scheduler, event):
        on_worker_waits(scheduler, replace(event, count=event.count - 1))

    patch.setattr(Waits, "_on_worker_waits", in_haste)


def a_failure_does_not_end_a_wait(patch):
    on_worker_waits = Waits._on_worker_waits
    patch.setattr(Waits, "_on_worker_waits", lambda s, event: on_worker_waits(s, replace(event, until_failure=False)))


def gpus_are_counted_by_their_sum(patch):
    patch.setattr(Resources, "_has_gpus", lambda *_: True)


def idle_workers_keep_the_memory_of_gpus(patch):
    patch.setattr(GpuWorkers, "_in_the_way", lambda *_: [])
    patch.setattr(GpuWorkers, "_is_free", lambda *_: True)


def nobody_waits_until_memory_of_gpus_is_free(patch):
    patch.setattr(GpuWorkers, "_is_free", lambda *_: True)


def workers_with_gpus_that_must_leave_are_never_told(patch):
    patch.setattr(GpuWorkers, "_in_the_way", lambda *_: [])


def workers_are_used_again_for_any_gpus(patch):
    patch.setattr(GpuWorkers, "_can_take", lambda _, worker, *__: worker.state is WorkerState.IDLE)


def blocked_tasks_give_their_gpus_back(patch):
    block = Placement.block

    def and_gpus(placement, worker):
        block(placement, worker)
        placement.gpu_workers.let_go(worker)
        placement.gpu_workers.forget(worker)
        placement.resources.available["GPU"] = sum(placement.resources.free_gpus)

    patch.setattr(Placement, "block", and_gpus)


def cpus_that_were_taken_away_are_granted(patch):
    patch.setattr(Resources, "resize", lambda resources, cpus: resources.available.update(CPU=cpus))


def new_cpus_are_not_granted(patch):
    patch.setattr(Resources, "resize", lambda resources, cpus: resources.total.update(CPU=cpus))


def who_held_more_cpus_than_there_are_now_never_goes_on(patch):
    patch.setattr(Resources, "could_resume", lambda resources, units: units <= resources.available.get("CPU", 0))


def retired_workers_go_on(patch):
    patch.setattr(PoolEvents, "_retire", lambda *_, now: ())


def retired_workers_are_ended_while_they_are_busy(patch):
    def retire(events, worker, *, now):
        worker.is_retired = True
        yield m.EndWorker(worker.id)

    patch.setattr(PoolEvents, "_retire", retire)


def lines_of_retired_workers_are_filled_up(patch):
    retire = PoolEvents._retire

    def without_a_mark(events, worker, *, now):
        yield from retire(events, worker, now=now)
        if worker.lease is not None:
            worker.lease.recalled = False

    patch.setattr(PoolEvents, "_retire", without_a_mark)


def retired_workers_stay_when_they_are_done(patch):
    patch.setattr(IdleWorkers, "take_retired", lambda _: ())


def a_restart_waits_although_it_should_not(patch):
    retire = PoolEvents._retire
    patch.setattr(PoolEvents, "_retire", lambda events, worker, *, now: retire(events, worker, now=False))


def old_code_runs_on(patch):
    patch.setattr(PoolEvents, "_on_changed", lambda *_: None)


def new_tasks_get_into_lines_behind_old_code(patch):
    patch.setattr("jray.runtime.core.pool._close_line", lambda *_: ())


def imports_that_are_told_late_do_not_count(patch):
    def note(events, event):
        worker = events._placement.workers.get(event.worker)
        if worker is not None:
            worker.modules.add(event.module)

    patch.setattr(PoolEvents, "_on_imported", note)


BROKEN = {
    old_code_runs_on: "runs old code",
    new_tasks_get_into_lines_behind_old_code: "runs old code|should get no more",
    imports_that_are_told_late_do_not_count: "runs old code",
    cpus_that_were_taken_away_are_granted: "CPU are granted",
    new_cpus_are_not_granted: "could run, and does not",
    who_held_more_cpus_than_there_are_now_never_goes_on: "could go on, and do not",
    retired_workers_go_on: "should get no more",
    retired_workers_are_ended_while_they_are_busy: "is ended, and has",
    lines_of_retired_workers_are_filled_up: "should get no more",
    retired_workers_stay_when_they_are_done: "should have ended",
    a_restart_waits_although_it_should_not: "should have ended",
    gpus_are_counted_by_their_sum: "does not have its GPUs",
    idle_workers_keep_the_memory_of_gpus: "is crowded",
    nobody_waits_until_memory_of_gpus_is_free: "is crowded",
    workers_with_gpus_that_must_leave_are_never_told: "could run, and does not",
    workers_are_used_again_for_any_gpus: "is crowded|does not have its GPUs",
    blocked_tasks_give_their_gpus_back: "is crowded|GPU is oversubscribed",
    no_fence: "starts, but|runs in two|was heard, and nothing|is sent to",
    blocked_tasks_keep_their_cpus: "could run, and does not|could go on, and do not",
    resumed_tasks_take_no_cpu: "CPU is oversubscribed",
    resumed_tasks_do_not_ask_for_cpus: "CPU is oversubscribed",
    queued_tasks_overtake_resumed_ones: "overtakes",
    resumed_tasks_without_cpus_queue_up_behind_others: "no reply",
    arguments_are_not_pinned: "is freed, but task",
    results_do_not_pin_what_they_contain: "is freed, but object",
    arguments_are_unpinned_before_results_are_there: "is freed, but object",
    prefetched_attempts_of_lost_workers_are_forgotten: "could run, and does not",
    prefetched_attempts_of_lost_workers_cost_a_retry: "it survives",
    lost_attempts_are_always_retried: "is started too often",
    lost_workers_keep_their_refs: "are left, or should be",
    lines_are_never_called_back: "were not called back",
    leases_are_granted_on_a_full_machine: "is oversubscribed",
    tasks_start_when_one_argument_is_there: "is sent without its argument",
    time_outs_are_not_heard: "no reply|could go on",
    waits_are_answered_one_object_too_early: "must go on waiting",
    a_failure_does_not_end_a_wait: "no reply|could go on",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_the_world_notices_that(broken, monkeypatch):
    broken(monkeypatch)

    assert_noticed(BROKEN[broken], within=WITHIN)


def run(seed: int, *, size: int) -> None:
    world = World(seed, size=size)
    try:
        world.run()
    except Exception as error:
        error.add_note(f"Replay it: python -m tests.support.simulation {seed} {size}")
        raise
