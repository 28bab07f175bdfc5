"""Options are checked when they are given, with a suggestion; init and shutdown follow Ray."""

from __future__ import annotations

import logging
import os

import pytest

import jray
from tests.support.waiting import wait_until


def work():
    return os.getpid()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"num_cpu": 1}, ValueError, "Did you mean 'num_cpus'"),
        ({"memory": 1}, ValueError, "option of Ray that jray does not have yet"),
        ({"num_gpus": 1.5}, ValueError, "no task can have parts of several. Give a whole number, or less than 1"),
        ({"num_gpus": -1}, ValueError, "negative"),
        ({"num_gpus": "all"}, TypeError, "Give a number"),
        ({"resources": {"GPU": 1}}, ValueError, "Use num_gpus=1"),
        ({"num_cpus": "two"}, TypeError, "Give a number"),
        ({"num_cpus": -1}, ValueError, "negative"),
        ({"num_cpus": True}, TypeError, "Give a number"),
        ({"resources": [1]}, TypeError, "mapping"),
        ({"resources": {"CPU": 1}}, ValueError, "num_cpus"),
        ({"resources": {"disk": "x"}}, TypeError, "number"),
        ({"num_returns": 1.5}, TypeError, "whole number"),
        ({"num_returns": "streaming"}, TypeError, "not there yet"),
        ({"max_retries": -2}, ValueError, "out of range"),
        ({"name": 3}, TypeError, "string"),
        ({"seed": -1}, ValueError, "out of range"),
        ({"seed": 1 << 64}, ValueError, "out of range"),
        ({"seed": 1.5}, TypeError, "whole number"),
        ({"seed": True}, TypeError, "whole number"),
    ],
)
def test_a_wrong_option_is_refused_where_it_is_given(options, error, says):
    with pytest.raises(error, match=says):
        jray.remote(**options)
    with pytest.raises(error, match=says):
        jray.remote(work).options(**options)


def test_options_make_a_copy():
    one = jray.remote(work)
    assert one.options(name="other") is not one
    assert repr(one).startswith("<remote function work")


@pytest.mark.parametrize("use", [lambda: jray.remote(), lambda: jray.remote(work, num_cpus=1), lambda: jray.remote(3)])
def test_remote_takes_one_function_or_options(use):
    with pytest.raises(TypeError):
        use()


def test_what_cannot_be_a_task_is_refused_at_decoration():
    async def coroutine():
        pass

    def generator():
        yield 1

    class Actor:
        pass

    with pytest.raises(ValueError, match="async def"):
        jray.remote(coroutine)
    with pytest.raises(ValueError, match="generator"):
        jray.remote(generator)
    with pytest.raises(TypeError, match="actors are not there yet"):
        jray.remote(Actor)


def test_a_generator_with_a_number_of_returns_is_a_task(runtime):
    @runtime.remote(num_returns=2)
    def pair():
        yield 1
        yield 2

    assert runtime.get(pair.remote()) == [1, 2]


def test_first_use_starts_the_runtime_and_shutdown_may_be_called_twice(runtime_with):
    assert not jray.is_initialized()
    assert jray.get(jray.put(1)) == 1
    assert jray.is_initialized()
    jray.shutdown()
    jray.shutdown()
    assert not jray.is_initialized()


def test_a_second_init_is_refused_unless_it_is_ignored(runtime):
    with pytest.raises(RuntimeError, match="ignore_reinit_error=True"):
        runtime.init()
    assert runtime.init(ignore_reinit_error=True)["resources"] == {"CPU": 2.0}


def test_init_is_a_context_manager(runtime_with):
    with jray.init(num_cpus=1) as info:
        assert jray.is_initialized()
        assert "1 CPU" in repr(info)
    assert not jray.is_initialized()


def test_cpus_default_to_what_this_process_may_use(runtime_with):
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        jray.init()
        assert jray.cluster_resources()["CPU"] == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_references_of_an_earlier_runtime_are_told_apart(runtime_with):
    ref = runtime_with(num_cpus=1).put(1)
    runtime_with(num_cpus=1)
    with pytest.raises(jray.exceptions.ObjectLostError, match="runtime that was shut down"):
        jray.get(ref)


def test_a_request_that_can_never_be_met_waits_alone_with_a_warning(runtime, caplog):
    with caplog.at_level(logging.WARNING, logger="jray"):
        never = runtime.remote(resources={"moon": 1})(work).remote()
        too_many = runtime.remote(num_cpus=3)(work).remote()
        assert runtime.get(runtime.remote(work).remote()) != os.getpid()  # nobody waits behind them
        # The engine may wake us before it warns: both come of one batch of events.
        wait_until(lambda: "asks for 3 CPU" in caplog.text, 10, "the second warning is shown")
    assert "asks for 1 CPU, 1 moon. This runtime has 2 CPU" in caplog.text
    assert runtime.wait([never, too_many], timeout=0) == ([], [never, too_many])
    with pytest.raises(jray.exceptions.GetTimeoutError, match="queued for ever"):
        runtime.get(never, timeout=0)
