"""A Ray Core program runs with `import jray as ray`: its names, and what Ray promises of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import jray as ray

_PROGRAM = """
import jray as ray
import numpy as np

with ray.init(num_cpus=2, resources={"licence": 1}) as context:
    assert ray.is_initialized()
    assert ray.cluster_resources() == {"CPU": 2.0, "licence": 1.0}

    @ray.remote
    def square(x):
        return x * x

    @ray.remote(num_cpus=1, resources={"licence": 1}, max_retries=1, name="halves", num_returns=2)
    def split(array):
        half = len(array) // 2
        return array[:half], array[half:]

    @ray.remote
    def fib(n):
        return n if n < 2 else sum(ray.get([fib.remote(n - 1), fib.remote(n - 2)]))

    class Point:
        def __init__(self, x): self.x = x

    @ray.remote
    def move(point, by): return Point(point.x + by)

    @ray.remote
    def tree(depth):
        return [tree.remote(depth - 1)] if depth else "leaf"

    futures = [square.remote(i) for i in range(4)]
    assert ray.get(futures) == [0, 1, 4, 9]
    left, right = split.remote(ray.put(np.arange(100_000)))
    assert ray.get(left)[-1] == 49_999 and ray.get(right)[0] == 50_000
    assert ray.get(fib.remote(6)) == 8
    assert type(ray.get(move.remote(Point(1), 2))) is Point  # the class of this program
    node = ray.get(tree.remote(3))
    while node != "leaf":
        node = ray.get(node[0])

    unfinished = [square.remote(i) for i in range(6)]
    seen = []
    while unfinished:
        done, unfinished = ray.wait(unfinished)
        seen += ray.get(done)
    assert sorted(seen) == [0, 1, 4, 9, 16, 25]

    @ray.remote
    def bad(): raise ValueError("bad")
    try:
        ray.get(bad.remote())
    except ray.exceptions.RayTaskError as error:
        assert isinstance(error, ValueError) and isinstance(error.cause, ValueError)
    try:
        ray.get(square.options(resources={"licence": 2}).remote(1), timeout=0)
    except ray.exceptions.GetTimeoutError:
        pass
    assert ray.ObjectID is ray.ObjectRef and isinstance(left, ray.ObjectRef)
    assert ray.get_runtime_context().get_job_id()
