"""Where this code runs: `get_runtime_context` and `get_gpu_ids`, with Ray's names."""

from __future__ import annotations

import os

from jray.runtime import backend


class RuntimeContext:
    """Where this code runs."""

    def __init__(self, where: backend.Where) -> None:
        """For get_runtime_context."""
        self._where = where

    def get_task_id(self) -> str | None:
        """The id of the running task; None outside tasks."""
        return None if self._where.task is None else f"{self._where.task:020x}"

    def get_task_name(self) -> str | None:
        """The name of the running task; None outside tasks."""
        return self._where.task_name

    def get_worker_id(self) -> str:
        """The id of this process; worker 0 is the user's own."""
        return f"{self._where.worker:020x}"

    def get_node_id(self) -> str:
        """The id of this machine."""
        return os.uname().nodename

    def get_job_id(self) -> str:
        """The id of this runtime: all of a process is one job."""
        return "00000001"

    def get_assigned_resources(self) -> dict[str, float]:
        """What the running task holds; empty outside tasks."""
        return dict(self._where.resources)

    def get_accelerator_ids(self) -> dict[str, list[str]]:
        """The GPUs of the running task, by kind of accelerator: `{"GPU": ["0"]}`; none outside tasks."""
        return {"GPU": [str(gpu) for gpu in self._where.gpus]}

    def get_task_seed(self) -> int | None:
        """The seed of the running task, for generators of its own: `np.random.default_rng(context.get_task_seed())`.

        None outside tasks, and when no seed was asked for, by `init` or by the option.
        """
        return self._where.seed

    def get_actor_id(self) -> str | None:
        """Always None: there are no actors yet."""
        return None


def get_runtime_context() -> RuntimeContext:
    """Where this code runs: which task, which worker."""
    return RuntimeContext(backend.current().where())


def get_gpu_ids() -> list[int] | list[str]:
    """The ids of the GPUs that the running task has; none in your own process, whose GPUs jray does not manage.

    They are numbers; or, where CUDA_VISIBLE_DEVICES was set when the runtime started, what was named there.
    """
    return list(backend.current().where().gpus)  # type: ignore[return-value]
