"""`f.map(xs)`: one task for each item, a plain list of references at once."""

from __future__ import annotations

import functools
import itertools

import pytest

import jray
from tests.support.waiting import wait_until


@jray.remote
def add(a, b=10):
    return a + b


@jray.remote
def add_all(numbers):
    return jray.get(add.map(numbers, numbers))


def test_map_gives_a_reference_for_each_item_in_order(runtime):
    refs = add.map(range(5))

    assert [type(ref) for ref in refs] == [runtime.ObjectRef] * 5
    assert runtime.get(refs) == [10, 11, 12, 13, 14]


def test_map_goes_through_iterables_in_parallel_until_the_shortest_ends(runtime):
    assert runtime.get(add.map(itertools.count(), (n for n in (1, 2, 3)))) == [1, 3, 5]
    assert add.map([]) == []


def test_map_works_in_tasks(runtime):
    assert runtime.get(add_all.remote([1, 2])) == [2, 4]


def test_references_among_the_items_arrive_as_values(runtime):
    assert runtime.get(add.map([runtime.put(1), 2], itertools.repeat(runtime.put(5)))) == [6, 7]


def test_map_of_a_function_with_a_shared_argument(runtime):
    times = runtime.remote(functools.partial(lambda factor, x: factor * x, 3))

    assert runtime.get(times.map([1, 2])) == [3, 6]


def test_each_item_gives_what_remote_gives(runtime):
    pairs = runtime.remote(num_returns=2)(lambda x: (x, -x)).map([1, 2])
    nothing = runtime.remote(num_returns=0)(lambda _: None).map([1, 2])

    assert [runtime.get(pair) for pair in pairs] == [[1, -1], [2, -2]]
    assert nothing == [None, None]


@pytest.mark.parametrize(("iterables", "says"), [((), "nothing to go through"), (([1], [2], [3]), "too many")])
def test_a_map_that_cannot_be_is_refused(runtime, iterables, says):
    with pytest.raises(TypeError, match=says):
        add.map(*iterables)


def test_who_watches_maps_is_told_once_for_each(runtime):
    told = []
    jray.api.running().on_map = lambda name, refs: told.append((name, refs))
    refs = add.map([1, 2])
    pairs = runtime.remote(num_returns=2, name="pair")(lambda x: (x, x)).map([1, 2])
    add.map([])

    assert told == [("add", refs), ("pair", [*pairs[0], *pairs[1]])]


def test_a_map_that_is_cut_short_loses_its_references_and_its_tasks_run_all_the_same(runtime, tmp_path):
    def stopped():
        yield "first"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        runtime.remote(lambda name: (tmp_path / name).touch()).map(stopped())

    wait_until((tmp_path / "first").exists, 10, "the task of the first item has run")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ((5,), r"f\.map\(5\) was refused.*of type int.*Write f\.map\(\[\.\.\.\]\)"),
        (
            ([1], [2]),
            r"f\.map\(\) was refused: too many positional arguments\. Each of its 2 iterables gives one argument",
        ),
    ],
)
def test_what_can_not_be_mapped_over_is_refused_before_anything_starts(runtime, given, told):
    @runtime.remote
    def f(x):
        return x

    with pytest.raises(TypeError, match=told):
        f.map(*given)
