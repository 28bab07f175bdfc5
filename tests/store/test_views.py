"""What get gives back is yours: copy-on-write, as long as any view of it lives."""

from __future__ import annotations

import gc
import itertools
import os
import pathlib
import signal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from tests.support.waiting import wait_until

pytestmark = pytest.mark.usefixtures("memory_kind")


def is_mapped(array):
    address = array.__array_interface__["data"][0]
    with open("/proc/self/maps") as maps:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split("-"))
            if start <= address < end:
                return "memfd:jray" in line or "/#" in line  # a file that never had a name
    return False


def books(jray):
    engine = jray.api.running()._engine
    with engine.locked():
        return len(engine.books.values), engine.books.bytes_in_blocks


@pytest.mark.parametrize("size", [64 * 1024, 10_000_000])
def test_arrays_of_64_kib_and_more_are_mapped_not_copied(runtime, size):
    array = runtime.get(runtime.put(np.ones(size, np.uint8)))
    assert is_mapped(array)
    assert array.__array_interface__["data"][0] % 64 == 0
    assert not is_mapped(runtime.get(runtime.put(np.ones(1000, np.uint8))))


@pytest.mark.parametrize(
    "array",
    [np.zeros(20_000, "M8[ns]"), np.zeros(20_000)[::2], np.zeros(20_000, "m8[s]")[::-2], np.ma.zeros(20_000)],
    ids=["dates", "every second one", "durations, backwards", "masked"],
)
def test_so_are_those_that_pickle_would_copy(runtime, array):
    array[5] = 7
    ref = runtime.put(array)
    mapped = runtime.get(ref)
    assert is_mapped(mapped)
    assert np.array_equal(mapped, array)
    mapped[5] = 0
    assert runtime.get(ref)[5] == array[5]
    assert runtime.get(runtime.remote(is_mapped).remote(ref))


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
    assert jray.get(jray.remote(os.getpid).remote()) != pid
    assert view.sum() == 700_000
    jray.shutdown()
    assert view.sum() == 700_000
    view[0] = 8


def test_blocks_are_reused_when_nobody_reads_them_any_more(runtime):
    for _ in range(20):
        array = runtime.get(runtime.put(np.zeros(1_000_000)))
        del array
        wait_until(lambda: books(runtime) == (0, 0), 10, "its block is free again")
    assert os.fstat(runtime.api.running()._engine.books.read_end.number).st_size < 2 * 8_000_000


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
        with engine.locked():
            b, s = engine.books, engine.scheduler
            return [*map(len, (b.values, b.bodies, b.staged, b.asks, s.tasks, s.references.objects))]  # noqa: PD011 - no data frame

    gc.collect()
    wait_until(lambda: not any(left()), 10, "nothing is left in the books")
    assert engine.books.bytes_in_blocks == 0


def test_four_readers_of_100_mb_share_its_pages(runtime_with):
    jray = runtime_with(num_cpus=4)
    ref = jray.put(np.ones(100_000_000, np.uint8))

    def own_bytes():
        """Memory of this process's own; not shared pages, also when nobody else maps them just now."""
        lines = pathlib.Path("/proc/self/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))

    @jray.remote
    def read(boxed):
        jray.get(boxed[0])[:1].sum()  # whatever is imported and mapped at first use
        before = own_bytes()
        array = jray.get(boxed[0])
        total = int(array.sum())
        added = own_bytes() - before
        array[: 10 * 4096] = 2
        written = own_bytes() - before - added
        return total, added, written

    results = jray.get([read.remote([ref]) for _ in range(4)])
    assert [total for total, _, _ in results] == [100_000_000] * 4
    assert sum(added for _, added, _ in results) < 30_000_000
    assert all(10 * 4096 <= written < 1_000_000 for _, _, written in results)  # what is written is copied: that only


KEEP = {
    "slice": lambda a: (a[10:20], lambda v: v.sum()),
    "transposed": lambda a: (a.reshape(1000, -1).T, lambda v: v[0, 0] + v[0, -1]),
    "memoryview": lambda a: (memoryview(a)[5:], lambda v: v[0] + v[-1]),
    "table": lambda a: (pa.table({"x": a}), lambda v: pc.sum(v["x"]).as_py()),
    "frame": lambda a: (pd.DataFrame({"x": a}, copy=False), lambda v: v["x"].sum()),
}


@pytest.mark.parametrize("kind", KEEP)
@pytest.mark.parametrize("ends", list(itertools.product([False, True], repeat=3)), ids=str)
def test_a_value_lives_as_long_as_any_view_of_it(runtime_with, kind, ends):
    """The ref gone, its worker dead, the runtime shut down: in every combination."""
    is_ref_gone, is_worker_dead, is_shut_down = ends
    jray = runtime_with(num_cpus=1)
    worker_pid = jray.remote(os.getpid)
    pid = jray.get(worker_pid.remote())
    ref = jray.remote(np.arange).remote(100_000)
    view, look = KEEP[kind](jray.get(ref))
    before = look(view)
    if is_ref_gone:
        del ref
    if is_worker_dead:
        os.kill(pid, signal.SIGKILL)
        assert jray.get(worker_pid.remote()) != pid
    others = [jray.put(np.zeros(100_000)) for _ in range(3)]  # would reuse its block
    assert jray.get(jray.remote(np.zeros).remote(100_000)).sum() == 0
    if is_shut_down:
        jray.shutdown()
    assert look(view) == before
    if not is_ref_gone and not is_shut_down:
        assert jray.get(ref).tolist() == list(range(100_000))
    del view, others
