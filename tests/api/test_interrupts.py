"""Ctrl-C at any moment: the user gets KeyboardInterrupt, and jray's books stay whole.

In processes of their own: signals strike the main thread of a process, and pytest's must not be it.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

_GET = """
import os, pathlib, signal, sys, threading
import jray
from tests.support.gates import Gate
from tests.support.waiting import wait_until
jray.init(num_cpus=2)
engine = jray.api.running()._engine
gate = Gate(pathlib.Path(sys.argv[1]))
def wait_at_the_gate():
    gate.pass_through()
    return "done"
def strike():
    wait_until(lambda: engine._waiters._deliveries, 20, "get waits")
    os.kill(os.getpid(), signal.SIGINT)
ref = jray.remote(wait_at_the_gate).remote()
striking = threading.Thread(target=strike)
striking.start()
try:
    jray.get(ref)
except KeyboardInterrupt:
    print("interrupted")
striking.join()
gate.let_through()
print(jray.get(ref))
"""

_HAMMER = """
import gc, os, random, signal, sys, time
import numpy as np
import jray
from jray.runtime.core.invariants import check
from tests.support.waiting import wait_until

jray.init(num_cpus=2)
guard = jray.api.running()._engine.guard
random.seed(int(sys.argv[1]))
@jray.remote
def add(a, b): return a + b
@jray.remote
def size(array): return len(array)
big = np.ones(20_000)
caught = rounds = in_a_row = 0
refs = kept = None

def strike(signum, frame): os.kill(os.getpid(), signal.SIGINT)
signal.signal(signal.SIGALRM, strike)
end = time.monotonic() + float(sys.argv[2])

def hail():
    global rounds, in_a_row, refs, kept
    while time.monotonic() < end or caught <= 20 or rounds <= 5:
        # On a busy machine a round takes long: after ten that were all cut short the next ones have more time.
        signal.setitimer(signal.ITIMER_REAL, random.random() * 0.03 * (1 + in_a_row // 10) + 1e-6)
        refs = [add.remote(n, 1) for n in range(20)]
        kept = jray.put(big)
        assert jray.get(refs) == list(range(1, 21))
        ready, rest = jray.wait([size.remote(kept), add.remote(refs[0], refs[1])], num_returns=2)
        assert jray.get(ready) == [20_000, 3]
        rounds += 1
        in_a_row = 0
    signal.setitimer(signal.ITIMER_REAL, 0)
    wait_until(lambda: not guard._postponed, 10, "a postponed one has come")
    signal.signal(signal.SIGINT, signal.SIG_IGN)

while signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
    try:
        hail()
    except KeyboardInterrupt:
        caught += 1
        in_a_row += 1
engine = jray.api.running()._engine
refs = kept = None
gc.collect()
assert jray.get([add.remote(n, n) for n in range(200)], timeout=20) == [2 * n for n in range(200)]
with engine.locked():
    check(engine.scheduler)
deadline = time.monotonic() + 10
while time.monotonic() < deadline:
    with engine.locked():
        left = (len(engine.books.values), len(engine.books.bodies), len(engine.books.staged), len(engine.books.asks),
                len(engine.scheduler.tasks), len(engine.scheduler.references.objects))
    if not any(left):
        break
assert not any(left), left
print("whole", engine.error)
"""


def run(program, *arguments):
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True, timeout=90, check=False
    )


def test_an_interrupted_get_returns_at_once_and_the_task_goes_on(tmp_path):
    ended = run(_GET, tmp_path)
    assert ended.stdout == "interrupted\ndone\n", ended.stderr


_POSTPONED = """
import os, signal, time
import jray
jray.init(num_cpus=1)
ref = jray.remote(time.sleep).remote(600)
engine = jray.api.running()._engine
begin = type(engine).begin_wait
def struck(*args, **kwargs):
    delivery = begin(engine, *args, **kwargs)
    signal.getsignal(signal.SIGINT)(signal.SIGINT, Frame)  # as if it had struck inside: postponed
    return delivery
class Frame: f_code, f_back = begin.__code__, None
engine.begin_wait = struck
try:
    jray.get(ref)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_a_postponed_interrupt_reaches_a_get_that_waits_already():
    assert run(_POSTPONED).stdout == "interrupted\n"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_hail_of_interrupts_leaves_the_engine_whole(seed):
    ended = run(_HAMMER, seed, 4)
    assert ended.stdout.splitlines()[-1:] == ["whole None"], ended.stdout + ended.stderr


_ALARMS = """
import random, signal, sys, time
import jray

class Late(Exception): pass
def ring(*_): raise Late

jray.init(num_cpus=2)
signal.signal(signal.SIGALRM, ring)
f = jray.remote(lambda: 1)
caught, end = 0, time.monotonic() + 2
while time.monotonic() < end or caught <= 100:
    try:
        signal.setitimer(signal.ITIMER_REAL, random.uniform(0.0002, 0.003))
        while True:
            assert jray.get([f.remote() for _ in range(20)], timeout=20) == [1] * 20
    except Late:
        caught += 1
signal.setitimer(signal.ITIMER_REAL, 0)
print("whole", jray.get(f.remote()))
"""


def test_an_alarm_that_raises_leaves_the_engine_whole():
    ended = run(_ALARMS)
    assert ended.stdout == "whole 1\n", ended.stderr


_SHUTDOWN = """
import os, signal, threading
import jray
jray.init(num_cpus=1)
jray.get(jray.remote(len).remote([]))
engine = jray.api.running()._engine
zygote = engine._pool.zygote.pid
join = engine._thread.join
def struck():
    join()
    os.kill(os.getpid(), signal.SIGINT)
engine._thread.join = struck
try:
    jray.shutdown()
except KeyboardInterrupt:
    print("interrupted", jray.is_initialized(), os.path.exists(f"/proc/{zygote}"))
engine._thread.join = join
jray.shutdown()
print(jray.is_initialized(), os.path.exists(f"/proc/{zygote}"))
"""


def test_an_interrupted_shutdown_can_be_called_again():
    ended = run(_SHUTDOWN)
    assert ended.stdout == "interrupted True True\nFalse False\n", ended.stderr
