"""Writing into an arena, and private views of it."""

from __future__ import annotations

import gc
import mmap
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jray.exceptions import ObjectStoreFullError
from jray.runtime.store import mapping
from jray.runtime.store.arena import Arena
from jray.runtime.system import make_memory


@pytest.fixture
def arena():
    writable, readable = make_memory("test")
    arena = Arena(3, writable)
    yield arena, readable
    os.close(readable)


@given(st.lists(st.binary(min_size=1, max_size=10_000), min_size=1, max_size=6))
def test_buffers_come_back_as_they_were_each_on_its_own_line_of_the_cache(buffers):
    writable, readable = make_memory("test")
    arena = Arena(3, writable)
    try:
        block = arena.write(buffers)
        assert block.arena == 3
        assert all(start % 64 == 0 for start, _ in block.spans)
        assert [os.pread(readable, length, block.offset + start) for start, length in block.spans] == buffers
    finally:
        os.close(readable)


def test_a_freed_range_is_written_again(arena):
    arena, _ = arena
    first = arena.write([bytes(10_000)])
    arena.free(first.offset)
    assert arena.taken_bytes == 0
    assert arena.write([bytes(9_000)]).offset == first.offset


class FullDisk:
    def __call__(self, *_):
        raise OSError(28, "No space left on device")


def test_memory_that_the_system_refuses_is_said_and_given_back(arena, monkeypatch):
    arena, _ = arena
    monkeypatch.setattr(os, "pwrite", FullDisk())
    with pytest.raises(ObjectStoreFullError, match=r"100,032 bytes could not be stored.*No space left"):
        arena.write([bytes(100_000)])
    assert arena.taken_bytes == 0


def test_what_a_reader_writes_into_its_view_nobody_else_sees(arena):
    arena, readable = arena
    block = arena.write([b"a" * 8192])
    one = mapping.map_private(readable, block.offset, block.size, 0)
    two = mapping.map_private(readable, block.offset, block.size, 0)
    one[0] = ord("b")
    assert (one[0], two[0], os.pread(readable, 1, block.offset)) == (ord("b"), ord("a"), b"a")


def test_the_reading_descriptor_cannot_be_mapped_to_write(arena):
    arena, readable = arena
    arena.write([bytes(4096)])
    with pytest.raises(OSError, match="Permission denied"):
        mmap.mmap(readable, 4096, mmap.MAP_SHARED, mmap.PROT_WRITE)


def test_a_view_ends_with_its_last_slice(arena, monkeypatch):
    arena, readable = arena
    woken = []
    monkeypatch.setattr(mapping, "_wake_owner", lambda: woken.append(1))
    block = arena.write([bytes(8192)])
    view = mapping.map_private(readable, block.offset, block.size, 42)
    part = view[100:200]
    del view
    gc.collect()
    assert (list(mapping.ended), woken) == ([], [])
    del part
    gc.collect()
    assert woken == [1]
    assert mapping.unmap_ended() == [42]
    assert mapping.unmap_ended() == []
