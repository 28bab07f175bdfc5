"""Writing into an arena, and private views of it."""

from __future__ import annotations

import gc
import mmap
import os
import threading

import pytest
from hypothesis import given, strategies as st

from jray.exceptions import ObjectStoreFullError
from jray.runtime.store import mapping
from jray.runtime.store.allocator import PAGE
from jray.runtime.store.arena import Arena
from jray.runtime.system import make_memory


@pytest.fixture
def arena(memory_kind):
    writable, readable = make_memory("jray-test")
    yield Arena(3, writable), readable
    os.close(readable)


def resident_bytes(descriptor):
    return os.fstat(descriptor).st_blocks * 512


@given(st.lists(st.binary(min_size=1, max_size=10_000), min_size=1, max_size=6))
def test_buffers_come_back_as_they_were_each_on_its_own_line_of_the_cache(buffers):
    writable, readable = make_memory("jray-test")
    arena = Arena(3, writable)
    try:
        block = arena.write(buffers)
        assert block.arena == 3
        assert all(start % 64 == 0 for start, _ in block.spans)
        assert [os.pread(readable, length, block.offset + start) for start, length in block.spans] == buffers
    finally:
        os.close(readable)


steps = st.lists(st.tuples(st.sampled_from(["write", "write", "free", "trim"]), st.integers(1, 9 * PAGE)), max_size=40)


@pytest.mark.parametrize("is_in_memory", [True, False])
@given(steps=steps, seed=st.integers(0, 250))
def test_whatever_is_freed_and_trimmed_what_is_stored_stays_as_it_was(is_in_memory, steps, seed):
    writable, readable = make_memory("jray-test")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jray.runtime.store.arena.is_in_memory", lambda _: is_in_memory)
        patch.setattr("jray.runtime.store.windows._WINDOW_BYTES", 4 * PAGE)  # blocks reach over several
        arena = Arena(3, writable)
        stored = []
        try:
            for number, (what, size) in enumerate(steps):
                if what == "write":
                    buffers = [
                        bytes([(seed + number) % 251]) * size,
                        bytes([(seed + 7 * number) % 251]) * (size // 3 + 1),
                    ]
                    stored.append((arena.write(buffers), buffers))
                elif what == "trim":
                    before = arena.resident_free_bytes
                    assert before - arena.trim(size) == arena.resident_free_bytes <= max(size, PAGE)
                elif stored:
                    arena.free(stored.pop(size % len(stored))[0].offset)
                # Every page is in use, or known to be there for the next.
                assert resident_bytes(readable) == arena.taken_bytes + arena.resident_free_bytes
                for block, buffers in stored:
                    assert [os.pread(readable, n, block.offset + start) for start, n in block.spans] == buffers
        finally:
            del arena
            os.close(readable)


def test_a_freed_range_is_written_again(arena):
    arena, _ = arena
    first = arena.write([bytes(10_000)])
    arena.free(first.offset)
    assert arena.taken_bytes == 0
    assert arena.write([bytes(9_000)]).offset == first.offset


def test_only_pages_that_exist_are_written_through_memory(arena, monkeypatch):
    """Else a lack of memory would be the end of the process: SIGBUS."""
    arena, _ = arena
    written = []
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: (written.append((at, len(data))), pwrite(fd, data, at))[1])
    first, second = arena.write([bytes(4 * PAGE)]), arena.write([bytes(4 * PAGE)])
    assert written == [(0, 4 * PAGE), (4 * PAGE, 4 * PAGE)]
    arena.free(first.offset)
    arena.write([b"x" * 3 * PAGE])
    assert len(written) == 2
    arena.free(second.offset)
    assert arena.trim(0) == 5 * PAGE
    arena.write([b"y" * 2 * PAGE])
    assert written[2:] == [(3 * PAGE, 2 * PAGE)]


def test_on_a_disk_everything_is_written_by_system_calls(memory_kind, monkeypatch):
    monkeypatch.setattr("jray.runtime.store.arena.is_in_memory", lambda _: False)
    writable, readable = make_memory("jray-test")
    arena = Arena(3, writable)
    arena.free(arena.write([bytes(4 * PAGE)]).offset)
    monkeypatch.setattr("jray.runtime.store.windows._copy", None)
    block = arena.write([b"x" * 4 * PAGE])
    assert os.pread(readable, 4 * PAGE, block.offset) == b"x" * 4 * PAGE
    os.close(readable)


