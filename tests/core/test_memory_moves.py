"""What goes to disk, and what comes back: through the scheduler's door."""

from __future__ import annotations

from functools import partial

import pytest

from jray.runtime.core import messages as m
from jray.runtime.core.memory import DISK_PAUSE_S, STUCK_S
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import KERNEL
from tests.support import builders
from tests.support.builders import (
    W1,
    W2,
    dropped,
    failed,
    finished,
    free,
    loaded,
    lost,
    put,
    reply_read,
    result,
    room_asked,
    send,
    spilled,
    submitted,
    taken,
    timer,
    unviewed,
    viewed,
    waits,
)
from tests.support.stores import LATE, A, B, C, hear, refused, store, tell, written

READERS = {
    "a view of the kernel": ([viewed(A)], [unviewed(A)]),
    "a view of a worker": ([submitted(1), viewed(A, holder=W1)], [unviewed(A, holder=W1)]),
    "a view of a worker that is lost": (
        [submitted(1, max_retries=0), viewed(A, holder=W1)],
        [lost(W1)],
    ),
    "an argument of a task that runs": ([submitted(1, needs=[A])], [finished(1, W1)]),
    "an argument of a task that fails": ([submitted(1, needs=[A])], [failed(1, W1)]),
    "an argument of a task whose worker is lost": ([submitted(1, needs=[A], max_retries=0)], [lost(W1)]),
    "an argument of a task that is blocked": (
        [submitted(1, needs=[A]), submitted(2, needs=[B]), waits(1, W1, [result(2)])],
        [failed(2, W2), finished(1, W1)],
    ),
    "a reply that was not read": ([submitted(1), waits(1, W1, [A])], [reply_read(W1)]),
    "a reply to a worker that is lost": ([submitted(1, max_retries=0), waits(1, W1, [A])], [lost(W1)]),
}


class TestSpilling:
    def test_what_nobody_reads_is_copied_then_moved_then_the_room_is_granted(self):
        scheduler = store()
        written(scheduler, 60)

        assert hear(scheduler, room_asked(60)) == [m.SpillObject(A)]
        assert hear(scheduler, spilled(A)) == [m.MoveToDisk(A), m.GrantRoom(KERNEL, 1)]
        assert (scheduler.memory.used, scheduler.memory.on_disk) == (0, 60)

    def test_what_leaves_is_not_free_yet(self):
        scheduler = store()
        written(scheduler, 60)
        hear(scheduler, room_asked(60, request=1))

        assert hear(scheduler, room_asked(60, request=2)) == []

    def test_no_more_leaves_than_is_missing(self):
        scheduler = store()
        written(scheduler, 30, 30, 30)

        assert hear(scheduler, room_asked(30)) == [m.SpillObject(A)]

    def test_the_least_recently_read_goes_first(self):
        scheduler = store()
        written(scheduler, 30, 30, 30)
        tell(scheduler, viewed(A), unviewed(A))

        assert hear(scheduler, room_asked(60)) == [m.SpillObject(B), m.SpillObject(C)]

    @pytest.mark.parametrize(("begin", "end"), READERS.values(), ids=READERS)
    def test_it_stays_as_long_as_somebody_reads(self, begin, end):
        scheduler = store(cpu=2)
        written(scheduler, 60, 10)
        tell(scheduler, taken(A), *begin, viewed(B))

        assert m.SpillObject(A) not in hear(scheduler, room_asked(60))
        assert m.SpillObject(A) in tell(scheduler, *end)

    @pytest.mark.parametrize(("begin", "end"), READERS.values(), ids=READERS)
    def test_who_begins_to_read_while_it_is_copied_keeps_it_in_memory(self, begin, end):
        scheduler = store(cpu=2)
        written(scheduler, 60, 10)
        tell(scheduler, taken(A), viewed(B), room_asked(60), *begin)

        assert hear(scheduler, spilled(A)) == [m.SetTimer(STUCK_S)]
        assert (scheduler.memory.used, scheduler.memory.on_disk) == (70, 60)
        orders = tell(scheduler, *end)
        assert m.SpillObject(A) in orders  # its copy is kept
        assert hear(scheduler, spilled(A))[:2] == [m.MoveToDisk(A), m.GrantRoom(KERNEL, 1)]

    @pytest.mark.parametrize("is_before", [True, False])
    def test_also_when_both_are_heard_together(self, is_before):
        scheduler = store()
        written(scheduler, 60)
        hear(scheduler, room_asked(60))
        batch = [submitted(1, needs=[A]), spilled(A)]

        orders = hear(scheduler, *(batch if is_before else reversed(batch)))

        assert send(W1, (1, 1)) in orders
        assert m.MoveToDisk(A) not in orders

    def test_a_queued_task_does_not_read_its_arguments_yet(self):
        scheduler = store(cpu=1)
        written(scheduler, 60)
        tell(scheduler, submitted(1), submitted(2, needs=[A]))

        assert hear(scheduler, room_asked(60)) == [m.SpillObject(A)]

    def test_views_are_counted_one_by_one_in_the_kernel(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, viewed(A), viewed(A), unviewed(A), room_asked(60))

        assert hear(scheduler, unviewed(A)) == [m.SpillObject(A)]

    def test_a_worker_counts_once_however_often_it_says_so(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, submitted(1), viewed(A, A, holder=W1), viewed(A, holder=W1), room_asked(60))

        assert hear(scheduler, unviewed(A, A, holder=W1)) == [m.SpillObject(A)]

    def test_a_worker_can_only_end_what_it_has_begun(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, submitted(1), viewed(A), room_asked(60))

        assert tell(scheduler, unviewed(A, holder=W1), reply_read(W1, 7)) == []

    def test_a_copy_that_failed_leaves_everything_as_it_was(self):
        scheduler = store()
        written(scheduler, 60)
        hear(scheduler, room_asked(60))
        hear(scheduler, spilled(A, error="disk full"))

        assert (scheduler.memory.used, scheduler.memory.leaving, scheduler.memory.on_disk) == (60, 0, 0)

    def test_freed_while_it_is_copied(self):
        scheduler = store()
        written(scheduler, 60)
        hear(scheduler, room_asked(60))

        assert hear(scheduler, dropped(A)) == [free(A), m.GrantRoom(KERNEL, 1)]
        assert hear(scheduler, spilled(A)) == []
        assert (scheduler.memory.used, scheduler.memory.leaving, scheduler.memory.on_disk) == (0, 0, 0)

    @pytest.mark.parametrize("is_before", [True, False])
    def test_freed_in_the_batch_in_which_the_copy_arrives(self, is_before):
        scheduler = store()
        written(scheduler, 60)
        hear(scheduler, room_asked(60))
        batch = [dropped(A), spilled(A)]

        assert hear(scheduler, *(batch if is_before else reversed(batch))) == [free(A), m.GrantRoom(KERNEL, 1)]
        assert (scheduler.memory.used, scheduler.memory.leaving, scheduler.memory.on_disk) == (0, 0, 0)

    def test_freed_on_disk(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, room_asked(60), spilled(A))

        assert hear(scheduler, dropped(A)) == [free(A)]
        assert (scheduler.memory.used, scheduler.memory.on_disk) == (0, 0)


