"""The store's limit: producers wait, what nobody reads goes to disk and comes back, and errors say who holds what."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import jray
from jray.exceptions import ObjectLostError, ObjectStoreFullError, OutOfDiskError, WorkerCrashedError
from jray.runtime.core.memory import Place
from jray.runtime.store import spill
from jray.runtime.system import reopened_to_write, usable_memory
from tests.support.gates import Gate
from tests.support.waiting import wait_until

MB = 1_000_000
LIMIT = 64 << 20

pytestmark = pytest.mark.usefixtures("memory_kind")


def engine():
    return jray.api.running()._engine


def memory():
    with engine().locked():
        return engine().scheduler.memory


def place_of(ref):
    return memory().blocks[ref._id].place


def array(number, size=10 * MB):
    return np.full(size, number, np.uint8)


def is_array(value, number, size=10 * MB):
    return value.nbytes == size and value[0] == value[-1] == number and value.flags.writeable


@pytest.fixture
def small(runtime_with):
    return runtime_with(num_cpus=2, object_store_memory=LIMIT)


def spilled_ones(refs):
    return [ref for ref in refs if place_of(ref) is Place.DISK]


def test_by_default_the_store_takes_30_percent_of_what_this_process_may_use(runtime):
    assert memory().limits.memory == int(usable_memory() * 0.3)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"object_store_memory": "1G"}, "is of type str"),
        ({"object_store_memory": 1000}, "1,048,576 or more"),
        ({"object_spilling_limit": -1}, "out of range"),
        ({"object_spilling_directory": "/proc/nowhere"}, "no such directory"),
    ],
)
def test_a_limit_that_cannot_be_is_refused(arguments, says):
    with pytest.raises((TypeError, ValueError), match=says):
        jray.init(**arguments)


def test_what_does_not_fit_goes_to_disk_the_least_recently_used_first_and_is_read_from_there(small):
    refs = [small.put(array(number)) for number in range(5)]
    assert is_array(small.get(refs[0]), 0)  # the first is not the oldest any more
    refs += [small.put(array(number)) for number in range(5, 9)]

    assert memory().used <= LIMIT
    assert [refs.index(ref) for ref in spilled_ones(refs)] == [1, 2, 3]
    assert all(is_array(small.get(ref), number) for number, ref in enumerate(refs))


def test_two_gets_of_a_spilled_object_never_alias(small):
    refs = [small.put(array(number)) for number in range(9)]
    first = small.get(spilled_ones(refs)[0])
    number = int(first[0])
    first[:] = 77
    assert is_array(small.get(refs[number]), number)


def test_a_spilled_object_comes_back_into_memory_when_there_is_room(small):
    refs = [small.put(array(number)) for number in range(9)]
    spilled = spilled_ones(refs)[0]
    number = refs.index(spilled)
    del refs[4:]
    assert is_array(small.get(spilled), number)
    wait_until(lambda: place_of(spilled) is Place.MEMORY, 10, "it is in memory again")
    assert is_array(small.get(spilled), number)


def test_what_came_back_is_not_written_to_disk_again(small):
    refs = [small.put(array(number)) for number in range(9)]
    back = spilled_ones(refs)[0]
    kept, number = refs[:4], refs.index(back)
    del refs
    small.get(back)
    wait_until(lambda: place_of(back) is Place.MEMORY, 10, "it is in memory again")
    file = engine().books.spill_file
    copy = engine().books.copies[back._id].block
    assert file._allocator.taken_bytes == memory().on_disk
    more = [small.put(array(number)) for number in range(9)]
    assert place_of(back) is Place.DISK
    assert engine().books.values[back._id].block == copy
    assert file._allocator.taken_bytes == memory().on_disk
    assert is_array(small.get(back), number)
    del kept, more


def test_tasks_take_and_return_more_than_fits(small):
    @small.remote
    def make(number):
        return np.full(10 * MB, number, np.uint8)

    @small.remote
    def double(value):
        assert value.flags.writeable
        value *= 2
        return value

    refs = [double.remote(make.remote(number)) for number in range(20)]
    small.wait(refs, num_returns=20)
    assert len(spilled_ones(refs)) >= 13
    assert all(is_array(small.get(ref), 2 * number) for number, ref in enumerate(refs))


def test_a_task_may_put_and_get_more_than_fits(small):
    @small.remote
    def many():
        refs = [jray.put(np.full(10 * MB, number, np.uint8)) for number in range(12)]
        return [int(jray.get(ref)[-1]) for ref in refs], refs

    numbers, refs = small.get(many.remote())
    assert numbers == list(range(12))
    assert all(is_array(small.get(ref), number) for number, ref in enumerate(refs))


def test_large_arguments_and_code_that_wait_for_a_worker_may_be_spilled(runtime_with, tmp_path):
    small = runtime_with(num_cpus=1, object_store_memory=LIMIT)
    gate = Gate(tmp_path)

    @small.remote
    def hold():
        gate.pass_through()

    @small.remote
    def last(value):
        return int(value[-1])

    holding = hold.remote()
    gate.wait_for_arrival()
    refs = [last.remote(array(number)) for number in range(12)]  # arguments by value: parked in the store
    assert memory().on_disk > 0
    gate.open()
    assert small.get([holding, *refs]) == [None, *range(12)]


def test_who_maps_an_object_keeps_it_in_memory(small):
    refs = [small.put(array(number)) for number in range(6)]
    values = [small.get(ref) for ref in refs]
    with pytest.raises(
        ObjectStoreFullError,
        match=r"(?s)Of the object store's 64\.0 MiB.*an array in the process that started jray.*jray memory",
    ) as caught:
        small.put(array(6))
    assert not isinstance(caught.value, OutOfDiskError)
    assert all(is_array(value, number) for number, value in enumerate(values))

    del values[0]
    ref = small.put(array(6))  # the first can go to disk now
    assert is_array(small.get(ref), 6)
    assert all(is_array(value, number) for number, value in enumerate(values, start=1))


def test_what_is_larger_than_the_store_is_refused_at_once(small):
    with pytest.raises(ObjectStoreFullError, match=r"A value of 66\.8 MiB could not be stored.*limited to 64\.0 MiB"):
        small.put(array(0, 70 * MB))

    @small.remote
    def too_much():
        return np.zeros(70 * MB, np.uint8)

    with pytest.raises(ObjectStoreFullError, match=r"limited to 64\.0 MiB"):
        small.get(too_much.remote())
    assert is_array(small.get(small.put(array(1))), 1)


def test_a_producer_waits_as_long_as_a_task_may_let_go_of_something(small, tmp_path):
    gate = Gate(tmp_path)

    @small.remote
    def hold(*values):
        gate.pass_through()
        return sum(int(value[0]) for value in values)

    held = [small.put(array(number)) for number in range(6)]
    holding = hold.remote(*held)
    gate.wait_for_arrival()

    stored = []
    producer = threading.Thread(target=lambda: stored.append(small.put(array(9))))
    producer.start()
    wait_until(lambda: memory().requests, 10, "the producer waits for room")
    assert not stored
    gate.open()
    producer.join(20)
    assert small.get(holding) == 15
    assert is_array(small.get(stored[0]), 9)


def test_a_put_that_waits_can_be_interrupted(small, tmp_path):
    gate = Gate(tmp_path)

    @small.remote
    def hold(*values):
        gate.pass_through()

    held = [small.put(array(number)) for number in range(6)]
    holding = hold.remote(*held)
    gate.wait_for_arrival()

    def interrupt_when_it_waits():
        wait_until(lambda: memory().requests, 10, "the put waits for room")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    thread = threading.Thread(target=interrupt_when_it_waits)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        small.put(array(9))
    thread.join()
    assert not memory().requests
    gate.open()
    small.get(holding)
    assert is_array(small.get(small.put(array(9))), 9)


def test_shutdown_lets_go_who_waits_for_room(small, tmp_path):
    gate = Gate(tmp_path)

    @small.remote
    def hold(*values):
        gate.pass_through()

    held = [small.put(array(number)) for number in range(6)]
    holding = hold.remote(*held)
    gate.wait_for_arrival()
    errors = []

    def put():
        try:
            small.put(array(9))
        except Exception as error:  # noqa: BLE001 - whatever it is
            errors.append(error)

    producer = threading.Thread(target=put)
    producer.start()
    wait_until(lambda: memory().requests, 10, "the producer waits for room")
    small.shutdown()
    producer.join(20)
    assert isinstance(errors[0], ObjectLostError)
    del holding


def test_a_disk_limit_is_kept_and_said(runtime_with):
    small = runtime_with(num_cpus=2, object_store_memory=LIMIT, object_spilling_limit=25 * MB)
    refs = [small.put(array(number)) for number in range(8)]
    with pytest.raises(OutOfDiskError, match=r"Nothing can be moved to disk: the limit for spilled objects"):
        small.put(array(8))
    assert memory().on_disk <= 25 * MB
    assert all(is_array(small.get(ref), number) for number, ref in enumerate(refs))


def test_a_disk_that_fills_up_in_the_middle_of_a_spill_loses_nothing(small, monkeypatch):
    real, written = os.pwrite, []

    def full_after_a_while(descriptor, data, offset):
        written.append(len(data))
        if sum(written) > 6 * MB:
            raise OSError(28, "No space left on device")
        return real(descriptor, data, offset)

    refs = [small.put(array(number)) for number in range(6)]
    with monkeypatch.context() as patch:
        patch.setattr(spill.os, "pwrite", full_after_a_while)
        with pytest.raises(OutOfDiskError, match="No space left on device"):
            small.put(array(6))
    assert all(is_array(small.get(ref), number) for number, ref in enumerate(refs))
    file = engine().books.spill_file
    assert file._allocator.taken_bytes == 0
    assert os.fstat(file.read_end.number).st_blocks == 0  # the half copy is given back


@pytest.mark.parametrize("damage", ["changed", "cut off"])
def test_a_damaged_spill_file_costs_the_damaged_object_only(small, damage):
    refs = [small.put(array(number)) for number in range(9)]
    spilled = spilled_ones(refs)
    victim, others = spilled[0], [ref for ref in refs if ref is not spilled[0]]
    block = engine().books.values[victim._id].block
    file = reopened_to_write(engine().books.spill_file.read_end)
    if damage == "changed":
        os.pwrite(file.number, b"x", block.offset + 5 * MB)
    else:
        for ref in spilled[1:]:
            assert is_array(small.get(ref), refs.index(ref))
        others = [ref for ref in others if ref not in spilled]
        os.ftruncate(file.number, block.offset + 5 * MB)

    @small.remote
    def read(value):
        return int(value[0])

    for _ in range(2):
        with pytest.raises(ObjectLostError, match=victim.hex()):
            small.get(victim)
        with pytest.raises(ObjectLostError, match=victim.hex()):
            small.get(read.remote(victim))
    assert all(is_array(small.get(ref), refs.index(ref)) for ref in others)
    assert small.get([read.remote(ref) for ref in others]) == [refs.index(ref) for ref in others]


def test_a_worker_that_is_killed_while_it_writes_gives_its_room_back(small):
    @small.remote(max_retries=0)
    def die_writing():
        real = os.pwrite

        def write_a_part_and_die(descriptor, data, offset):
            real(descriptor, data[: 30 * MB], offset)
            os.kill(os.getpid(), signal.SIGKILL)

        os.pwrite = write_a_part_and_die
        return np.ones(50 * MB, np.uint8)

    with pytest.raises(WorkerCrashedError):
        small.get(die_writing.remote())
    now = memory()
    assert (now.used, now.promised) == (0, now.limits.standing * len(now.promises))
    assert is_array(small.get(small.put(array(3, 60 * MB))), 3, 60 * MB)


def test_what_a_dead_worker_wrote_and_did_not_report_is_given_back_and_its_results_stay(small):
    @small.remote
    def make():
        return np.full(10 * MB, 5, np.uint8), os.getpid()

    @small.remote(max_retries=0)
    def write_without_telling():
        jray.runtime.backend.current()._link.arena.write([memoryview(bytes(20 * MB))])
        os.kill(os.getpid(), signal.SIGKILL)

    small.get(make.remote())  # a worker is up, and the next tasks go to it, one after the other
    ref = make.remote()
    pid = small.get(ref)[1]
    with pytest.raises(WorkerCrashedError, match=str(pid)):
        small.get(write_without_telling.remote())
    block = engine().books.values[ref._id].block
    arena = engine().memory_of(block.arena)
    wait_until(lambda: os.fstat(arena.number).st_blocks * 512 == block.length, 10, "the rest is given back")
    assert is_array(small.get(ref)[0], 5)


def test_spilled_objects_have_no_name_on_the_disk(runtime_with, tmp_path):
    small = runtime_with(num_cpus=1, object_store_memory=LIMIT, object_spilling_directory=tmp_path)
    refs = [small.put(array(number)) for number in range(9)]
    assert memory().on_disk > 0
    assert list(tmp_path.iterdir()) == []
    target = os.readlink(f"/proc/self/fd/{engine().books.spill_file.read_end.number}")
    assert target.startswith(str(tmp_path))
    assert os.fstat(engine().books.spill_file.read_end.number).st_mode & 0o077 == 0
    del refs
    wait_until(lambda: memory().on_disk == 0, 10, "all is freed")
    assert os.fstat(engine().books.spill_file.read_end.number).st_blocks == 0


def test_free_pages_are_kept_warm_only_while_there_is_plenty(small):
    limits = memory().limits
    refs = [small.put(array(number)) for number in range(6)]
    del refs[:5]
    arena = engine().books.arena
    wait_until(lambda: arena.resident_free_bytes <= limits.warm, 10, "the rest is given back")
    assert is_array(small.get(refs[0]), 5)


def test_room_that_was_granted_and_not_used_is_for_others(small):
    """A value was announced, waited for, and never written: as after an interrupt."""
    allowance = engine()._desk.allowance
    room = allowance.claim(50 * MB)
    assert memory().promised >= 50 * MB
    del room
    wait_until(lambda: memory().promised < 50 * MB, 10, "it is given back")
    now = memory()
    assert now.promised == now.limits.standing * len(now.promises)

    @small.remote(max_retries=0)
    def claim_and_forget():
        jray.runtime.backend.current()._link.allowance.claim(50 * MB)

    small.get(claim_and_forget.remote())
    wait_until(lambda: memory().promised == now.limits.standing * len(now.promises), 10, "the worker's, too")


_SMALL_SHM = """
import sys
import numpy as np
import jray
jray.init(num_cpus=2, object_store_memory=300_000_000)
refs = [jray.put(np.full(40_000_000, number, np.uint8)) for number in range(10)]
refs += [jray.remote(np.full).remote(40_000_000, number, np.uint8) for number in range(10, 14)]
print([int(jray.get(ref)[-1]) for ref in refs] == list(range(14)))
"""


def test_a_dev_shm_of_64_mb_kills_nobody():
    """As in containers. In a mount namespace of its own, which needs the right to make one."""
    mount = "mount -t tmpfs -o size=64m tmpfs /dev/shm && "
    if subprocess.run(["unshare", "-m", "sh", "-c", mount + "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not make a mount namespace")
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount + 'exec "$0" -c "$1"', sys.executable, _SMALL_SHM],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr
