"""Threads that wait for objects, and when they may go on."""

from __future__ import annotations

import pytest

from jray.runtime.waiters import Delivery, Waiters


def waits(missing, short, *, until_failure=False):
    waiters, delivery = Waiters(), Delivery(missing, short, until_failure=until_failure)
    waiters.add(delivery)
    return waiters, delivery


def is_over(delivery):
    return not delivery._lock.locked()


def test_all_must_be_there():
    waiters, delivery = waits([1, 2, 3], 3)
    waiters.deliver([1, 9])
    waiters.deliver([2])
    assert not is_over(delivery)
    assert waiters.waits(delivery)
    waiters.deliver([3, 4])
    assert is_over(delivery)
    assert not waiters.is_anybody_there


def test_enough_of_them_are_enough():
    waiters, delivery = waits([1, 2, 3], 2)
    waiters.deliver([5, 2])
    assert not is_over(delivery)
    waiters.deliver([1])
    assert is_over(delivery)


def test_what_comes_twice_counts_once():
    waiters, delivery = waits([1, 2], 2)
    waiters.deliver([1, 1])
    waiters.deliver([1])
    assert not is_over(delivery)
    waiters.deliver([2])
    assert is_over(delivery)


@pytest.mark.parametrize("until_failure", [True, False])
def test_a_failure_may_be_enough(until_failure):
    waiters, delivery = waits([1, 2, 3], 3, until_failure=until_failure)
    waiters.deliver([7], [7])  # nobody waits for it
    assert not is_over(delivery)
    waiters.deliver([2], [2])
    assert is_over(delivery) == until_failure


def test_who_has_gone_is_not_told():
    waiters, delivery = waits([1], 1)
    waiters.remove(delivery)
    waiters.deliver([1])
    assert not is_over(delivery)
    waiters.remove(delivery)  # twice does no harm


def test_callbacks_come_once_and_in_order():
    waiters, called = Waiters(), []
    for number in (1, 2):
        waiters.add_callback(5, lambda number=number: called.append(number))
    for callback in [*waiters.deliver([4, 5]), *waiters.deliver([5])]:
        callback()
    assert called == [1, 2]


def test_at_the_end_everybody_goes_on():
    waiters, delivery = waits([1], 1)
    waiters.add_callback(5, list)
    assert waiters.release_all() == [list]
    assert is_over(delivery)
    assert not waiters.is_anybody_there
