"""Many file descriptors and mappings are provided for; where they end, jray says so, and goes on when there are some.

Each program runs in a process of its own, whose limit it lowers.
"""

from __future__ import annotations

import subprocess
import sys

_HELPERS = """
import contextlib, os, resource, signal, sys
import numpy as np
import jray
from jray.exceptions import JrayError

@contextlib.contextmanager
def no_descriptors(left=0):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    filling = [os.dup(0) for _ in range(left + 1)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (filling[-1] + 1, hard))
    with contextlib.suppress(OSError):
        while True:
            filling.append(os.dup(0))
    for descriptor in filling[len(filling) - left:]:
        os.close(descriptor)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in filling[:len(filling) - left]:
            os.close(descriptor)

def words(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except JrayError as error:
        return f"{type(error).__name__}: {error}"
    return "no error"

LARGE = np.arange(100_000)
"""


def lines_of(program):
    ended = subprocess.run(
        [sys.executable, "-c", _HELPERS + program], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_a_put_without_descriptors_says_what_to_do_and_works_when_there_are_some():
    error, total = lines_of("""
jray.init(num_cpus=1)
with no_descriptors():
    print(words(jray.put, LARGE))
print(jray.get(jray.put(LARGE)).sum())
""")
    assert error.startswith("ObjectStoreFullError: A value could not be stored.")
    assert "Too many open files" in error and "ulimit -n" in error
    assert total == "4999950000"


def test_a_task_that_has_no_descriptor_left_to_read_with_is_told_and_can_read_when_it_has():
    error, total = lines_of("""
jray.init(num_cpus=1)

@jray.remote
def read(box):
    jray.put(1)  # what is imported at first use
    with no_descriptors():
        error = words(jray.get, box[0])
    return error, jray.get(box[0]).sum()

for line in jray.get(read.remote([jray.put(LARGE)]), timeout=60):
    print(line)
""")
    assert error.startswith("ObjectStoreFullError: An object could not be read in worker w1")
    assert "Too many open files" in error and "ulimit -n" in error
    assert total == "4999950000"


def test_a_worker_whose_descriptors_a_task_has_used_up_says_so_in_the_next_task():
    error, total = lines_of("""
jray.init(num_cpus=1)
left_open = []

@jray.remote
def leak():
    left_open.append(no_descriptors())
    left_open[0].__enter__()
    import builtins
    builtins.left_open = left_open

@jray.remote
def close():
    import builtins
    builtins.left_open[0].__exit__(None, None, None)

@jray.remote
def read(array): return array.sum()

ref = jray.put(LARGE)
jray.get(leak.remote(), timeout=60)
print(words(jray.get, read.remote(ref), timeout=60).splitlines()[0])
jray.get(close.remote(), timeout=60)
print(jray.get(read.remote(ref), timeout=60))
""")
    assert "An object could not be read in worker w1" in error
    assert total == "4999950000"


def test_threads_of_a_task_without_descriptors_are_all_told():
    told = lines_of("""
jray.init(num_cpus=1)
from concurrent.futures import ThreadPoolExecutor

@jray.remote
def read(box):
    jray.put(1)  # what is imported at first use
    with ThreadPoolExecutor(4) as pool, no_descriptors():
        return list(pool.map(lambda _: words(jray.get, box[0], timeout=30), range(8)))

for line in jray.get(read.remote([jray.put(LARGE)]), timeout=60):
    print("could not be read" in line)
""")
    assert told == ["True"] * 8


def test_a_store_whose_file_on_disk_cannot_be_opened_says_why_and_goes_on_later():
    error, total = lines_of("""
jray.init(num_cpus=1, object_store_memory=80 << 20)
mine = [jray.put(np.ones(3 << 20))]
with no_descriptors():
    print(words(lambda: mine.extend(jray.put(np.ones(3 << 20)) for _ in range(6))))
from tests.support.waiting import wait_until
wait_until(lambda: words(lambda: mine.append(jray.put(np.ones(3 << 20)))) == "no error", 30, "the disk is tried again")
print(sum(jray.get(ref).sum() for ref in mine) == len(mine) * (3 << 20))
""")
    assert error.startswith("OutOfDiskError")
    assert "Too many open files" in error
    assert total == "True"


def test_when_the_process_that_starts_workers_cannot_be_replaced_everybody_is_told_why():
    error, total = lines_of("""
jray.init(num_cpus=1)
zygote = jray.api.running()._engine._pool.zygote
with no_descriptors():
    os.kill(zygote.pid, signal.SIGKILL)
    print(words(jray.get, jray.remote(len).remote("abc"), timeout=60))
jray.shutdown()
jray.init(num_cpus=1)
print(jray.get(jray.remote(len).remote("abc"), timeout=60))
""")
    assert error.startswith("WorkerCrashedError: jray can't go on") and "Too many open files" in error
    assert total == "3"


def test_live_views_take_no_descriptors():
    assert lines_of("""
jray.init(num_cpus=1)
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
ref = jray.put(LARGE)
views = [jray.get(ref) for _ in range(3_000)]
count = lambda box, n: len([jray.get(box[0]) for _ in range(n)])
print(sum(view[5] for view in views), jray.get(jray.remote(count).remote([ref], 3_000), timeout=60))
""") == ["15000 3000"]


def test_views_beyond_what_the_system_maps_are_refused_in_words():
    error, total = lines_of("""
jray.init(num_cpus=1)
ref = jray.put(np.arange(10_000))
views = []
def map_all():
    for _ in range(int(open("/proc/sys/vm/max_map_count").read())):
        views.append(jray.get(ref))
print(words(map_all))
del views[:1000]
from tests.support.waiting import wait_until
totals = []
def add():
    totals.append(jray.get(ref).sum())  # once: the next one may come before the mapping of this one is ended
wait_until(lambda: words(add) == "no error", 30, "the mappings are ended")
print(totals[0])
""")
    assert error.startswith("ObjectStoreFullError: A value of 80,000 bytes could not be mapped.")
    assert "vm.max_map_count" in error
    assert total == "49995000"
