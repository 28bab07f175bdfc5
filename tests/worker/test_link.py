"""The worker's end of the line, with a kernel that is silent."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest

from jray.runtime import wire
from jray.runtime.ids import WorkerId
from jray.runtime.store.arena import Arena
from jray.runtime.store.mapping import take_over
from jray.runtime.system import make_memory
from jray.runtime.worker.link import Link

ATTEMPT = (1, 1, None, 0, (), None)
RUNS = wire.Runs("f", b"", (), 1, (), 0, 0, read_only=False, attempts=[ATTEMPT])


@pytest.fixture
def link():
    (ours, theirs), (our_control, their_control) = socket.socketpair(), socket.socketpair()
    memory, reading = make_memory("jray-test")
    with ours, theirs, our_control, their_control:
        ours.settimeout(5)  # whoever reads here reads for ever
        yield Link(WorkerId(1), ours, our_control, Arena(WorkerId(1), memory))
    take_over()
    os.close(reading)


def reads_first(link, received):
    """A lock for `link._reading` that is had only when the helper has read this message."""

    @contextlib.contextmanager
    def lock():
        link._sort([received])
        yield

    return lock()


def test_a_reply_that_the_helper_has_read_is_found_without_reading(link):
    # After a recall the helper reads the stream; a main thread that begins to wait then stands before the lock.
    reply = wire.Reply(7, ())
    link._reading = reads_first(link, reply)
    assert link.wait_for_reply(7, None) is reply


def test_an_attempt_that_the_helper_has_read_is_found_without_reading(link):
    link._reading = reads_first(link, RUNS)
    assert link.next_run() == (RUNS, ATTEMPT)


def test_what_was_sent_before_an_attempt_runs_before_it_also_when_the_helper_has_read_both(link):
    set_up = wire.SetUp(1, "f", 0, (b"", ()), (b"", ()), is_condition=True)
    link._sort([set_up, RUNS])
    assert [link.next_run(), link.next_run()] == [(set_up, None), (RUNS, ATTEMPT)]


def test_what_is_to_be_run_between_tasks_is_not_handed_back(link):
    set_up = wire.SetUp(1, "f", 0, (b"", ()), (b"", ()), is_condition=False)
    link._sort([set_up])
    link.hand_back()
    assert link.next_run() == (set_up, None)
