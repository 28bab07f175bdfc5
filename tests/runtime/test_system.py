"""What only Linux has can be missing: the same promises hold with what other systems have."""

from __future__ import annotations

import os
import select

import numpy as np
import pytest

from jray.runtime import system as system_module
from jray.runtime.system import WakeUp, make_memory, make_poller, usable_cpus, usable_memory


@pytest.fixture(params=["as it is", "without Linux"])
def system(request, monkeypatch):
    if request.param == "without Linux":
        monkeypatch.delattr(os, "memfd_create")
        monkeypatch.delattr(os, "eventfd")
        monkeypatch.delattr(select, "epoll")
        monkeypatch.delattr(os, "sched_getaffinity")
    return request.param


def test_memory_is_written_through_one_descriptor_and_only_read_through_the_other(system):
    writable, readable = make_memory("test")
    try:
        assert os.pwrite(writable, b"hello", 4096) == 5
        assert os.pread(readable, 5, 4096) == b"hello"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.pwrite(readable, b"x", 0)
        assert os.fstat(writable).st_nlink == 0  # no name: nothing can be left behind
    finally:
        os.close(writable)
        os.close(readable)


def test_a_call_wakes_a_poll_once(system):
    wake_up, poller = WakeUp(), make_poller()
    poller.register(wake_up.descriptor, select.POLLIN)
    assert poller.poll(0) == []
    wake_up.call()
    wake_up.call()
    assert poller.poll(-1) == [(wake_up.descriptor, select.POLLIN)]
    wake_up.clear()
    assert poller.poll(0) == []
    poller.close()
    wake_up.close()
    wake_up.call()  # nobody polls any more: no error


def test_a_call_after_the_last_was_heard_wakes_again(system):
    wake_up, poller = WakeUp(), make_poller()
    poller.register(wake_up.descriptor, select.POLLIN)
    for _ in range(3):
        wake_up.call()
        assert poller.poll(-1) == [(wake_up.descriptor, select.POLLIN)]
        wake_up.clear()
    poller.close()
    wake_up.close()


def test_a_poll_gives_up_after_its_time_out_in_seconds(system):
    poller = make_poller()
    assert poller.poll(0.001) == []
    poller.close()


def test_at_least_one_cpu_is_usable(system):
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)


MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
SMALL = 300 << 20
CGROUPS = {
    "no cgroups": (None, {}, MACHINE),
    "no limit": ("0::/job", {"job/memory.max": "max", "memory.max": "max"}, MACHINE),
    "version 2": ("0::/job", {"job/memory.max": str(SMALL)}, SMALL),
    "a group above": ("0::/job/step", {"job/step/memory.max": "max", "job/memory.max": str(SMALL)}, SMALL),
    "the least counts": ("0::/job/step", {"job/step/memory.max": str(SMALL), "job/memory.max": str(2 * SMALL)}, SMALL),
    "a container that sees its own group only": ("0::/../outside", {"memory.max": str(SMALL)}, SMALL),
    "version 1": ("4:cpu,memory:/job\n0::/", {"memory/job/memory.limit_in_bytes": str(SMALL)}, SMALL),
    "version 1 without limit": ("4:memory:/job", {"memory/job/memory.limit_in_bytes": str(2**63 - 4096)}, MACHINE),
}


@pytest.mark.parametrize("case", CGROUPS)
def test_usable_memory_is_what_machine_and_cgroups_allow(monkeypatch, tmp_path, case):
    own, settings, allowed = CGROUPS[case]
    monkeypatch.setattr(system_module, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(system_module, "_OWN_CGROUPS", tmp_path / "own")
    if own is not None:
        (tmp_path / "own").write_text(own + "\n")
    for name, text in settings.items():
        file = tmp_path / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    assert usable_memory() == allowed


def test_arrays_travel_through_an_unlinked_file_where_there_is_no_memfd(monkeypatch, runtime_with):
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.delattr(os, "eventfd")
    monkeypatch.delattr(select, "epoll")
    jray = runtime_with(num_cpus=1)
    array = np.arange(100_000)

    @jray.remote
    def double(values):
        return values * 2

    assert (jray.get(double.remote(jray.put(array))) == array * 2).all()
