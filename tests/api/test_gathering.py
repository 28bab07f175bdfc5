"""What a worker says of short tasks is gathered for a moment: nothing is lost by that, and nothing waits for it."""

from __future__ import annotations

import os
import time

import pytest

import jray
from jray.exceptions import WorkerCrashedError


def test_short_tasks_that_were_done_before_a_crash_are_done(runtime, tmp_path):
    # Their reports are gathered in the worker: what it had not sent when it died is read in its journal.
    log = tmp_path / "log"

    @jray.remote(max_retries=0)
    def note(number):
        if number % 25 == 24:
            os._exit(1)
        with log.open("a") as file:
            file.write(f"{number}\n")
        return number

    jray.get([note.remote(0) for _ in range(300)])
    log.unlink()
    refs = [note.remote(number) for number in range(1, 301)]
    outcomes = dict(enumerate(refs, 1))
    for number in range(24, 300, 25):
        with pytest.raises(WorkerCrashedError):
            jray.get(outcomes.pop(number))
    assert jray.get(list(outcomes.values())) == list(outcomes)
    assert sorted(map(int, log.read_text().split())) == list(outcomes)


def test_children_run_although_their_parent_computes_on(runtime, tmp_path):
    # What it has submitted is gathered for a moment, and sent even if it never says anything again.
    @jray.remote(num_cpus=0)
    def child(number):
        (tmp_path / str(number)).touch()

    @jray.remote
    def parent():
        refs = [child.remote(number) for number in range(50)]
        end = time.monotonic() + 60
        while len(list(tmp_path.iterdir())) < len(refs) and time.monotonic() < end:
            pass
        return len(list(tmp_path.iterdir()))

    assert jray.get(parent.remote()) == 50