class TestDisk:
    def test_nothing_goes_to_a_disk_that_is_full(self):
        scheduler = store(disk=50)
        written(scheduler, 60)

        assert hear(scheduler, room_asked(60)) == [m.SetTimer(STUCK_S)]
        (order, *_) = hear(scheduler, timer(LATE))
        assert order.is_for_disk
        assert "Nothing can be moved to disk: the limit for spilled objects is reached." in order.text

    def test_what_is_being_copied_counts_for_the_limit(self):
        scheduler = store(disk=50)
        written(scheduler, 40, 40)

        assert hear(scheduler, room_asked(100)) == [m.SpillObject(A)]

    def test_a_copy_that_there_is_needs_no_room_on_a_full_disk(self):
        scheduler = store(disk=30)
        written(scheduler, 30, 70)
        tell(scheduler, viewed(B), room_asked(10), spilled(A), dropped(B), unviewed(B), viewed(A), loaded(A))
        tell(scheduler, put(C, size=10), unviewed(A))

        assert m.SpillObject(A) in hear(scheduler, room_asked(70, request=2))

    def test_what_is_freed_on_disk_can_be_used_at_once(self):
        scheduler = store(disk=60)
        written(scheduler, 60)
        tell(scheduler, room_asked(60), spilled(A), put(B, size=60), room_asked(60, request=2))

        assert hear(scheduler, dropped(A)) == [free(A), m.SpillObject(B)]

    def test_after_an_error_it_is_left_alone_for_a_while(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, submitted(1), room_asked(60), spilled(A, error="the disk is broken"))

        assert m.SpillObject(A) not in hear(scheduler, timer(DISK_PAUSE_S - 0.1))
        assert m.SpillObject(A) in hear(scheduler, timer(DISK_PAUSE_S))

    def test_who_is_refused_after_an_error_is_told_of_it(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, room_asked(60), spilled(A, error="the disk is broken"))
        (order, *_) = hear(scheduler, timer(LATE))

        assert order.is_for_disk
        assert "Nothing can be moved to disk: the disk is broken." in order.text


