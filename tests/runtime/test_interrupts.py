"""The guard that postpones signals, with signals sent by hand."""

from __future__ import annotations

import _thread
import signal
import sys
import threading
import time

import pytest

from jray.runtime.interrupts import InterruptGuard, acquire, shielded, undisturbed
from jray.runtime.store.allowance import RoomRequest
from jray.runtime.waiters import Delivery
from tests.support.waiting import wait_until


class Rung(Exception):
    """What the user's handler raises."""


@pytest.fixture(params=[signal.SIGINT, signal.SIGALRM])
def signum(request):
    def ring(*_):
        raise Rung

    before = signal.signal(request.param, ring)
    yield request.param
    signal.signal(request.param, before)


@pytest.fixture
def guard(signum):
    guard = InterruptGuard(wake=lambda: None)
    guard.ensure_installed()
    yield guard
    guard.uninstall()


@shielded
def struck_inside(signum):
    signal.raise_signal(signum)


def test_outside_a_shielded_function_the_handler_is_called_at_once(guard, signum):
    with pytest.raises(Rung):
        signal.raise_signal(signum)
    assert not guard.is_postponed


def test_inside_it_is_postponed_and_raised_once(guard, signum):
    struck_inside(signum)
    assert guard.is_postponed
    with pytest.raises(Rung):
        guard.deliver()
    assert not guard.is_postponed
    guard.deliver()


def test_it_can_be_postponed_again(guard, signum):
    struck_inside(signum)
    shielded_deliver = shielded(lambda: guard.deliver())
    shielded_deliver()
    assert guard.is_postponed
    with pytest.raises(Rung):
        guard.deliver()


@pytest.mark.parametrize("signum", [signal.SIGINT], indirect=True)
def test_a_press_for_a_cell_that_has_ended_does_not_reach_the_next_one(guard, signum):
    struck_inside(signum)
    guard.forget_interrupt()
    guard.deliver()
    struck_inside(signum)
    guard._raised_again.add(signum)  # the IO thread has raised it again; it arrives when the next cell has begun
    guard.forget_interrupt()
    signal.raise_signal(signum)
    assert not guard.is_postponed
    with pytest.raises(Rung):
        signal.raise_signal(signum)  # a new press counts


def test_handlers_that_are_set_later_are_taken_over_and_given_back(signum):
    guard = InterruptGuard(wake=lambda: None)
    first = signal.getsignal(signum)
    guard.ensure_installed()
    ours = signal.signal(signum, second := lambda *_: None)
    guard.ensure_installed()
    signal.signal(signum, ours)  # who saved a handler of ours gets back what it stood for
    with pytest.raises(Rung):
        signal.raise_signal(signum)
    guard.uninstall()
    assert signal.getsignal(signum) is first
    assert second is not first


def test_another_thread_changes_no_handler(signum):
    before = signal.getsignal(signum)
    thread = threading.Thread(target=InterruptGuard(wake=lambda: None).ensure_installed)
    thread.start()
    thread.join()
    assert signal.getsignal(signum) is before


@undisturbed
def takes_it_for_the_users(signum):
    try:
        signal.raise_signal(signum)
    except Exception as error:
        raise AssertionError("an alarm was taken for an error of the user's code") from error


def test_what_catches_errors_of_the_user_is_not_disturbed_by_alarms(guard, signum):
    if signum == signal.SIGINT:  # goes through: its exception is no Exception, outside of this test
        with pytest.raises(AssertionError):
            takes_it_for_the_users(signum)
        return
    takes_it_for_the_users(signum)
    with pytest.raises(Rung):
        guard.deliver()


WAITS = {
    "for objects": lambda: Delivery([], 1, until_failure=False).wait(None),
    "for objects, not for ever": lambda: Delivery([], 1, until_failure=False).wait(3600),
    "for room": lambda: RoomRequest(1).wait(),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_signal_that_wakes_nobody_is_heard_all_the_same(signum, wait):
    """As when it strikes just before the main thread sleeps: its handler is left for the next bytecode."""
    main = threading.main_thread().ident

    def strike():
        wait_until(lambda: sys._current_frames()[main].f_code is acquire.__code__, 10, "the main thread waits")
        _thread.interrupt_main(signum)

    striking = threading.Thread(target=strike)
    striking.start()
    with pytest.raises(Rung):
        wait()
    striking.join()


def test_a_wait_ends_with_its_time_or_with_the_lock():
    lock = threading.Lock()
    assert acquire(lock)
    began = time.monotonic()
    assert not acquire(lock, 0.3)
    assert not acquire(lock, 0)
    assert time.monotonic() - began >= 0.3
    threading.Timer(0.3, lock.release).start()
    assert acquire(lock, 60)
