"""Whose code a frame runs."""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from jray import user_code
from jray.user_code import Whose, names_of, nearest_user_frame, whose


def frames_below(function):
    """Who wrote the frames through which `function` calls back, the innermost first."""
    seen = []

    def look(*_):
        frame = sys._getframe(0)
        while frame is not None and frame.f_code.co_name != "frames_below":
            seen.append(whose(frame))
            frame = frame.f_back

    function(look)
    return list(dict.fromkeys(seen))


def in_namespace(**namespace):
    return eval("__import__('sys')._getframe(0)", namespace)


def test_a_file_outside_of_what_is_installed_is_the_users():
    assert whose(sys._getframe(0)) is Whose.USER


def test_the_standard_library_and_site_packages_are_libraries():
    assert frames_below(lambda look: json.dumps(object(), default=look)) == [Whose.USER, Whose.LIBRARY]
    assert frames_below(lambda look: np.apply_along_axis(look, 0, np.ones((2, 2)))) == [Whose.USER, Whose.LIBRARY]


def test_code_made_from_text_belongs_to_its_namespace():
    assert whose(in_namespace(__name__="__main__")) is Whose.USER
    assert whose(in_namespace(__name__="helpers", __file__=__file__)) is Whose.USER
    assert whose(in_namespace(__name__="json", __file__=json.__file__)) is Whose.LIBRARY
    assert whose(in_namespace(__name__="jray.user_code", __file__=user_code.__file__)) is Whose.JRAY
    assert whose(in_namespace(__name__="made_by_somebody")) is Whose.LIBRARY
    assert whose(in_namespace(__name__="__main__", __file__=Path("notebook.ipynb"))) is Whose.USER


def test_the_nearest_user_frame_is_found_from_inside_a_library():
    found = []
    json.dumps(object(), default=lambda _: found.append(nearest_user_frame(sys._getframe(1))))
    assert found == [sys._getframe(0)]


def test_a_value_has_the_names_of_its_variables_then_of_its_places():
    value = object()
    frame = in_namespace(other=1, _hidden=value, places=(0, value), name=value, Out=[value], endless=count())
    assert list(names_of(value, frame))[:2] == ["name", "places[1]"]


def test_a_reference_without_a_name_among_many_costs_little_to_complain_about():
    crowd = {f"name_{number}": [None] * 10 for number in range(20_000)}
    looked = {"value": object(), **crowd, "last": None}
    frame = SimpleNamespace(f_locals=looked, f_globals={})
    assert list(names_of(looked["value"], frame)) == ["value"]
    looked["last"] = thing = object()
    assert list(names_of(thing, frame)) == []  # it is past what is looked at
