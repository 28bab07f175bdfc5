"""Tasks, references and waiting, with Ray's names and Ray's rules."""

from __future__ import annotations

import asyncio
import enum
import os
import threading
import time

import pytest

import jray
from jray.exceptions import GetTimeoutError, RayTaskError, TaskError
from tests.support.gates import Gate


@jray.remote
def add(a, b=10, *rest, scale=1):
    return (a + b + sum(rest)) * scale


def fail(text):
    raise ValueError(text)


def test_a_task_takes_arguments_as_a_call_does(runtime):
    assert runtime.get([add.remote(1), add.remote(1, 2), add.remote(1, 2, 3, scale=2)]) == [11, 3, 12]


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1,), {"wrong": 2}), ((1, 2), {"b": 3})])
def test_arguments_that_do_not_fit_are_refused_at_the_call(runtime, args, kwargs):
    with pytest.raises(TypeError):
        add.remote(*args, **kwargs)


def test_a_remote_function_is_not_called_directly():
    with pytest.raises(TypeError, match=r"Instead of running 'add\(\)', try 'add.remote\(\)'"):
        add(1)


def test_references_arrive_as_values_at_top_level_and_as_references_inside(runtime):
    @runtime.remote
    def look(value, *, key, inside):
        return value, key, isinstance(inside[0], runtime.ObjectRef), runtime.get(inside[0])

    ref = runtime.put("v")
    assert runtime.get(look.remote(ref, key=add.remote(1), inside=[ref])) == ("v", 11, True, "v")


def test_identity_holds_across_the_arguments_of_a_call(runtime):
    @runtime.remote
    def same(a, b, box):
        return a is b and box[0] is a

    shared = [1]
    assert runtime.get(same.remote(shared, shared, [shared]))


def test_several_returns_give_several_references(runtime):
    @runtime.remote(num_returns=3)
    def three():
        return 1, 2, 3

    @runtime.remote(num_returns=0)
    def none():
        pass

    refs = three.remote()
    assert [runtime.get(ref) for ref in refs] == [1, 2, 3]
    assert none.remote() is None


@pytest.mark.parametrize("result", [(1, 2, 3), 5])
def test_a_wrong_number_of_returns_is_an_error_in_each_reference(runtime, result):
    pair = runtime.remote(num_returns=2)(lambda: result)
    for ref in pair.remote():
        with pytest.raises(ValueError, match="num_returns=2"):
            runtime.get(ref)


def test_a_result_that_cannot_be_stored_fails_its_own_reference_only(runtime):
    good, bad = runtime.remote(num_returns=2)(lambda: (1, threading.Lock())).remote()
    assert runtime.get(good) == 1
    with pytest.raises(TypeError, match="Result 1 of"):
        runtime.get(bad)


def test_what_cannot_be_pickled_is_named_with_its_path_at_the_call(runtime):
    config = {"db": [threading.Lock()]}

    def helper():
        return config

    with pytest.raises(TypeError, match=r'helper → config\["db"\]\[0\] is a lock\.'):
        runtime.remote(lambda: helper()).remote()
    assert runtime.get(add.remote(1)) == 11  # nothing else is lost


def test_a_task_sees_what_the_call_would_see_here_and_now(runtime):
    level, box = 1, [1]

    def helper():
        return level

    @runtime.remote
    def read():
        return helper(), level, list(box)

    refs = [read.remote()]
    level = 2
    box.append(2)
    refs.append(read.remote())

    def helper():  # noqa: F811 - redefined, as people do
        return -level

    refs.append(read.remote())
    assert runtime.get(refs) == [(1, 1, [1]), (2, 2, [1, 2]), (-2, 2, [1, 2])]


def test_a_failure_is_both_a_task_error_and_the_users_class(runtime):
    with pytest.raises(ValueError, match="Task fail failed in worker w") as caught:
        runtime.get(runtime.remote(fail).remote("bad"))
    error = caught.value
    assert isinstance(error, TaskError)
    assert RayTaskError is TaskError
    assert error.args == ("bad",)
    assert type(error.cause) is ValueError
    assert "in fail" in str(error)
    assert "raise ValueError(text)" in error.remote_traceback


def test_a_failed_argument_fails_its_consumers_with_the_original_cause(runtime):
    @runtime.remote
    def consume(value):
        return value

    with pytest.raises(ValueError, match="Task consume did not run: an argument of it could not be computed") as caught:
        runtime.get(consume.remote(consume.remote(runtime.remote(fail).remote("first"))))
    assert str(caught.value.cause) == "first"