assert not ray.is_initialized()
print("done")
"""


def test_a_ray_program_runs_as_a_script():
    ended = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout == "done\n", ended.stderr


def test_a_script_that_does_not_shut_down_ends_all_the_same():
    program = "import time, jray; ref = jray.remote(time.sleep).remote(600); print('end')"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "end\n", "")


@pytest.mark.parametrize(
    "use",
    [
        lambda: ray.put(1),
        lambda: ray.remote(len).remote([]),
        ray.get_runtime_context,
        ray.cluster_resources,
        ray.available_resources,
    ],
)
def test_first_use_starts_the_runtime(runtime_with, use):
    use()
    assert ray.is_initialized()


def test_looking_at_nothing_starts_nothing(runtime_with):
    assert ray.get([]) == []
    assert ray.wait([]) == ([], [])
    assert not ray.is_initialized()
    ray.shutdown()


@pytest.mark.parametrize("refs", [(), None, "ref", {}, {1}, iter(())])
def test_get_takes_lists_only(runtime, refs):
    with pytest.raises(ValueError, match="Invalid type of object refs"):
        runtime.get(refs)


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan")])
def test_a_time_that_is_none_is_refused(runtime, timeout):
    ref = runtime.put(1)
    for call in (runtime.get, runtime.wait):
        with pytest.raises(ValueError, match="timeout="):
            call([ref], timeout=timeout)


@pytest.mark.parametrize("timeout", [0, 10, 2.5, 1e12, float("inf"), True])
def test_times_are_numbers_however_long(runtime, timeout):
    ref = runtime.put(1)
    if timeout is True:
        with pytest.raises(TypeError, match="no number of seconds"):
            runtime.get(ref, timeout=timeout)
        return
    nested = runtime.remote(lambda box: (runtime.get(box[0], timeout=timeout), runtime.wait(box, timeout=timeout)[1]))
    assert runtime.get(ref, timeout=timeout) == 1
    assert runtime.wait([ref], timeout=timeout) == ([ref], [])
    assert runtime.get(nested.remote([ref])) == (1, [])
    assert runtime.get(nested.remote([runtime.remote(lambda: 1).remote()])) == (1, []) or timeout == 0


def test_numbers_of_numpy_are_times_too(runtime):
    numpy = pytest.importorskip("numpy")
    ref = runtime.put(1)
    assert runtime.get(ref, timeout=numpy.float32(1)) == runtime.get(ref, timeout=numpy.int64(1)) == 1


def test_wait_keeps_the_order_given_and_never_gives_more_than_asked(runtime):
    refs = [runtime.put(number) for number in range(5)]
    shuffled = [refs[index] for index in (3, 0, 4, 1, 2)]
    for count in range(1, 6):
        assert runtime.wait(shuffled, num_returns=count) == (shuffled[:count], shuffled[count:])


def test_options_may_change_everything_at_the_call(runtime):
    where = runtime.remote(lambda: (os.getpid(), runtime.get_runtime_context().get_task_name()))
    assert runtime.get(where.options(name="elsewhere").remote())[1] == "elsewhere"
    first, second = where.options(num_returns=2).remote()
    assert isinstance(runtime.get(first), int) and isinstance(runtime.get(second), str)
    assert where.options(num_returns=0).remote() is None


@ray.remote
def signature(a, /, b, *rest, c, d=4, **more):
    return a, b, rest, c, d, more


@pytest.mark.parametrize("call", [lambda f: f(1, 2), lambda f: f(1, c=3), lambda f: f(b=2, c=3), lambda f: f()])
def test_calls_that_do_not_fit_the_signature_fail_here(runtime, call):
    with pytest.raises(TypeError):
        call(signature.remote)


def test_every_kind_of_argument_arrives(runtime):
    one = runtime.put(1)
    result = runtime.get(signature.remote(one, one, one, one, c=one, e=one))
    assert result == (1, 1, (1, 1), 1, 4, {"e": 1})


def test_the_context_of_a_nested_task_is_its_own(runtime):
    def ids():
        context = runtime.get_runtime_context()
        return context.get_task_id(), context.get_job_id(), context.get_node_id()

    @runtime.remote
    def outer():
        before = ids()
        inner = runtime.get(runtime.remote(ids).remote())
        return before, inner, ids()

    before, inner, after = runtime.get(outer.remote())
    assert before == after
    assert before[0] != inner[0]
    assert before[1:] == inner[1:] == ids()[1:]


@pytest.mark.parametrize(
    ("use", "says"), [(ray.init, "running in this process already"), (ray.shutdown, "was refused in a task")]
)
def test_a_task_neither_starts_nor_ends_the_runtime(runtime, use, says):
    with pytest.raises(RuntimeError, match=says):
        runtime.get(runtime.remote(lambda: use()).remote())
    assert runtime.get(runtime.remote(ray.is_initialized).remote())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"include_dashboard": False}, "of Ray's it has num_cpus, num_gpus, "),
        ({"num_cpu": 2}, "Did you mean num_cpus?"),
    ],
)
def test_arguments_of_init_that_jray_does_not_have_are_refused(arguments, says):
    with pytest.raises(TypeError, match=re.escape(says)):
        ray.init(**arguments)
    assert not ray.is_initialized()


def test_there_is_no_cluster_to_join_yet(runtime_with):
    with pytest.raises(ValueError, match="can't join a cluster yet"):
        ray.init("auto")
    runtime_with(address="local", num_cpus=1)


def test_a_name_of_rays_that_jray_does_not_have_yet_says_so():
    with pytest.raises(
        AttributeError, match=r"no attribute 'cancel'. It is a name of Ray's that jray does not have yet"
    ):
        ray.cancel  # noqa: B018 - looking it up is the test
    with pytest.raises(AttributeError, match=r"no attribute 'nonsense'$"):
        ray.nonsense  # noqa: B018
