"""What a value is, in words; and that a library that misbehaves costs no result."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from jray.runtime.serde.kinds import kind_of, package_of


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "NoneType"),
        (5, "int"),
        ("abc", "str of 3"),
        ([1, 2], "list of 2"),
        ({}, "dict of 0"),
        (dt.date(2026, 1, 1), "date"),
        (np.ones((10, 3)), "ndarray 10 × 3 of float64"),
        (np.float64(1), "float64"),
        (np.array(1), "ndarray"),
        (pd.DataFrame({"a": [1, 2], "b": [3, 4]}), "DataFrame 2 × 2"),
        (pd.Series([1.0]), "Series 1"),
    ],
)
def test_says_the_type_and_what_is_cheap_to_know(value, words):
    assert kind_of(value) == words


def test_a_class_of_the_user_s_own_is_asked_nothing():
    class Model:
        @property
        def shape(self):
            raise AssertionError("user code was called")

        def __len__(self):
            raise AssertionError("user code was called")

    assert kind_of(Model()) == "Model"


def test_a_library_that_cannot_say_its_shape_costs_nothing_but_the_shape():
    odd = type("Odd", (), {"shape": property(lambda self: 1 / 0), "__module__": "torch.nn"})
    assert kind_of(odd()) == "Odd"


def test_is_never_long():
    assert len(kind_of(type("N" * 500, (), {})())) == 60


class Secretive(type):
    @property
    def __name__(cls):
        raise AssertionError(cls)


@pytest.mark.parametrize("said", [None, 3, property(lambda _: "numpy")])
def test_a_class_that_names_no_module_is_called_by_its_name(said):
    odd = type("Odd", (), {"__module__": said})
    assert kind_of(odd()) == "Odd"
    assert not package_of(odd)


def test_a_metaclass_is_not_asked():
    assert kind_of(Secretive("Odd", (), {})()) == "Odd"