def test_an_error_of_a_nested_task_keeps_its_class(runtime):
    failing = runtime.remote(fail)

    @runtime.remote
    def outer():
        return runtime.get(failing.remote("inner"))

    with pytest.raises(ValueError, match="inner") as caught:
        runtime.get(outer.remote())
    assert type(caught.value.cause) is ValueError


class OddError(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a}-{b}")
        self.a, self.b = a, b


class StubbornError(Exception):
    def __reduce__(self):
        raise RuntimeError("no")


def test_exceptions_with_their_own_init_come_back_as_themselves(runtime):
    def odd():
        raise OddError(1, 2)

    with pytest.raises(OddError) as caught:
        runtime.get(runtime.remote(odd).remote())
    assert (caught.value.a, caught.value.b) == (1, 2)


def test_an_exception_that_cannot_travel_is_told_in_words(runtime):
    def stubborn():
        raise StubbornError("tell this")

    with pytest.raises(TaskError, match="StubbornError: tell this"):
        runtime.get(runtime.remote(stubborn).remote())


def test_the_chain_of_an_exception_is_shown(runtime):
    def chained():
        try:
            fail("low")
        except ValueError as error:
            raise KeyError("high") from error

    with pytest.raises(KeyError) as caught:
        runtime.get(runtime.remote(chained).remote())
    low, _, high = str(caught.value).partition("direct cause of the following exception")
    assert "ValueError: low" in low
    assert "KeyError: 'high'" in high


def test_sys_exit_and_keyboard_interrupt_do_not_end_the_worker(runtime):
    def leave():
        raise SystemExit(3)

    def interrupt():
        raise KeyboardInterrupt

    with pytest.raises(jray.exceptions.WorkerCrashedError, match=r"sys.exit\(3\)"):
        runtime.get(runtime.remote(leave).remote())
    with pytest.raises(jray.exceptions.TaskCancelledError):
        runtime.get(runtime.remote(interrupt).remote())


def test_get_takes_a_reference_or_a_list_and_nothing_else(runtime):
    ref = runtime.put(1)
    assert runtime.get([ref, ref]) == [1, 1]
    assert runtime.get([]) == []
    with pytest.raises(ValueError, match="Invalid type of object refs"):
        runtime.get((ref,))
    with pytest.raises(TypeError, match="int at position 1"):
        runtime.get([ref, 1])
    with pytest.raises(ValueError, match="timeout=-1"):
        runtime.get(ref, timeout=-1)
    with pytest.raises(TypeError, match="stored already"):
        runtime.put(ref)


def test_get_gives_up_after_its_time_out_and_the_task_goes_on(runtime, tmp_path):
    gate = Gate(tmp_path)
    ref = runtime.remote(gate.pass_through).remote()
    gate.wait_for_arrival()
    with pytest.raises(GetTimeoutError, match="is running") as caught:
        runtime.get(ref, timeout=0)
    assert isinstance(caught.value, TimeoutError)
    gate.open()
    assert runtime.get(ref) is None


def test_get_raises_the_first_error_without_waiting_for_the_rest(runtime, tmp_path):
    gate = Gate(tmp_path)
    slow = runtime.remote(gate.pass_through).remote()
    gate.wait_for_arrival()
    with pytest.raises(ValueError, match="early"):
        runtime.get([slow, runtime.remote(fail).remote("early")])
    gate.open()
    runtime.get(slow)


def test_wait_gives_at_most_num_returns_in_the_order_given(runtime):
    refs = [runtime.put(number) for number in range(4)]
    assert runtime.wait(refs, num_returns=2) == (refs[:2], refs[2:])
    assert runtime.wait([]) == ([], [])


