"""How workers ended, in words; and the zygote, which starts them and tells."""

from __future__ import annotations

import os
import select
import signal

import psutil
import pytest

from jray.runtime.pool.pipes import Pipe
from jray.runtime.pool.worker_pool import WorkerPool, how_it_ended
from jray.runtime.pool.zygote import Zygote
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (signal.SIGKILL, "worker w1 was killed by SIGKILL (often the system's out-of-memory killer"),
        (signal.SIGSEGV, "worker w1 was killed by SIGSEGV (a crash in compiled code"),
        (signal.SIGTERM, "worker w1 was killed by SIGTERM"),
        (40, "worker w1 was killed by signal 40"),
        (7 << 8, "worker w1 ended with exit code 7 "),
        (0, "worker w1 ended with exit code 0 "),
    ],
)
def test_the_end_of_a_worker_in_words(status, says):
    assert how_it_ended("w1", status).startswith(says)


def test_a_pipe_keeps_characters_whole():
    ours, theirs = os.pipe()
    pipe = Pipe("stdout", ours)
    encoded = "aü€".encode()
    read = ""
    for byte in encoded:
        os.write(theirs, bytes([byte]))
        read += pipe.read()
    assert read == "aü€"
    os.write(theirs, b"\xff")
    assert pipe.read() == "\N{REPLACEMENT CHARACTER}"
    os.close(theirs)
    assert pipe.read() == ""
    pipe.close()


def next_fact(zygote):
    poll = select.poll()
    poll.register(zygote.descriptor, select.POLLIN)
    assert poll.poll(30_000), "the zygote says nothing"
    return zygote.hear()


@pytest.fixture
def pool():
    pool = WorkerPool(Zygote())
    yield pool
    pool.close()


def test_a_zygote_tells_births_and_deaths(pool):
    pool.start(5)
    born = next_fact(pool.zygote)
    assert (born.kind, born.worker) == ("born", 5)
    assert psutil.Process(born.pid).ppid() == pool.zygote.pid
    pool.zygote.kill(born.pid)
    died = next_fact(pool.zygote)
    assert (died.kind, died.worker, died.pid, died.status) == ("died", 5, born.pid, signal.SIGKILL)


def test_a_worker_whose_lines_are_closed_ends_by_itself(pool):
    pool.start(5)
    next_fact(pool.zygote)
    pool.remove(5)
    died = next_fact(pool.zygote)
    assert (died.kind, died.status) == ("died", 0)


def test_a_zygote_kills_nobody_who_is_not_its_own(pool):
    pool.start(5)
    pid = next_fact(pool.zygote).pid
    pool.zygote.kill(os.getpid())
    pool.zygote.kill(pool.zygote.pid)
    pool.zygote.kill(pid)
    assert next_fact(pool.zygote).kind == "died"


def test_a_zygote_that_is_gone_says_nothing_more(pool):
    psutil.Process(pool.zygote.pid).kill()
    assert next_fact(pool.zygote) is None
    with pytest.raises(OSError, match="Broken pipe"):
        pool.start(5)
    assert (pool.handles, pool.arenas) == ({}, {})


def test_closing_a_zygote_that_is_still_starting_ends_it():
    zygote = Zygote()
    pid = zygote.pid
    zygote.close()
    wait_until(lambda: not psutil.pid_exists(pid), 5, "the zygote is gone")


def test_an_arena_outlives_its_worker_until_it_is_dropped(pool):
    pool.start(5)
    next_fact(pool.zygote)
    pool.remove(5)
    descriptor = pool.arenas[5].number
    assert os.fstat(descriptor).st_size == 0
    pool.drop_arena(5)
    assert 5 not in pool.arenas
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    pool.drop_arena(5)  # twice is once
