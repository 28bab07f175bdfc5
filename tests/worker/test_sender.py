"""What is said together, in which order, and what is not held back."""

from __future__ import annotations

import socket
import threading

import pytest

from jray.runtime import wire
from jray.runtime.ids import WorkerId
from jray.runtime.store.arena import Arena
from jray.runtime.store.journal import read_journal
from jray.runtime.store.mapping import take_over
from jray.runtime.system import Descriptor, make_memory
from jray.runtime.worker.sender import Sender

NOW = 100.0


def runs(name="f", origin=0):
    return wire.Runs(name, b"", (), 1, (), 0, origin, read_only=False, attempts=[])


def report(number):
    return (number << 16, 1, 0.00001, b"N.", "NoneType")


class Kernel:
    """The other end."""

    def __init__(self, end):
        self._end, self._frames = end, wire.Frames()

    def heard(self):
        try:
            return self._frames.feed(self._end.recv(1 << 20, socket.MSG_DONTWAIT))
        except BlockingIOError:
            return []


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    memory, reading = make_memory("jray-test")
    with ours, theirs:
        sender = Sender(ours, Arena(WorkerId(1), memory), lambda _: None)
        sender.allowance.take_excess()
        sender._flushed_at = NOW
        yield sender, Kernel(theirs), Descriptor(reading)
        sender.is_called.close()
    take_over()


def gather(sender, number, run):
    return sender.may_gather(run, NOW + 0.0005) and sender.gather(report(number))


def test_reports_are_gathered_while_others_of_their_kind_follow_and_go_first(ends):
    sender, kernel, memory = ends
    run = runs()
    sender.line.append((runs(), (9 << 16, 1, None, 0, (), None), None))
    assert gather(sender, 1, run)
    assert gather(sender, 2, run)
    assert kernel.heard() == []
    sender.post(wire.Output(3, "f", 0, "stdout", "text"))
    sender.flush()
    assert kernel.heard() == [wire.Returned([report(1), report(2)]), wire.Output(3, "f", 0, "stdout", "text")]
    assert read_journal(memory) == b""
    sender.flush()
    assert kernel.heard() == []


def test_until_they_are_sent_they_are_in_the_journal(ends):
    sender, _, memory = ends
    run = runs()
    sender.line.append((run, (9 << 16, 1, None, 0, (), None), None))
    assert gather(sender, 1, run)
    assert gather(sender, 2, run)
    assert wire.Frames().feed(read_journal(memory)) == [wire.Returned([report(1)]), wire.Returned([report(2)])]


@pytest.mark.parametrize("following", [None, runs(name="g"), runs(origin=7)], ids=["nothing", "another", "of a cell"])
def test_nothing_is_held_back_when_nothing_of_its_kind_follows(ends, following):
    sender, *_ = ends
    if following is not None:
        sender.line.append((following, (9 << 16, 1, None, 0, (), None), None))
    assert not gather(sender, 1, runs())


@pytest.mark.parametrize("what", ["time", "a message", "a ref", "a view", "a fork"])
def test_what_else_must_be_said_is_not_held_back(ends, what):
    sender, *_ = ends
    run = runs()
    sender.line.append((run, (9 << 16, 1, None, 0, (), None), None))
    match what:
        case "time":
            sender._flushed_at = NOW - 1
        case "a message":
            sender.post(wire.Recall())
        case "a ref":
            sender.held.retain(1)
        case "a view":
            sender.views.release(1)
        case _:
            sender.disown()
    assert not gather(sender, 1, run)


def test_a_full_journal_ends_the_gathering(ends):
    sender, kernel, _ = ends
    run = runs()
    sender.line.append((run, (9 << 16, 1, None, 0, (), None), None))
    number = 0
    while gather(sender, number, run):
        number += 1
    assert 100 < number < 1_000
    sender.flush()
    (sent,) = kernel.heard()
    assert sent.reports == [report(n) for n in range(number)]


def test_the_helper_sends_what_has_waited_for_its_time_and_then_rests(ends):
    sender, kernel, _ = ends
    run = runs()
    assert sender.look_again_ms is None
    sender.line.append((run, (9 << 16, 1, None, 0, (), None), None))
    assert gather(sender, 1, run)
    assert sender.look_again_ms is not None
    sender._flushed_at = 0.0  # long ago
    sender.send_gathered()
    assert kernel.heard() == [wire.Returned([report(1)])]
    looks = 0
    while sender.look_again_ms is not None:
        sender.send_gathered()
        looks += 1
    assert looks < 20
    assert kernel.heard() == []


def test_tasks_that_are_submitted_one_after_the_other_are_one_message(ends):
    sender, kernel, _ = ends
    sent = wire.Submit("f", "f", (), 1, 3, 1, 5, 0, (b"",), False, None, [(1, (), (), b"", None)])
    assert not sender.add_submitted("f", (1, (), (), b"", None))
    sender.post_submitted("f", sent)
    assert sender.add_submitted("f", (2, (), (), b"", None))
    assert not sender.add_submitted("g", (3, (), (), b"", None))
    sender.post(wire.Recall())
    assert not sender.add_submitted("f", (3, (), (), b"", None))
    sender.flush()
    first, second = kernel.heard()
    assert [task for task, *_ in first.tasks] == [1, 2]
    assert second == wire.Recall()
    assert not sender.add_submitted("f", (3, (), (), b"", None))
    assert sender.last_submitted is None  # it would hold the function and its arguments


def test_what_was_gathered_is_said_again_when_a_signal_handler_raised_while_it_was_sent(ends, monkeypatch):
    sender, kernel, memory = ends
    run = runs()
    sender.line.append((run, (9 << 16, 1, None, 0, (), None), None))
    assert gather(sender, 1, run)
    with monkeypatch.context() as patch:
        patch.setattr(wire, "frame", lambda _: 1 / 0)  # as if an alarm of the task's had struck there
        with pytest.raises(ZeroDivisionError):
            sender.flush()
    assert read_journal(memory)
    sender.flush()
    assert kernel.heard() == [wire.Returned([report(1)])]


def test_the_helper_rests_also_when_the_main_thread_was_faster(ends):
    sender, *_ = ends
    run = runs()
    sender.line.append((run, (9 << 16, 1, None, 0, (), None), None))
    for number in range(3):
        assert gather(sender, number, run)
        sender.flush()
        sender._flushed_at = NOW
        looks = 0
        while sender.look_again_ms is not None:
            sender.send_gathered()
            looks += 1
        assert 0 < looks < 20


def test_the_helper_itself_must_not_wait(ends):
    sender, *_ = ends
    sender.helper = threading.current_thread()
    with pytest.raises(RuntimeError, match="wait for itself"):
        sender.refuse_to_wait()