def test_wait_counts_failures_and_stops_at_its_time_out(runtime, tmp_path):
    gate = Gate(tmp_path)
    slow, failed = runtime.remote(gate.pass_through).remote(), runtime.remote(fail).remote("x")
    gate.wait_for_arrival()
    assert runtime.wait([slow, failed]) == ([failed], [slow])
    assert runtime.wait([slow], timeout=0) == ([], [slow])
    gate.open()
    assert runtime.wait([slow]) == ([slow], [])


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda ref: jray.wait(ref), TypeError),
        (lambda ref: jray.wait([1]), TypeError),
        (lambda ref: jray.wait([ref, ref]), ValueError),
        (lambda ref: jray.wait([ref], num_returns=0), ValueError),
        (lambda ref: jray.wait([ref], num_returns=2), ValueError),
        (lambda ref: jray.wait([ref], timeout=-1), ValueError),
        (lambda ref: jray.get(ref, timeout="soon"), TypeError),
    ],
)
def test_misuse_of_wait_and_get_is_refused(runtime, call, error):
    with pytest.raises(error):
        call(runtime.put(1))


def test_references_compare_hash_and_can_be_awaited(runtime):
    ref = add.remote(1)

    async def use():
        return await ref, await asyncio.gather(ref.as_future(), add.remote(2).as_future())

    assert asyncio.run(use()) == (11, [11, 12])
    assert ref.future().result() == 11
    assert ref == ref and len({ref, ref}) == 1 and ref != add.remote(1)
    assert repr(ref) == f"ObjectRef({ref.hex()})"
    assert jray.ObjectID is jray.ObjectRef


def test_a_future_of_a_failed_task_raises_its_error(runtime):
    with pytest.raises(ValueError, match="later"):
        runtime.remote(fail).remote("later").future().result()


def test_the_context_says_where_code_runs(runtime):
    @runtime.remote(num_cpus=2, name="where")
    def where():
        context = runtime.get_runtime_context()
        return context.get_task_name(), context.get_assigned_resources(), context.get_task_id(), os.getpid()

    name, resources, task, pid = runtime.get(where.remote())
    assert (name, resources) == ("where", {"CPU": 2.0})
    assert task is not None and pid != os.getpid()
    here = runtime.get_runtime_context()
    assert (here.get_task_id(), here.get_task_name(), here.get_actor_id()) == (None, None, None)


def test_resources_are_counted_and_what_is_used_up_is_absent(runtime_with, tmp_path):
    ray = runtime_with(num_cpus=1, resources={"disk": 2})
    gate = Gate(tmp_path)
    assert ray.cluster_resources() == {"CPU": 1.0, "disk": 2.0}
    ref = ray.remote(resources={"disk": 0.5})(gate.pass_through).remote()
    gate.wait_for_arrival()
    assert ray.available_resources() == {"disk": 1.5}
    gate.open()
    ray.get(ref)
    assert ray.available_resources() == {"CPU": 1.0, "disk": 2.0}


def test_threads_of_a_task_may_get_while_its_main_thread_runs_on(runtime):
    @runtime.remote
    def threaded():
        found = []
        threads = [threading.Thread(target=lambda n=n: found.append(runtime.get(add.remote(n)))) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found)

    assert runtime.get(threaded.remote()) == [10, 11, 12, 13]


def test_waits_inside_tasks_keep_their_time_outs(runtime, tmp_path):
    gate = Gate(tmp_path)

    @runtime.remote
    def impatient(box):
        began = time.monotonic()
        ready, rest = runtime.wait(box, timeout=0.05)
        try:
            runtime.get(box[0], timeout=0.01)
        except GetTimeoutError:
            return len(ready), len(rest), time.monotonic() - began >= 0.05
        return None

    slow = runtime.remote(gate.pass_through).remote()
    gate.wait_for_arrival()
    assert runtime.get(impatient.remote([slow])) == (0, 1, True)
    gate.open()
    runtime.get(slow)


class Colour(enum.StrEnum):
    RED = "red"


def test_keyword_arguments_keep_their_order_with_references_among_them(runtime):
    @jray.remote
    def items(*args, **kwargs):
        return args, list(kwargs.items())

    one, two = jray.put(1), jray.put("two")
    assert jray.get(items.remote(one, 5, two, one, a=two, b=2.5, c=one)) == (
        (1, 5, "two", 1),
        [("a", "two"), ("b", 2.5), ("c", 1)],
    )
    assert jray.get(items.remote(**{Colour.RED: one, "b": b"x"})) == ((), [("red", 1), ("b", b"x")])


def test_one_reference_given_twice_is_one_value(runtime):
    @jray.remote
    def are_same(a, b, c):
        return a is b, a is c

    ref, other = jray.put([1]), jray.put([1])
    assert jray.get(are_same.remote(ref, ref, other)) == (True, False)
    assert jray.get(are_same.remote(ref, c=other, b=ref)) == (True, False)
