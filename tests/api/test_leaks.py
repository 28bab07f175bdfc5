"""Nothing grows: loops end where they began, in the books, in memory, in descriptors and threads."""

from __future__ import annotations

import gc
import os
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest

import jray
from tests.support.leaks import shared_mappings
from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("memory_kind")


def engine():
    return jray.api.running()._engine


def books():
    """How many of everything; handles first what waits in the inbox."""
    it = engine()
    with it.locked():
        b, s = it.books, it.scheduler
        counts = map(len, (b.values, b.bodies, b.staged, b.asks, s.tasks, s.references.objects))
        return [*counts, b.bytes_in_blocks]


def mappings():
    return len(shared_mappings())


def wait_until_books_are_empty():
    gc.collect()
    wait_until(lambda: not any(books()), 10, "nothing is left in the books")


def test_a_loop_of_get_alone_does_not_pile_up_mappings(runtime):
    ref = runtime.put(np.ones(20_000))
    engine().drive()
    for _ in range(5_000):
        assert runtime.get(ref)[0] == 1
    wait_until(lambda: mappings() <= 1, 10, "ended views are unmapped, though nobody calls jray any more")
    assert runtime.get(ref)[0] == 1  # and the object is still there


def test_a_loop_of_get_alone_does_not_fill_the_inbox(runtime):
    outer = runtime.put([runtime.put(1)])
    for _ in range(5_000):
        runtime.get(outer)
    inbox = engine().inbox
    wait_until(lambda: len(inbox._taken) + len(inbox._dropped) < 300, 10, "the IO thread has looked into it")
    assert runtime.get(runtime.get(outer)) == [1]


def test_a_loop_of_put_alone_does_not_pile_up_values(runtime):
    for number in range(5_000):
        runtime.put(number)
    wait_until(
        lambda: len(engine().books.values) < 200, 10, "most of them are freed, though nobody calls jray any more"
    )


def test_results_nobody_holds_are_freed_without_another_call(runtime):
    refs = [runtime.remote(lambda: b"x" * 60_000).remote() for _ in range(300)]
    runtime.wait(refs, num_returns=300)
    del refs
    gc.collect()
    wait_until(lambda: len(engine().books.values) < 64, 10, "most of the results are freed")


def test_the_last_view_of_an_object_frees_it_without_another_call(runtime):
    view = runtime.get(runtime.put(np.ones(1_000_000)))
    engine().drive()
    assert engine().books.bytes_in_blocks >= 8_000_000
    del view
    gc.collect()
    wait_until(lambda: engine().books.bytes_in_blocks == 0, 10, "the block is free")
    assert mappings() == 0


def test_an_object_is_never_lost_while_views_come_and_go_in_other_threads(runtime):
    ref = runtime.put(np.arange(20_000))
    wrong = []

    def read():
        for _ in range(500):
            if runtime.get(ref, timeout=30)[19_999] != 19_999:
                wrong.append(1)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert runtime.get(ref).sum() == sum(range(20_000))


def test_results_of_tasks_whose_references_were_dropped_at_once_are_not_kept(runtime):
    array = np.ones(20_000)
    for _ in range(50):
        runtime.remote(num_returns=2)(lambda: (np.ones(20_000), 1)).remote()
        runtime.remote(len).remote(array)
    del array  # known again as long as it lives, and stored once (semantics 14)
    wait_until_books_are_empty()


def mixed():
    """One round of everything that can be asked of the runtime."""

    @jray.remote
    def nested(array, box):
        inner = jray.remote(lambda: np.ones(10_000)).remote()
        return array.sum() + jray.get(box[0]) + jray.get(inner).sum()

    data = jray.put(np.ones(10_000))
    refs = [nested.remote(data, [jray.put(1)]) for _ in range(2)]
    ready, rest = jray.wait(refs, num_returns=1)
    assert jray.get(ready + rest) == [20_001.0] * 2
    with pytest.raises(ZeroDivisionError):
        jray.get(jray.remote(lambda: 1 / 0).remote())
    with pytest.raises(TypeError):
        jray.remote(len).remote(threading.Lock())
    assert data.future().result().sum() == 10_000


def test_a_hundred_rounds_of_everything_end_where_they_began(runtime):
    mixed()
    wait_until_books_are_empty()
    threads, fds = threading.active_count(), len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        mixed()
    wait_until_books_are_empty()
    assert threading.active_count() == threads
    workers = len(jray.api.running().pictures.worker_pids())
    assert len(list(Path("/proc/self/fd").iterdir())) <= fds + 5 * workers


def test_an_idle_worker_gives_back_what_its_task_has_freed(runtime):
    @runtime.remote
    def scattered():
        arrays = [np.ones(2_000) for _ in range(20_000)]  # too small for pages of their own
        return len(arrays), psutil.Process().memory_info().rss, os.getpid()

    _, full, pid = runtime.get(scattered.remote())
    assert full > 300 << 20
    worker = psutil.Process(pid)
    wait_until(lambda: worker.memory_info().rss < 100 << 20, 10, "the worker is as small as before")
