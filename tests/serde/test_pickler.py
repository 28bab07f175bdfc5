"""What only our own picklers can do, and that cloudpickle still is what they stand on."""

from __future__ import annotations

import functools
import pickle
import typing
from pathlib import Path

import cloudpickle
import pytest
from cloudpickle import cloudpickle as private

import jray.runtime.serde.pickler
from jray.runtime.serde.values import pack, unpack


def test_only_one_file_leans_on_private_names_of_cloudpickle():
    root = Path(jray.__file__).parent
    leaning = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if "from cloudpickle import" in path.read_text("utf-8") or "cloudpickle.cloudpickle" in path.read_text("utf-8")
    ]
    assert leaning == [str(Path(jray.runtime.serde.pickler.__file__).relative_to(root))]


def test_the_private_names_are_what_they_were():
    class Local:
        pass

    by_reference = private._should_pickle_by_reference
    assert [by_reference(Path), by_reference(functools.wraps), by_reference(Local)] == [True, True, False]
    assert private._builtin_type(private._BUILTIN_TYPE_NAMES[type(private)]) is type(private)
    assert isinstance(cloudpickle.Pickler.dispatch_table[property], typing.Callable)


def through(value):
    packed = pack(value, "a value")
    return unpack(packed.head, packed.buffers)


def test_closures_stay_shared():
    def make():
        number = 0

        def up():
            nonlocal number
            number += 1

        return up, lambda: number

    up, now = through(make())
    up()
    up()
    assert now() == 2


def test_a_function_may_contain_itself():
    def make():
        def fact(n):
            return n * fact(n - 1) if n else 1

        fact.me = fact
        return fact

    fact = through(make())
    assert fact(5) == 120
    assert fact.me is fact


def test_a_cache_arrives_empty_and_works():
    calls = []

    @functools.lru_cache(maxsize=3)
    def square(x):
        return x * x

    square(2)
    arrived = through(square)
    assert (arrived(3), arrived(3), arrived.cache_info()[:3]) == (9, 9, (1, 1, 3))
    assert calls == []


def test_single_dispatch_arrives_with_its_implementations():
    @functools.singledispatch
    def kind(x):
        return "thing"

    @kind.register
    def _(x: int):
        return "number"

    arrived = through(kind)
    assert (arrived(1), arrived("x")) == ("number", "thing")


def test_a_new_type_arrives():
    Meters = typing.NewType("Meters", float)
    Meters.__module__ = "__main__"
    assert through(Meters).__supertype__ is float


def test_code_keeps_its_file_and_lines():
    namespace = {"__name__": "__main__"}
    exec(compile("\n\ndef f(): return 1", "<the cell>", "exec"), namespace)
    code = through(namespace["f"]).__code__
    assert (code.co_filename, code.co_firstlineno) == ("<the cell>", 3)


def test_a_class_of_this_process_is_itself():
    class Box:
        def __init__(self, held):
            self.held = held

    box = through([Box(1), Box(Box), Box])
    assert type(box[0]) is Box
    assert box[1].held is Box
    assert box[2] is Box


def test_a_class_that_is_nowhere_is_an_error():
    from jray.runtime.serde.classes import class_by_id

    with pytest.raises(pickle.UnpicklingError, match="is not known here"):
        class_by_id(b"nobody")
