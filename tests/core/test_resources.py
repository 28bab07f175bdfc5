"""Exact amounts: what is asked, what there is, what is free."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from jray.runtime.core.resources import Resources, cpus_in, in_words, shape_of
from tests.support.builders import cpus


def test_a_shape_is_sorted_and_has_no_zeros():
    assert shape_of({"gpu": 2, "CPU": 0.5, "disk": 0}) == (("CPU", 5_000), ("gpu", 20_000))


def test_equal_requests_are_equal_shapes():
    assert shape_of({"a": 1, "b": 2}) == shape_of({"b": 2, "a": 1, "c": 0.0})


@pytest.mark.parametrize(("amount", "units"), [(1, 10_000), (0.1, 1_000), (0.0001, 1), (1 / 3, 3_333), (0.00004, 0)])
def test_amounts_are_rounded_to_a_ten_thousandth(amount, units):
    assert cpus_in(shape_of({"CPU": amount})) == units


def test_a_request_without_cpus_has_none():
    assert cpus_in(shape_of({"gpu": 1})) == 0


@pytest.mark.parametrize(
    ("shape", "words"),
    [(cpus(2, fast_disk=0.5), "2 CPU, 0.5 fast_disk"), (cpus(1), "1 CPU"), (cpus(0.25), "0.25 CPU"), ((), "nothing")],
)
def test_shapes_are_said_in_words(shape, words):
    assert in_words(shape) == words


def test_what_is_taken_does_not_fit_twice():
    resources = Resources(cpus(2, gpu=1))
    resources.take(cpus(1, gpu=1))

    assert resources.fits(cpus(1))
    assert not resources.fits(cpus(2))
    assert not resources.fits(cpus(1, gpu=0.1))
    assert resources.lacking(cpus(2, gpu=1, tpu=1)) == ("CPU", "gpu", "tpu")


def test_what_could_fit_is_asked_of_an_idle_machine():
    resources = Resources(cpus(2))
    resources.take(cpus(2))

    assert resources.could_fit(cpus(2))
    assert not resources.could_fit(cpus(2.0001))
    assert not resources.could_fit(cpus(1, gpu=1))


def test_nothing_always_fits():
    resources = Resources(())

    assert resources.fits(())
    assert resources.could_fit(())
    assert resources.lacking(()) == ()


def test_cpus_can_be_given_back_alone():
    resources = Resources(cpus(2, gpu=1))
    resources.take(cpus(2, gpu=1))
    resources.give_back_cpus(20_000)
    assert resources.available == {"CPU": 20_000, "gpu": 0}

    resources.take_cpus(20_000)
    assert resources.available == {"CPU": 0, "gpu": 0}


@given(st.lists(st.floats(0.0001, 3), max_size=30), st.randoms(use_true_random=False))
def test_sums_never_drift(amounts, random):
    resources = Resources(cpus(100))
    shapes = [cpus(amount) for amount in amounts]
    for shape in shapes:
        resources.take(shape)
    random.shuffle(shapes)
    for shape in shapes:
        resources.give_back(shape)

    assert resources.available == resources.total
