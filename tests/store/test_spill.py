"""The file of spilled objects: what it gives back, and what it says when it can't."""

from __future__ import annotations

import mmap
import os
import random

import pytest

from jray.exceptions import ObjectLostError, ObjectStoreFullError
from jray.runtime.ids import Block, ObjectId, WorkerId, to_hex
from jray.runtime.store.allocator import PAGE
from jray.runtime.store.spill import SpillFile, read_spilled
from jray.runtime.system import Descriptor, make_file

X = ObjectId(77)
SIZE = 5 * PAGE + 100


@pytest.fixture
def file(tmp_path):
    return SpillFile(tmp_path)


@pytest.fixture
def source(tmp_path):
    """What an arena is to it: a file with a block at the second page."""
    writable, readable = make_file(tmp_path, "arena")
    content = random.Random(1).randbytes(SIZE)
    os.pwrite(writable, content, PAGE)
    yield Descriptor(readable), Block(WorkerId(3), PAGE, SIZE, ((0, SIZE),)), content
    os.close(writable)


def test_what_is_read_back_is_what_was_written_and_can_be_changed(file, source):
    memory, block, content = source
    copies = [file.write(memory, block) for _ in range(3)]
    first = read_spilled(X, file.read_end, copies[0])
    assert first == content
    first[:] = bytes(SIZE)
    assert [bytes(read_spilled(X, file.read_end, copy)) for copy in copies] == [content] * 3


def test_a_source_that_ends_too_early_is_an_error_and_takes_no_space(file, source):
    memory, block, _ = source
    with pytest.raises(OSError, match="ends before the object does"):
        file.write(memory, block._replace(size=SIZE + PAGE))
    copy = file.write(memory, block)
    assert copy.offset == 0


def test_other_bytes_are_noticed_and_the_object_is_named(file, source):
    memory, block, _ = source
    copy = file.write(memory, block)
    other = file.write(memory, block._replace(size=PAGE))
    with pytest.raises(ObjectLostError, match=f"Object {to_hex(X)} is lost.*its bytes have changed"):
        read_spilled(X, file.read_end, copy._replace(offset=other.offset))


def test_memory_that_the_system_refuses_costs_no_object(file, source, monkeypatch):
    memory, block, content = source
    copy = file.write(memory, block)

    def refuse(*_):
        raise OSError(12, "Cannot allocate memory")

    with monkeypatch.context() as patch:
        patch.setattr(mmap, "mmap", refuse)
        with pytest.raises(ObjectStoreFullError, match=f"Object {to_hex(X)} could not be read back.*Cannot allocate"):
            read_spilled(X, file.read_end, copy)
    assert read_spilled(X, file.read_end, copy) == content
