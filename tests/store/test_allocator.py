"""The allocator of arenas: pure, checked against a plain model."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from jray.runtime.store.arena import PAGE, Allocator


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5 * PAGE)), max_size=200))
def test_ranges_never_overlap_and_start_on_pages(steps):
    allocator, taken = Allocator(), {}
    for wants_memory, size in steps:
        if wants_memory or not taken:
            offset = allocator.allocate(size)
            assert offset % PAGE == 0
            assert all(offset + size <= o or o + max(s, 1) <= offset for o, s in taken.items())
            taken[offset] = size
        else:
            offset = sorted(taken)[size % len(taken)]
            del taken[offset]
            allocator.free(offset)
    for offset in taken:
        allocator.free(offset)
    assert allocator.taken_bytes == 0
    assert allocator.allocate(allocator.top or 1) == 0  # all neighbours were joined: one range again


def test_freeing_twice_changes_nothing():
    allocator = Allocator()
    first, second = allocator.allocate(1), allocator.allocate(1)
    allocator.free(first)
    allocator.free(first)
    assert allocator.allocate(1) == first
    assert allocator.allocate(1) not in (first, second)


def test_a_long_life_does_not_fragment_the_arena():
    allocator, living, random_ = Allocator(), [], random.Random(7)
    peak = 0
    for _ in range(20_000):
        if len(living) > 200:
            allocator.free(living.pop(random_.randrange(len(living))))
        living.append(allocator.allocate(random_.randrange(1, 200 * PAGE)))
        peak = max(peak, allocator.taken_bytes)
    assert allocator.top < 1.3 * peak
