"""`seed=`: the same random numbers at each run, whatever worker runs which task when."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest

import jray
from tests.support.gates import Gate


def draw():
    return random.random(), float(np.random.random())  # noqa: NPY002 - it is what old code draws from


def draw_slowly(gate):
    gate.pass_through()
    return draw()


def draw_with_children():
    children = jray.remote(draw)
    return [draw(), *jray.get([children.remote(), children.options(seed=5).remote(), children.remote()])]


def own_seed():
    return jray.get_runtime_context().get_task_seed()


def draws_here(seed):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - it is what tasks are seeded with
    return draw()


def test_a_seeded_task_draws_what_the_same_seed_gives_here(runtime):
    drawn = runtime.get([runtime.remote(draw).options(seed=5).remote() for _ in range(4)])

    assert drawn == [draws_here(5)] * 4


def test_the_items_of_a_seeded_map_draw_by_their_index(runtime):
    seeded = runtime.remote(seed=5)(lambda _: draw())
    first, again = runtime.get(seeded.map(range(6))), runtime.get(seeded.map(range(4)))

    assert first[:4] == again
    assert len({number for numbers in first for number in numbers}) == 12


def test_one_seed_for_all_makes_runs_the_same_whatever_the_order(runtime_with, tmp_path):
    runs = []
    for cpus in (1, 3):
        runtime = runtime_with(num_cpus=cpus, seed=42)
        gate = Gate(tmp_path, f"gate{cpus}")
        slow = runtime.remote(draw_slowly).remote(gate)  # the first to be submitted is the last to end, if it can be
        if cpus == 1:
            gate.let_through()
        others = runtime.get([runtime.remote(draw).remote() for _ in range(20)])
        if cpus > 1:
            gate.let_through()
        runs.append([runtime.get(slow), *others])

    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 21


def test_another_seed_for_all_gives_other_numbers(runtime_with):
    one = jray.get(runtime_with(num_cpus=1, seed=1).remote(draw).remote())

    assert jray.get(runtime_with(num_cpus=1, seed=2).remote(draw).remote()) != one


@pytest.mark.parametrize("how", [{"seed": 42}, {}])
def test_nested_tasks_draw_by_their_parents_seed_and_their_number(runtime_with, how):
    parent = jray.remote(draw_with_children).options(**({} if how else {"seed": 7}))
    runs = []
    for cpus in (1, 2):
        runtime_with(num_cpus=cpus, **how)
        runs.append(jray.get(parent.remote()))

    assert runs[0] == runs[1]
    assert runs[0][2] == draws_here(5)  # of its own: it changes nothing for the others
    assert len(set(runs[0])) == 4


def test_a_seed_of_its_own_changes_nothing_for_the_others(runtime_with):
    def draw_three(second):
        runtime = runtime_with(num_cpus=1, seed=3)
        return runtime.get([runtime.remote(draw).options(seed=seed).remote() for seed in (None, second, None)])

    plain, mixed = draw_three(None), draw_three(9)
    assert [plain[0], plain[2]] == [mixed[0], mixed[2]]
    assert mixed[1] == draws_here(9)


def test_a_task_that_is_run_again_draws_the_same(runtime_with, tmp_path):
    runtime = runtime_with(num_cpus=1, seed=8)

    def draw_twice():
        drawn = repr(draw())
        if not (tmp_path / "drawn").exists():
            (tmp_path / "drawn").write_text(drawn)
            os.kill(os.getpid(), signal.SIGKILL)
        return drawn

    assert runtime.get(runtime.remote(draw_twice).remote()) == (tmp_path / "drawn").read_text()


def test_a_task_without_a_seed_does_not_go_on_with_the_one_before_it(runtime_with):
    runtime = runtime_with(num_cpus=1)
    task = runtime.remote(draw)
    runtime.get(task.options(seed=5).remote())
    unseeded = runtime.get(task.remote())
    runtime.get(task.options(seed=5).remote())
    again = runtime.get(task.remote())

    draws_here(5)
    would_be_next = draw()
    assert not {*unseeded, *again} & {*would_be_next}
    assert not {*unseeded} & {*again}


def test_what_tasks_without_seeds_have_set_stays(runtime_with):
    runtime = runtime_with(num_cpus=1)
    runtime.get(runtime.remote(lambda: (random.seed(0), np.random.seed(0))).remote())  # noqa: NPY002 - likewise

    assert runtime.get(runtime.remote(draw).remote()) == draws_here(0)


def test_a_task_knows_its_seed_for_generators_of_its_own(runtime_with):
    runtime = runtime_with(num_cpus=1)
    task = runtime.remote(own_seed)
    assert runtime.get([task.remote(), task.options(seed=5).remote()]) == [None, 5]
    assert own_seed() is None

    seeds = []
    for _ in range(2):
        runtime = runtime_with(num_cpus=1, seed=1)
        seeds.append(runtime.get([task.remote(), task.remote()]))
    assert seeds[0] == seeds[1]
    assert np.random.default_rng(seeds[0][0]).random() != np.random.default_rng(seeds[0][1]).random()


_LOADS = """
import sys
from jray.runtime.worker.randomness import RandomState
state = RandomState()
state.apply(None)
print("numpy" in sys.modules)
state.apply(1)
print("numpy" in sys.modules)
"""


def test_numpy_is_loaded_for_a_seed_only():
    ended = subprocess.run([sys.executable, "-c", _LOADS], capture_output=True, text=True, check=False, timeout=60)

    assert ended.stdout == "False\nTrue\n", ended.stderr
