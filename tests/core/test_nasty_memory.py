"""Schedulers whose books of memory are broken: without looking into the books, the simulated world must notice.

The worlds themselves run in test_nasty_world.py: in half of them values take shared memory.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from jray.runtime.core import messages as m
from jray.runtime.core.memory import Memory, Place
from jray.runtime.core.objects import ObjectEvents
from jray.runtime.core.scheduler import Scheduler
from tests.support.simulation import assert_noticed

WITHIN = 400  # seeds


def arguments_in_lines_are_not_read(patch):
    move = Scheduler._move

    def without_readers(scheduler, task, to):
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Memory, "begin_reading", lambda *_: None)
            inner.setattr(Memory, "end_reading", lambda *_: None)
            move(scheduler, task, to)

    patch.setattr(Scheduler, "_move", without_readers)


def replies_are_not_read(patch):
    patch.setattr(ObjectEvents, "lend", lambda *_: None)


def views_are_not_counted(patch):
    patch.setattr(ObjectEvents, "_on_views_taken", lambda *_: None)
    patch.setattr(ObjectEvents, "_on_views_dropped", lambda *_: None)


def a_copy_counts_although_somebody_reads(patch):
    def leave(memory):
        for object_id in memory._copied:
            record = memory.blocks.get(object_id)
            if record is not None:
                record.place = Place.DISK
                memory.used -= record.size
                yield m.MoveToDisk(object_id)
        memory._copied.clear()

    patch.setattr(Memory, "_leave", leave)


def a_lost_worker_keeps_its_promise(patch):
    dismiss = Memory.dismiss

    def keep(memory, process):
        before = memory.promised
        dismiss(memory, process)
        memory.promised = before

    patch.setattr(Memory, "dismiss", keep)


def a_lost_worker_still_waits_for_room(patch):
    dismiss = Memory.dismiss

    def keep(memory, process):
        requests = memory.requests
        dismiss(memory, process)
        memory.requests = requests
        memory.promises.setdefault(process, 0)

    patch.setattr(Memory, "dismiss", keep)


def what_leaves_is_free_already(patch):
    shortage = Memory._shortage
    patch.setattr(Memory, "_shortage", lambda memory, size: shortage(memory, size) - memory.leaving)


def what_returns_takes_no_memory_yet(patch):
    shortage = Memory._shortage
    patch.setattr(Memory, "_shortage", lambda memory, size: shortage(memory, size) - memory.returning)


def the_bytes_of_freed_objects_stay_counted(patch):
    free = Memory.free

    def count_on(memory, objects):
        before = memory.used
        free(memory, objects)
        memory.used = before

    patch.setattr(Memory, "free", count_on)


def room_is_granted_beyond_the_limit(patch):
    shortage = Memory._shortage
    patch.setattr(Memory, "_shortage", lambda memory, size: shortage(memory, size) - 10)


def what_was_promised_is_not_counted(patch):
    shortage = Memory._shortage
    patch.setattr(Memory, "_shortage", lambda memory, size: shortage(memory, size) - memory.promised)


def room_that_is_returned_stays_promised(patch):
    patch.setattr(ObjectEvents, "_on_room_returned", lambda *_: None)


def nothing_is_waited_for_before_a_refusal(patch):
    patch.setattr(Memory, "_is_hopeless", lambda *_: True)


def nobody_who_works_is_waited_for(patch):
    is_hopeless = Memory._is_hopeless
    patch.setattr(Memory, "_is_hopeless", lambda memory, now, _: is_hopeless(memory, now, lambda: False))


def nobody_is_ever_refused(patch):
    patch.setattr(Memory, "_is_hopeless", lambda *_: False)


def a_full_disk_takes_more(patch):
    spill = Memory._spill

    def without_limit(memory, *args):
        limits, memory.limits = memory.limits, replace(memory.limits, disk=1 << 40)
        yield from list(spill(memory, *args))
        memory.limits = limits

    patch.setattr(Memory, "_spill", without_limit)


BROKEN = {
    arguments_in_lines_are_not_read: "is mapped|was told that it is in memory",
    replies_are_not_read: "was told that it is in memory",
    views_are_not_counted: "is mapped",
    a_copy_counts_although_somebody_reads: "is mapped|was told that it is in memory",
    a_lost_worker_keeps_its_promise: "but there is room|could be granted|could be moved",
    a_lost_worker_still_waits_for_room: "which nobody waits for",
    what_leaves_is_free_already: "more than there is",
    what_returns_takes_no_memory_yet: "more than there is|there is no room for it",
    the_bytes_of_freed_objects_stay_counted: "but there is room|could be granted|is not the truth",
    room_is_granted_beyond_the_limit: "more than there is",
    what_was_promised_is_not_counted: "more than there is",
    room_that_is_returned_stays_promised: "but there is room|could be granted|is known",
    nothing_is_waited_for_before_a_refusal: "something leaves or returns",
    nobody_who_works_is_waited_for: "work, and may let go",
    nobody_is_ever_refused: "wait for room, and nobody can make any",
    a_full_disk_takes_more: "on disk is too much",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_the_world_notices_that(broken, monkeypatch):
    broken(monkeypatch)

    assert_noticed(BROKEN[broken], within=WITHIN)
