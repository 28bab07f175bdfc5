"""The allocator of arenas and its sets of ranges: pure, checked against plain models."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given, strategies as st

from jray.runtime.store.allocator import PAGE, Allocator, Ranges, gaps, whole_pages

KIB = 1024


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 59), st.integers(1, 20)), max_size=60))
def test_ranges_are_a_set_of_numbers_in_as_few_pieces_as_can_be(steps):
    ranges, model = Ranges(), set()
    for is_cut, start, length in steps:
        numbers = set(range(start, start + length))
        if is_cut:
            pieces = ranges.cut(start, length)
            assert [n for s, w in pieces for n in range(s, s + w)] == sorted(model & numbers)
            assert {n for s, w in gaps(start, length, pieces) for n in range(s, s + w)} == numbers - model
            model -= numbers
        elif not model & numbers:
            joined, joined_length = ranges.add(start, length)
            model |= numbers
            assert {*range(joined, joined + joined_length)} <= model
            assert not {joined - 1, joined + joined_length} & model
        spans = ranges.spans()
        assert [n for s, w in spans for n in range(s, s + w)] == sorted(model)
        assert all(s + w < after for (s, w), (after, _) in itertools.pairwise(spans))
        assert ranges.total == len(model)
        assert ranges.largest() == (max(spans, key=lambda span: (span[1], span[0])) if spans else None)
        fitting = [(w, s) for s, w in spans if w >= length]
        assert ranges.best_fit(length) == (min(fitting)[1] if fitting else None)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5 * PAGE)), max_size=200))
def test_taken_ranges_never_overlap_and_all_is_one_again_when_all_is_free(steps):
    allocator, taken = Allocator(), {}
    for wants_memory, size in steps:
        if wants_memory or not taken:
            offset, length = allocator.allocate(size)
            assert (offset % PAGE, length) == (0, max(PAGE, whole_pages(size)))
            assert all(offset + length <= o or o + other <= offset for o, other in taken.items())
            taken[offset] = length
        else:
            offset = sorted(taken)[size % len(taken)]
            assert allocator.free(offset) == (offset, taken.pop(offset))
        # Neighbours are joined, and nothing is free at the end: the top comes down with what is freed there.
        assert allocator.taken_bytes == sum(taken.values())
        assert allocator.top == max((o + n for o, n in taken.items()), default=0)
    for offset in taken:
        allocator.free(offset)
    assert (allocator.top, allocator.taken_bytes, allocator.allocate(1)[0]) == (0, 0, 0)


def test_freeing_twice_changes_nothing():
    allocator = Allocator()
    (first, _), (second, _) = allocator.allocate(1), allocator.allocate(1)
    allocator.free(first)
    assert allocator.free(first) is None
    assert allocator.allocate(1)[0] == first
    assert allocator.allocate(1)[0] not in (first, second)


def uniform(random_):
    return random_.randrange(64 * KIB, 4096 * KIB)


def mostly_small(random_):
    return int(64 * KIB * 64 ** random_.random())


@pytest.mark.parametrize("size_of", [uniform, mostly_small])
def test_after_100_000_objects_at_least_85_percent_of_the_arena_is_in_use(size_of):
    """Bounded fragmentation, in the strictest reading.

    A store that is always full: 1 GiB of live objects, each new one (64 KiB to 4 MiB) takes the place of random old
    ones. Usable is live / top, where top is all that the arena ever had to span: holes of any size count as lost,
    although most of them will be used again, and although a trimmed hole holds no memory.
    """
    allocator, random_ = Allocator(), random.Random(7)
    living = []
    highest_top = 0
    for _ in range(100_000):
        size = size_of(random_)
        while allocator.taken_bytes + size > 1 << 30:
            chosen = random_.randrange(len(living))
            living[chosen], living[-1] = living[-1], living[chosen]
            allocator.free(living.pop())
        living.append(allocator.allocate(size)[0])
        highest_top = max(highest_top, allocator.top)
    assert allocator.taken_bytes / highest_top >= 0.85