class TestLoading:
    def on_disk(self, **limits: int) -> Scheduler:
        """A is on disk, B fills the memory, and the kernel has views of B."""
        scheduler = store(**limits)
        written(scheduler, 60)
        tell(scheduler, room_asked(60), spilled(A), put(B, size=60), viewed(B))
        return scheduler

    def test_what_is_read_comes_back_when_there_is_room(self):
        scheduler = self.on_disk()
        tell(scheduler, dropped(B), unviewed(B))

        assert hear(scheduler, viewed(A)) == [m.LoadObject(A)]
        assert hear(scheduler, loaded(A)) == []
        assert (scheduler.memory.used, scheduler.memory.returning, scheduler.memory.on_disk) == (60, 0, 60)

    def test_it_stays_where_it_is_when_there_is_none(self):
        scheduler = self.on_disk()

        assert hear(scheduler, viewed(A)) == []

    def test_it_does_not_come_back_as_long_as_somebody_waits_for_room(self):
        scheduler = self.on_disk(memory=200)
        written_more = [room_asked(50, request=7), put(C, size=50), viewed(C), room_asked(150, request=8)]
        tell(scheduler, *written_more)

        assert hear(scheduler, viewed(A)) == []

    def test_what_returns_is_promised_to_nobody(self):
        scheduler = self.on_disk()
        tell(scheduler, dropped(B), unviewed(B), viewed(A))

        assert m.GrantRoom(KERNEL, 2) not in hear(scheduler, room_asked(60, request=2))

    def test_who_reads_meanwhile_reads_the_file(self):
        scheduler = self.on_disk()
        tell(scheduler, dropped(B), unviewed(B), viewed(A))

        assert hear(scheduler, submitted(1, needs=[A])) == [m.StartWorker(W1), send(W1, (1, 1))]
        assert hear(scheduler, loaded(A)) == []

    def test_what_could_not_be_read_stays_on_disk(self):
        scheduler = self.on_disk()
        tell(scheduler, dropped(B), unviewed(B), viewed(A), loaded(A, succeeded=False))

        assert (scheduler.memory.used, scheduler.memory.returning, scheduler.memory.on_disk) == (0, 0, 60)

    def test_freed_while_it_returns_it_takes_memory_until_it_is_there(self):
        scheduler = self.on_disk()
        tell(scheduler, dropped(B), unviewed(B), viewed(A), dropped(A), unviewed(A))
        assert (scheduler.memory.returning, scheduler.memory.on_disk) == (60, 0)

        assert m.GrantRoom(KERNEL, 2) not in hear(scheduler, room_asked(60, request=2))
        assert hear(scheduler, loaded(A)) == [m.GrantRoom(KERNEL, 2)]
        assert (scheduler.memory.used, scheduler.memory.returning) == (0, 0)

    def test_nobody_is_refused_while_something_returns(self):
        scheduler = self.on_disk()
        tell(scheduler, dropped(B), unviewed(B), viewed(A), room_asked(60, request=2))

        assert refused(hear(scheduler, timer(LATE))) == []
        assert refused(hear(scheduler, timer(2 * LATE))) == []

    def test_its_copy_stays_for_the_next_time(self):
        scheduler = self.on_disk(disk=60)
        tell(scheduler, dropped(B), unviewed(B), viewed(A), loaded(A), unviewed(A))

        assert hear(scheduler, room_asked(60, request=2)) == [m.SpillObject(A)]
        assert hear(scheduler, spilled(A)) == [m.MoveToDisk(A), m.GrantRoom(KERNEL, 2)]
        assert scheduler.memory.on_disk == 60


class TestNothingIsDoneTwice:
    @pytest.mark.parametrize("again", [spilled(A), spilled(A, error="late"), loaded(A), loaded(A, succeeded=False)])
    def test_late_news_of_copies(self, again):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, room_asked(60), spilled(A), put(B, size=60), viewed(B))

        assert hear(scheduler, again) == []
        assert (scheduler.memory.used, scheduler.memory.on_disk) == (60, 60)

    def test_news_of_a_copy_that_are_heard_twice_in_one_batch(self):
        scheduler = store()
        written(scheduler, 60)
        hear(scheduler, room_asked(60))

        assert hear(scheduler, spilled(A), spilled(A)) == [m.MoveToDisk(A), m.GrantRoom(KERNEL, 1)]

    def test_a_report_that_is_said_twice(self):
        scheduler = store(standing=10)
        tell(scheduler, submitted(1), finished(1, W1, sizes=(4,)))

        assert hear(scheduler, finished(1, W1, sizes=(4,))) == []
        assert scheduler.memory.promises[W1] == 6

    def test_a_question_that_is_asked_twice(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, viewed(A), room_asked(50), room_asked(50))

        assert hear(scheduler, dropped(A)) == [free(A), m.GrantRoom(KERNEL, 1)]

    def test_a_put_that_is_said_twice(self):
        scheduler = store()
        written(scheduler, 60)

        assert hear(scheduler, put(A, size=60)) == []
        assert scheduler.memory.used == 60


class TestWarmPages:
    warm = staticmethod(partial(store, warm=25))

    def test_none_are_kept_when_memory_becomes_tight_and_all_again_when_there_is_plenty(self):
        scheduler = self.warm()

        assert builders.hear(scheduler, room_asked(75)) == [m.GrantRoom(KERNEL, 1)]
        assert builders.hear(scheduler, room_asked(1, request=2)) == [m.GrantRoom(KERNEL, 2), m.KeepWarm(0)]
        tell(scheduler, put(A, size=15), put(B, size=61))
        assert builders.hear(scheduler, dropped(A)) == [free(A)]
        assert builders.hear(scheduler, dropped(B)) == [free(B), m.KeepWarm(25)]

    def test_at_the_lower_edge_it_is_not_tight_any_more(self):
        scheduler = self.warm()
        tell(scheduler, room_asked(76), put(A, size=16), put(B, size=60))

        assert builders.hear(scheduler, dropped(A)) == [free(A), m.KeepWarm(25)]
