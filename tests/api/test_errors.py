"""What arrives when a task raises: an error with the class, the fields and the story of the original."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import re
import signal
import sys
import threading

import pytest

import jray
from jray.exceptions import JrayError, RayError, RayTaskError, TaskCancelledError, TaskError, WorkerCrashedError


def raises(make):
    raise make()


def error_of(make, **options):
    """The error of a task that raises what `make` makes."""
    task = jray.remote(max_retries=0, **options)(raises)
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - the tests look at its class
        jray.get(task.remote(make))
    return caught.value


class Odd(Exception):
    def __init__(self, a, *, b):
        super().__init__(f"{a}-{b}")
        self.a = a


class Speechless(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class NoException(BaseException):
    pass


class Leaves(Exception):
    def __reduce__(self):
        return sys.exit, (3,)


class Ends(Exception):
    def __reduce__(self):
        return os._exit, (3,)


class Final(Exception):
    def __init_subclass__(cls):
        raise TypeError("no subclasses")


MEANT = [
    (lambda: ValueError("x"), ValueError, {"args": ("x",)}),
    (lambda: Odd(1, b=2), Odd, {"a": 1, "args": ("1-2",)}),
    (lambda: FileNotFoundError(2, "gone", "/a"), FileNotFoundError, {"errno": 2, "filename": "/a", "strerror": "gone"}),
    (lambda: ImportError("no", name="m", path="/p"), ImportError, {"name": "m", "path": "/p"}),
    (lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), UnicodeDecodeError, {"start": 0, "object": b"\xff"}),
    (lambda: SyntaxError("bad", ("f.py", 3, 1, "x=")), SyntaxError, {"lineno": 3, "filename": "f.py"}),
    (lambda: ExceptionGroup("g", [KeyError(1)]), ExceptionGroup, {"message": "g"}),
    (lambda: Speechless("?"), Speechless, {}),
    (lambda: NoException("b"), NoException, {}),
]


@pytest.mark.parametrize(("make", "kind", "fields"), MEANT, ids=lambda part: getattr(part, "__name__", ""))
def test_an_error_has_the_class_and_the_fields_of_its_cause(runtime, make, kind, fields):
    error = error_of(make)
    assert isinstance(error, TaskError)
    assert isinstance(error, kind)
    assert isinstance(error.cause, kind)
    assert {name: getattr(error, name) for name in fields} == fields
    assert error.task == "raises"
    assert str(error).startswith("Task raises failed in worker w")


@pytest.mark.parametrize("kind", [StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError])
def test_what_steers_loops_arrives_as_a_plain_task_error(runtime, kind):
    error = error_of(lambda: kind("x"))
    assert type(error) is TaskError
    assert type(error.cause) is kind
    assert kind.__name__ in str(error)


async def awaited(ref):
    return await ref


def test_awaiting_a_task_that_raised_stop_iteration_raises(runtime):
    with pytest.raises(TaskError, match="StopIteration"):
        asyncio.run(awaited(runtime.remote(lambda: next(iter(()))).remote()))


def test_a_class_that_cannot_be_subclassed_leaves_a_plain_task_error(runtime):
    error = error_of(lambda: Final("f"))
    assert type(error) is TaskError
    assert type(error.cause) is Final


def test_an_exception_that_leaves_while_it_is_loaded_arrives_all_the_same(runtime):
    error = error_of(lambda: Leaves("last words"))
    assert isinstance(error, Leaves)
    assert error.args == ("last words",)


def test_an_exception_that_ends_its_process_costs_its_own_task_only(runtime):
    assert isinstance(error_of(lambda: Ends("x")), WorkerCrashedError)
    assert runtime.get(runtime.remote(len).remote([1])) == 1


@pytest.mark.parametrize(
    ("make", "kind"), [(lambda: SystemExit(3), WorkerCrashedError), (KeyboardInterrupt, TaskCancelledError)]
)
def test_exits_and_interrupts_have_errors_of_their_own(runtime, make, kind):
    error = error_of(make)
    assert type(error) is kind
    assert not isinstance(error, TaskError)


@pytest.mark.parametrize(
    "travel", [copy.copy, lambda error: pickle.loads(pickle.dumps(error)), lambda error: jray.get(jray.put(error))]
)
def test_an_error_is_a_value_like_any_other(runtime, travel):
    error = error_of(lambda: Odd(1, b=2))
    back = travel(error)
    assert isinstance(back, TaskError) and isinstance(back, Odd)
    assert str(back) == str(error)
    assert (back.a, back.cause.a, back.task) == (1, 1, "raises")


def test_a_task_may_return_the_error_of_another(runtime):
    @runtime.remote
    def catch():
        try:
            runtime.get(runtime.remote(raises).remote(lambda: Odd(1, b=2)))
        except Odd as error:
            return error

    assert runtime.get(catch.remote()).a == 1


def test_an_error_raised_from_the_error_of_another_task_shows_both(runtime):
    @runtime.remote
    def wrap():
        try:
            runtime.get(runtime.remote(raises).remote(lambda: KeyError("low")))
        except KeyError as error:
            raise RuntimeError("high") from error

    with pytest.raises(RuntimeError) as caught:
        runtime.get(wrap.remote())
    low, _, high = str(caught.value).partition("direct cause of the following exception")
    assert "KeyError: 'low'" in low
    assert "RuntimeError: high" in high


def test_an_error_reaches_every_result_and_every_consumer_with_its_first_cause(runtime):
    first = runtime.remote(num_returns=2)(raises).remote(lambda: ValueError("first"))
    consume = runtime.remote(name="consume")(lambda value: value)
    last = consume.remote(consume.remote(first[1]))
    for ref in (*first, last):
        with pytest.raises(ValueError, match="first") as caught:
            runtime.get(ref)
        assert type(caught.value.cause) is ValueError
    assert "Task consume did not run: an argument of it could not be computed" in str(caught.value)


def test_a_failed_reference_inside_a_container_fails_nobody_until_it_is_read(runtime):
    bad = runtime.remote(raises).remote(lambda: ValueError("x"))
    assert runtime.get(runtime.remote(len).remote([bad])) == 1


def test_an_error_that_carries_much_reaches_the_threads_of_a_task(runtime):
    bad = runtime.remote(raises).remote(lambda: ValueError("x" * 1_000_000))

    @runtime.remote
    def threaded(box):
        caught = []

        def wait():
            try:
                runtime.get(box[0])
            except ValueError as error:
                caught.append(len(error.args[0]))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return caught

    assert runtime.get(threaded.remote([bad]), timeout=30) == [1_000_000] * 3


def test_a_signal_handler_that_raises_ends_a_wait_inside_a_task(runtime, tmp_path):
    from tests.support.gates import Gate

    gate = Gate(tmp_path)

    class Rings(Exception):
        pass

    @runtime.remote
    def impatient(box):
        def ring(*_):
            raise Rings

        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        runtime.get(box[0])

    slow = runtime.remote(gate.pass_through).remote()
    gate.wait_for_arrival()
    with pytest.raises(Rings):  # and not: for ever
        runtime.get(impatient.remote([slow]), timeout=30)
    gate.open()
    runtime.get(slow)
    assert runtime.available_resources() == {"CPU": 2.0}


def test_ray_s_names_for_errors():
    assert RayError is JrayError
    assert RayTaskError is TaskError
    assert issubclass(jray.exceptions.GetTimeoutError, TimeoutError)
    assert all(issubclass(kind, RayError) for kind in (RayTaskError, WorkerCrashedError, TaskCancelledError))


def test_the_frames_of_a_recursion_are_counted(runtime):
    def dive():
        return dive()

    with pytest.raises(RecursionError) as caught:
        runtime.get(runtime.remote(dive).remote())
    assert len(str(caught.value).splitlines()) < 20
    assert re.search(r"\[Previous line repeated 9\d\d more times\]", str(caught.value))


def test_arguments_that_do_not_fit_are_told_with_the_functions_name(runtime):
    @runtime.remote
    def add(a, b):
        return a + b

    with pytest.raises(
        TypeError,
        match=r"^add.remote\(\) missing a required argument: 'b'. Its parameters are \(a, b\); give them to remote.$",
    ):
        add.remote(1)
