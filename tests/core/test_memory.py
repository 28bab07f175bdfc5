"""Who may write how much into shared memory: through the scheduler's door."""

from __future__ import annotations

from jray.runtime.core import messages as m
from jray.runtime.core.memory import STUCK_S, StoreLimits
from jray.runtime.core.scheduler import Scheduler
from jray.runtime.ids import KERNEL, to_hex
from tests.support.builders import (
    W1,
    W2,
    dropped,
    finished,
    free,
    lost,
    publish,
    put,
    result,
    room_abandoned,
    room_asked,
    spilled,
    submitted,
    taken,
    timer,
    viewed,
    waits,
)
from tests.support.stores import LATE, SOON, A, B, C, hear, refused, store, tell, text_of_refusal, written


class TestAllowances:
    def test_what_is_within_the_allowance_needs_no_question(self):
        scheduler = store(standing=10)

        assert hear(scheduler, put(A, size=5)) == []
        assert (scheduler.memory.used, scheduler.memory.promises[KERNEL]) == (5, 5)

    def test_who_has_used_up_more_than_half_gets_all_of_it_again(self):
        scheduler = store(standing=10)

        assert hear(scheduler, put(A, size=6)) == [m.Allow(KERNEL, 6)]

    def test_small_results_add_up(self):
        scheduler = store(standing=10)
        hear(scheduler, put(A, size=5))

        assert hear(scheduler, put(B, size=1)) == [m.Allow(KERNEL, 6)]

    def test_a_worker_has_its_own_from_the_start(self):
        scheduler = store(standing=10)
        hear(scheduler, submitted(1))

        assert scheduler.memory.promises == {KERNEL: 10, W1: 10}
        assert hear(scheduler, finished(1, W1, sizes=(6,))) == [publish(1, W1), m.Allow(W1, 6)]

    def test_there_are_none_while_memory_is_full_and_things_move_for_them(self):
        scheduler = store(standing=10)
        written(scheduler, 100)
        tell(scheduler, viewed(A), submitted(1))

        assert hear(scheduler, finished(1, W1, sizes=(6,))) == [publish(1, W1), m.SpillObject(result(1))]
        assert hear(scheduler, spilled(result(1))) == [m.MoveToDisk(result(1)), m.Allow(W1, 6)]

    def test_who_waited_for_one_gets_it_when_there_is_room(self):
        scheduler = store(standing=10)
        written(scheduler, 100)
        tell(scheduler, viewed(A), submitted(1), finished(1, W1, sizes=(6,)), viewed(result(1)))

        assert m.Allow(W1, 6) in hear(scheduler, dropped(A))

    def test_a_granted_request_and_an_allowance_are_not_given_for_the_same_bytes(self):
        scheduler = store(standing=10)
        tell(scheduler, submitted(1), room_asked(80, process=W1))

        assert scheduler.memory.promises[W1] == 90
        assert hear(scheduler, finished(1, W1, sizes=(86,))) == [publish(1, W1), m.Allow(W1, 6)]


class TestRoom:
    def test_room_that_there_is_is_granted_at_once(self):
        assert hear(store(), room_asked(100)) == [m.GrantRoom(KERNEL, 1)]

    def test_promised_room_is_not_promised_again(self):
        scheduler = store()
        tell(scheduler, submitted(1), room_asked(60))

        assert hear(scheduler, room_asked(60, process=W1)) == [m.SetTimer(STUCK_S)]

    def test_freed_objects_make_room(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, viewed(A), room_asked(60))

        assert hear(scheduler, dropped(A)) == [free(A), m.GrantRoom(KERNEL, 1)]

    def test_requests_are_met_in_their_order(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, viewed(A), room_asked(50, request=1), room_asked(10, request=2))

        assert hear(scheduler, dropped(A)) == [free(A), m.GrantRoom(KERNEL, 1), m.GrantRoom(KERNEL, 2)]

    def test_what_is_larger_than_the_store_is_refused_at_once(self):
        (order,) = hear(store(), room_asked(101))

        assert order == m.RefuseRoom(KERNEL, 1, False, order.text)
        assert order.text == (
            "A value of 101 B could not be stored. The object store is limited to 100 B. Store it in smaller pieces, "
            "or start jray with more: jray.init(object_store_memory=...), in bytes."
        )

    def test_what_is_too_large_waits_for_nobody(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, viewed(A), room_asked(50))

        assert refused(hear(scheduler, room_asked(101, request=2))) == [(KERNEL, 2)]

    def test_things_move_for_the_next_one_as_soon_as_the_first_is_refused(self):
        scheduler = store()
        written(scheduler, 60)

        out = hear(scheduler, room_asked(101, request=1), room_asked(60, request=2))

        assert refused(out) == [(KERNEL, 1)]
        assert m.SpillObject(A) in out

    def test_an_abandoned_request_is_forgotten(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, viewed(A), room_asked(50, request=1), room_asked(30, request=2))

        assert hear(scheduler, room_abandoned(request=1)) == [m.GrantRoom(KERNEL, 2)]

    def test_an_answered_request_can_not_be_abandoned(self):
        scheduler = store()
        hear(scheduler, room_asked(50))

        assert hear(scheduler, room_abandoned()) == []
        assert scheduler.memory.promises[KERNEL] == 50

    def test_a_lost_worker_gives_back_what_it_was_promised(self):
        scheduler = store()
        tell(scheduler, submitted(1, max_retries=0), room_asked(90, process=W1), room_asked(50))

        assert m.GrantRoom(KERNEL, 1) in hear(scheduler, lost(W1))

    def test_a_lost_worker_does_not_wait_for_room(self):
        scheduler = store()
        written(scheduler, 60)
        tell(scheduler, viewed(A), submitted(1, max_retries=0), room_asked(50, process=W1))
        hear(scheduler, lost(W1))

        assert hear(scheduler, dropped(A)) == [free(A)]

    def test_nobody_hears_of_the_requests_of_lost_workers(self):
        scheduler = store()
        tell(scheduler, submitted(1, max_retries=0), lost(W1))

        assert hear(scheduler, room_asked(10, process=W1)) == []

    def test_what_a_lost_worker_had_put_before_counts_until_it_is_freed(self):
        scheduler = store()
        tell(scheduler, submitted(1, max_retries=0), put(A, owner=W1, size=50), taken(A), lost(W1))
        assert scheduler.memory.used == 50

        hear(scheduler, dropped(A))
        assert scheduler.memory.used == 0