def test_a_mapping_that_the_system_refuses_only_costs_speed(arena, monkeypatch):
    arena, readable = arena

    def refuse(*_):
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("jray.runtime.store.windows.map_shared", refuse)
    arena.free(arena.write([bytes(4 * PAGE)]).offset)
    block = arena.write([b"x" * 4 * PAGE])
    assert os.pread(readable, 4 * PAGE, block.offset) == b"x" * 4 * PAGE


def test_trim_gives_the_largest_free_ranges_back_and_keeps_what_was_asked(arena):
    arena, readable = arena
    sizes = [10, 1, 40, 1, 20, 1]  # in pages
    blocks = [arena.write([b"x" * pages * PAGE]) for pages in sizes]
    view = mapping.map_view(readable, blocks[1].offset, blocks[1].size, 0, read_only=False)
    for block in blocks[::2]:
        arena.free(block.offset)
    assert arena.resident_free_bytes == 70 * PAGE
    assert arena.trim(100 * PAGE) == 0
    assert arena.trim(15 * PAGE) == 55 * PAGE
    assert (arena.resident_free_bytes, arena.taken_bytes) == (15 * PAGE, 3 * PAGE)
    assert resident_bytes(readable) == 18 * PAGE
    assert set(os.pread(readable, 10 * PAGE, 0)) == {ord("x")}  # the smallest is as it was
    assert bytes(view) == b"x" * PAGE
    assert arena.trim(0) == 15 * PAGE
    assert resident_bytes(readable) == 3 * PAGE


def test_who_gives_back_never_waits_for_who_allocates(arena):
    """A finalizer may wait in get for the thread that takes blocks back, in the middle of an allocation."""
    arena, _ = arena
    first, second = arena.write([bytes(PAGE)]), arena.write([bytes(PAGE)])
    with arena._lock:
        for block in (first, second):
            thread = threading.Thread(target=arena.free, args=(block.offset,))
            thread.start()
            thread.join(10)
            assert not thread.is_alive()
        arena.free(first.offset)  # and the thread itself does not change what it is just changing
        assert (arena.taken_bytes, arena.trim(0)) == (2 * PAGE, 0)
    arena.write([bytes(5 * PAGE)])
    assert (arena.taken_bytes, arena.resident_free_bytes) == (5 * PAGE, 0)


def test_a_file_system_without_holes_keeps_its_pages_and_says_so(arena, monkeypatch):
    arena, _ = arena
    monkeypatch.setattr("jray.runtime.store.arena.punch_hole", lambda *_: False)
    arena.free(arena.write([bytes(PAGE)]).offset)
    assert arena.trim(0) == 0
    assert arena.resident_free_bytes == PAGE


def test_memory_that_the_system_refuses_is_said_and_given_back(arena, monkeypatch):
    arena, readable = arena
    pwrite = os.pwrite

    def full_after_a_page(descriptor, data, offset):
        if offset > 0:
            raise OSError(28, "No space left on device")
        return pwrite(descriptor, data[:PAGE], offset)

    monkeypatch.setattr(os, "pwrite", full_after_a_page)
    with pytest.raises(ObjectStoreFullError, match=r"100,000 bytes could not be stored.*No space left"):
        arena.write([bytes(100_000)])
    assert (arena.taken_bytes, arena.resident_free_bytes, resident_bytes(readable)) == (0, 0, 0)


def test_a_buffer_that_cannot_be_read_costs_no_memory(arena):
    arena, readable = arena
    with pytest.raises(TypeError):
        arena.write([bytes(PAGE), memoryview(bytes(PAGE))[::2]])
    assert (arena.taken_bytes, resident_bytes(readable)) == (0, 0)


def test_nobody_can_make_a_memfd_shorter(monkeypatch):
    monkeypatch.setenv("JRAY_NO_MEMFD", "0")
    writable, readable = make_memory("jray-test")
    Arena(3, os.dup(writable)).write([bytes(PAGE)])
    with pytest.raises(PermissionError):
        os.ftruncate(writable, 0)
    os.close(writable)
    os.close(readable)


def test_what_a_reader_writes_into_its_view_nobody_else_sees(arena):
    arena, readable = arena
    block = arena.write([b"a" * 8192])
    one = mapping.map_view(readable, block.offset, block.size, 0, read_only=False)
    two = mapping.map_view(readable, block.offset, block.size, 0, read_only=False)
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
    view = mapping.map_view(readable, block.offset, block.size, 42, read_only=False)
    part = view[100:200]
    del view
    gc.collect()
    assert (list(mapping.ended), woken) == ([], [])
    del part
    gc.collect()
    assert woken == [1]
    assert mapping.unmap_ended() == [42]
    assert mapping.unmap_ended() == []
