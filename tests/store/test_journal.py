"""What a worker has gathered is there for who comes after it."""

from __future__ import annotations

import os

import pytest

from jray.runtime.store.arena import Arena
from jray.runtime.store.journal import Journal, read_journal
from jray.runtime.system import Descriptor, make_memory


@pytest.fixture
def arena_and_reader():
    writable, readable = make_memory("jray-test")
    return Arena(3, writable), Descriptor(readable)


def test_what_is_added_can_be_read_in_another_process_until_it_is_cleared(arena_and_reader):
    arena, reader = arena_and_reader
    journal = Journal(arena)
    assert read_journal(reader) == b""
    assert journal.add(b"one, ")
    assert journal.add(b"two")
    assert read_journal(reader) == b"one, two"
    journal.clear()
    assert read_journal(reader) == b""
    assert journal.add(b"three")
    assert read_journal(reader) == b"three"


def test_there_is_an_end_to_it(arena_and_reader):
    arena, reader = arena_and_reader
    journal = Journal(arena)
    added = 0
    while journal.add(bytes(1_000)):
        added += 1
    assert added == 16
    assert read_journal(reader) == bytes(16_000)
    journal.clear()
    assert journal.add(b"again")


def test_blocks_of_the_arena_do_not_touch_it(arena_and_reader):
    arena, reader = arena_and_reader
    journal = Journal(arena)
    journal.add(b"first")
    block = arena.write([b"value"])
    assert block.offset >= 16 * 1024
    assert read_journal(reader) == b"first"
    arena.free(block.offset)
    arena.trim(0)
    assert read_journal(reader) == b"first"


def test_on_a_disk_it_takes_nothing(arena_and_reader, monkeypatch):
    # A page that is written there for the first time may not be had: then the process would be killed.
    monkeypatch.setattr("jray.runtime.store.journal.is_in_memory", lambda _: False)
    arena, reader = arena_and_reader
    journal = Journal(arena)
    assert not journal.add(b"one")
    journal.clear()
    assert read_journal(reader) == b""
    assert arena.taken_bytes == 0


@pytest.mark.parametrize("length", [1 << 20, (1 << 32) - 1])
def test_a_length_that_can_not_be_is_none(length):
    writable, readable = make_memory("jray-test")
    os.pwrite(writable, length.to_bytes(4, "little") + bytes(100), 0)
    assert read_journal(Descriptor(readable)) == b""
    os.close(writable)