class TestBackPressure:
    def full(self, *, cpu: int = 2) -> Scheduler:
        """A fills the memory, the kernel has a view of it and waits for room."""
        scheduler = store(cpu=cpu)
        written(scheduler, 100)
        tell(scheduler, viewed(A))
        return scheduler

    def test_a_request_waits_while_somebody_works(self):
        scheduler = self.full()
        tell(scheduler, submitted(1))

        assert hear(scheduler, room_asked(10)) == [m.SetTimer(STUCK_S)]
        for second in (1, 2, 3):
            assert hear(scheduler, timer(second * STUCK_S)) == [m.SetTimer((second + 1) * STUCK_S)]

    def test_it_is_refused_when_nobody_works_who_could_let_go_of_something(self):
        scheduler = self.full()
        hear(scheduler, room_asked(10))

        assert refused(hear(scheduler, timer(SOON))) == []
        assert refused(hear(scheduler, timer(LATE))) == [(KERNEL, 1)]

    def test_who_waits_for_room_does_not_work(self):
        scheduler = self.full()
        tell(scheduler, submitted(1), room_asked(10, process=W1))

        assert refused(hear(scheduler, timer(LATE))) == [(W1, 1)]

    def test_who_waits_for_objects_does_not_work(self):
        scheduler = self.full(cpu=1)
        tell(scheduler, submitted(1), submitted(2, num_returns=1), waits(1, W1, [result(2)]))
        hear(scheduler, room_asked(10, process=W2))

        assert refused(hear(scheduler, timer(LATE))) == [(W2, 1)]

    def test_the_next_one_has_as_long(self):
        scheduler = self.full()
        tell(scheduler, room_asked(10, request=1), room_asked(10, request=2))

        assert refused(hear(scheduler, timer(LATE))) == [(KERNEL, 1)]
        assert refused(hear(scheduler, timer(LATE + SOON))) == []
        assert refused(hear(scheduler, timer(LATE + LATE))) == [(KERNEL, 2)]

    def test_whoever_got_room_in_between_starts_the_clock_anew(self):
        scheduler = store()
        written(scheduler, 50, 50)
        tell(scheduler, viewed(A, B), room_asked(50, request=1), room_asked(50, request=2))
        tell(scheduler, m.RefsDropped(SOON, KERNEL, (A,)))

        assert refused(hear(scheduler, timer(LATE))) == []
        assert refused(hear(scheduler, timer(SOON + LATE))) == [(KERNEL, 2)]

    def test_the_words_name_who_holds_what(self):
        scheduler = store(memory=120)
        written(scheduler, 50, 40, 30)
        tell(scheduler, viewed(A), submitted(1, name="train", needs=[B]), viewed(C, holder=W1), room_asked(10))
        tell(scheduler, room_asked(10, process=W1, request=5))
        (first, *_) = [o.text for o in hear(scheduler, timer(LATE)) if isinstance(o, m.RefuseRoom)]

        assert first.startswith("A value of 10 B could not be stored. Of the object store's 120 B, 120 B are in use by")
        assert f"{to_hex(A)} (50 B, read by an array in the process that started jray)" in first
        assert f"{to_hex(B)} (40 B, read by task train)" in first
        assert f"{to_hex(C)} (30 B, read by worker w1)" in first

    def test_the_words_name_the_largest_and_count_the_others(self):
        scheduler = store(memory=60)
        for number in range(6):
            tell(scheduler, room_asked(10), put(result(60 + number), size=10), viewed(result(60 + number)))
        hear(scheduler, room_asked(10))

        assert "and 1 more; what is being read stays in memory." in text_of_refusal(hear(scheduler, timer(LATE)))


def test_limits_are_shared_between_processes():
    limits = StoreLimits.of(1 << 30, None, processes=4)

    assert (limits.memory, limits.standing, limits.warm) == (1 << 30, 16 << 20, 64 << 20)
    assert StoreLimits.of(320, 99, processes=0) == StoreLimits(memory=320, disk=99, standing=10, warm=80)
