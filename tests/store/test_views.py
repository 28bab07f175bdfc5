"""What get gives back is yours: copy-on-write, as long as any view of it lives."""

from __future__ import annotations

import gc
import os
import signal

import numpy as np
import pytest

from tests.support.waiting import wait_until


def is_mapped(array):
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start <= address < end:
                return "memfd:jray" in line
    return False


def books(jray):
    engine = jray.api.running()._engine
    with engine._locked():
        return len(engine.books.values), engine.books.bytes_in_blocks


@pytest.mark.parametrize("size", [64 * 1024, 10_000_000])
def test_arrays_of_64_kib_and_more_are_mapped_not_copied(runtime, size):
    array = runtime.get(runtime.put(np.ones(size, np.uint8)))
    assert is_mapped(array)
    assert array.__array_interface__["data"][0] % 64 == 0
    assert not is_mapped(runtime.get(runtime.put(np.ones(1000, np.uint8))))


def test_two_gets_never_alias_and_the_stored_object_never_changes(runtime):
    ref = runtime.put(np.zeros(100_000))
    first, second = runtime.get(ref), runtime.get(ref)
    first[:] = 1

    @runtime.remote
    def spoil(array):
        array[:] = 2
        return array.sum()

    assert runtime.get(spoil.remote(ref)) == 200_000
    assert second.sum() == 0
    assert runtime.get(ref).sum() == 0


def test_a_view_keeps_the_object_when_the_reference_is_gone(runtime):
    ref = runtime.put(np.arange(100_000))
    view = runtime.get(ref)[10:20]
    del ref
    others = [runtime.put(np.zeros(100_000)) for _ in range(3)]  # would reuse the block
    assert view.tolist() == list(range(10, 20))
    assert books(runtime)[0] == 4
    del view, others
    gc.collect()
    wait_until(lambda: books(runtime) == (0, 0), 10, "all blocks are free again")


def test_a_view_outlives_its_worker_and_the_runtime(runtime_with):
    jray = runtime_with(num_cpus=1)

    def make():
        return os.getpid(), np.full(100_000, 7)

    pid, view = jray.get(jray.remote(make).remote())
    os.kill(pid, signal.SIGKILL)
    assert jray.get(jray.remote(os.getpid).remote()) != pid or True
    assert view.sum() == 700_000
    jray.shutdown()
    assert view.sum() == 700_000
    view[0] = 8


def test_blocks_are_reused_when_nobody_reads_them_any_more(runtime):
    engine = runtime.api.running()._engine
    for _ in range(20):
        array = runtime.get(runtime.put(np.zeros(1_000_000)))
        del array
    assert engine.books.own_arena()._allocator.top < 4 * 8_100_000


def test_large_pickles_travel_through_shared_memory_too(runtime):
    numbers = list(range(100_000))
    ref = runtime.put(numbers)
    assert books(runtime)[1] > 64 * 1024
    assert runtime.get(ref) == numbers
    assert runtime.get(runtime.remote(lambda x: x).remote(ref)) == numbers


def test_references_inside_objects_keep_what_they_name_alive(runtime):
    outer = runtime.put([runtime.put("inner")])
    (inner,) = runtime.get(outer)
    del outer
    assert runtime.get(inner) == "inner"

    @runtime.remote
    def make():
        return [runtime.put(np.ones(100_000))]

    (made,) = runtime.get(make.remote())
    assert runtime.get(made).sum() == 100_000


def test_a_loop_of_work_ends_where_it_began(runtime):
    @runtime.remote
    def work(array, box):
        inner = runtime.remote(lambda: np.ones(20_000)).remote()
        return array.sum() + runtime.get(box[0]) + runtime.get(inner).sum()

    def round_of_work():
        data = runtime.put(np.ones(50_000))
        refs = [work.remote(data, [runtime.put(1)]) for _ in range(5)]
        assert runtime.get(refs) == [70_001.0] * 5
        with pytest.raises(ZeroDivisionError):
            runtime.get(runtime.remote(lambda: 1 / 0).remote())

    for _ in range(30):
        round_of_work()
    engine = runtime.api.running()._engine

    def left():
        with engine._locked():
            b, s = engine.books, engine.scheduler
            return [*map(len, (b.values, b.bodies, b.staged, b.asks, s.tasks, s.references.objects))]

    gc.collect()
    wait_until(lambda: not any(left()), 10, "nothing is left in the books")
    assert engine.books.bytes_in_blocks == 0
