"""References in asyncio and as futures, here and in tasks."""

from __future__ import annotations

import asyncio
import concurrent.futures

import pytest

import jray
from tests.support.gates import Gate


@jray.remote
def add(a, b):
    return a + b


@jray.remote
def fail():
    raise KeyError("here")


def test_awaiting_many_at_once(runtime):
    async def use():
        return await asyncio.gather(*(add.remote(number, 1).as_future() for number in range(50)))

    assert asyncio.run(use()) == list(range(1, 51))


def test_await_raises_the_error_of_the_task(runtime):
    async def use():
        with pytest.raises(KeyError) as caught:
            await fail.remote()
        return caught.value

    assert isinstance(asyncio.run(use()), jray.exceptions.TaskError)


def test_the_loop_goes_on_while_one_coroutine_awaits(runtime, tmp_path):
    gate = Gate(tmp_path)

    async def use():
        waiting = asyncio.ensure_future(runtime.remote(gate.pass_through).remote().as_future())
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, gate.wait_for_arrival)
        others = await add.remote(1, 2)
        assert not waiting.done()
        await loop.run_in_executor(None, gate.open)
        return others, await waiting

    assert asyncio.run(use()) == (3, None)


def test_cancelling_a_future_does_not_cancel_the_task(runtime, tmp_path):
    gate = Gate(tmp_path)
    ref = runtime.remote(lambda: gate.pass_through() or "done").remote()
    gate.wait_for_arrival()

    async def use():
        future = ref.as_future()
        future.cancel()
        with pytest.raises(asyncio.CancelledError):
            await future

    asyncio.run(use())
    assert ref.future().cancel()
    gate.open()
    assert runtime.get(ref) == "done"
    assert ref.future().result() == "done"


def test_futures_work_with_concurrent_futures(runtime):
    futures = [add.remote(number, 0).future() for number in range(10)]
    done = concurrent.futures.as_completed(futures, timeout=30)
    assert sorted(future.result() for future in done) == list(range(10))


def test_a_task_may_run_a_loop_of_its_own(runtime):
    @runtime.remote
    def loops():
        async def use():
            return await asyncio.gather(*(add.remote(number, 1).as_future() for number in range(5)))

        return asyncio.run(use())

    assert runtime.get(loops.remote()) == [1, 2, 3, 4, 5]


def test_a_shutdown_ends_what_is_awaited(runtime, tmp_path):
    gate = Gate(tmp_path)
    future = runtime.remote(gate.pass_through).remote().future()
    gate.wait_for_arrival()
    runtime.shutdown()
    with pytest.raises(jray.exceptions.ObjectLostError):
        future.result(timeout=30)
