"""Processes that the user forks himself: multiprocessing, os.fork."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np

_FORK = """
import os
import numpy as np
import jray

jray.init(num_cpus=1)
kept = jray.put(np.zeros(100_000))  # the arena exists, and its books are copied by the fork
go, told = os.pipe(), os.pipe()
if os.fork() == 0:
    os.read(go[0], 1)
    try:
        jray.get(kept)
    except jray.exceptions.ObjectLostError:
        print("lost in the child", flush=True)
    mine = jray.put(np.full(100_000, 666.0))  # a runtime of its own
    print(jray.get(mine)[0], jray.get(jray.remote(len).remote([1, 2])), flush=True)
    jray.shutdown()
    os.write(told[1], b"x")
    os._exit(0)
after = jray.put(np.ones(100_000))
os.write(go[1], b"x")
os.read(told[0], 1)
os.wait()
print(jray.get(after)[0], jray.get(kept)[0], jray.get(jray.remote(len).remote([1])))
"""


def test_a_fork_of_the_user_starts_a_runtime_of_its_own_and_leaves_the_parents_alone():
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stdout.splitlines() == ["lost in the child", "666.0 2", "1.0 0.0 1"], ended.stderr
    assert ended.stderr == ""


def test_a_fork_in_a_task_can_not_write_into_the_workers_memory(runtime):
    @runtime.remote
    def task():
        runtime.put(np.zeros(100_000))
        go, told = os.pipe(), os.pipe()
        if os.fork() == 0:
            os.read(go[0], 1)
            try:
                runtime.put(np.full(100_000, 666.0))
            except RuntimeError as error:
                os.write(told[1], str(error).encode())
            os._exit(0)
        after = runtime.put(np.ones(100_000))
        os.write(go[1], b"x")
        said = os.read(told[0], 1000).decode()
        os.wait()
        return runtime.get(after)[0], said

    value, said = runtime.get(task.remote())
    assert value == 1.0
    assert "in a process that a task forked" in said


_VIEWS = """
import os
import numpy as np
import jray

jray.init(num_cpus=1)
view = jray.get(jray.put(np.ones(100_000)))
go, told = os.pipe(), os.pipe()
if os.fork() == 0:
    os.read(go[0], 1)
    print(view[0], flush=True)
    os._exit(0)
del view
jray.cluster_resources()  # the engine has heard that nobody holds it here
others = [jray.put(np.full(100_000, 2.0)) for _ in range(3)]
os.write(go[1], b"x")
os.wait()
"""


def test_views_that_a_fork_has_do_not_change():
    program = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _VIEWS]
    ended = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "1.0\n", ended.stderr
