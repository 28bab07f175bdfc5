"""`jray.__all__` is the public face: sorted, complete, documented."""

from __future__ import annotations

import inspect

import pytest

import jray


def test_public_names_are_sorted_and_named_once():
    assert list(jray.__all__) == sorted(set(jray.__all__))


def test_dir_lists_every_public_name():
    assert set(jray.__all__) <= set(dir(jray))


@pytest.mark.parametrize("name", jray.__all__)
def test_public_name_resolves(name):
    assert getattr(jray, name) is not None


@pytest.mark.parametrize("name", jray.__all__)
def test_public_function_or_class_has_a_docstring(name):
    value = getattr(jray, name)
    if inspect.isroutine(value) or inspect.isclass(value):
        # Its own: an exception that inherits RuntimeError's docstring tells nobody when it is raised.
        assert (value.__doc__ or "").strip(), f"jray.{name} has no docstring"


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        jray.no_such_name  # noqa: B018
