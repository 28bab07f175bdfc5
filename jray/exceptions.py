"""The errors that users of jray can see. Ray's names are kept as aliases, so that `except ray.exceptions.X` works.

Every message says what happened to what, why, and what to do.
"""

from __future__ import annotations

from typing import Any


class JrayError(Exception):
    """Base of all errors that jray raises about tasks, objects and workers."""


class TaskError(JrayError):
    """A task raised an exception.

    `jray.get` raises it as an instance of both TaskError and the class of the original exception, so that
    `except ValueError` works as if the function had been called here.

    Attributes:
        cause: the original exception; None when it could not travel from the worker.
        task: the name of the task that raised.
        remote_traceback: where it was raised in the worker, as text.
    """

    cause: BaseException | None = None
    task: str = ""
    remote_traceback: str = ""
    _text: str = ""
    _origin: int = 0  # the number of the cell that submitted the task

    def __str__(self) -> str:
        """What happened, and the traceback in the worker."""
        return self._text or super().__str__()

    def __getattr__(self, name: str) -> Any:
        """Attributes of the original exception (`error.errno`, `error.response`, …)."""
        if name.startswith("__") or self.cause is None:
            raise AttributeError(name)
        return getattr(self.cause, name)


class WorkerCrashedError(JrayError):
    """The process that ran a task ended, and the task had no retries left."""


class SetUpError(JrayError):
    """A task could not run, because a function of `jray.run_on_all` failed in its worker."""


class TaskCancelledError(JrayError):
    """The task was cancelled, or ended itself with KeyboardInterrupt."""


class GetTimeoutError(JrayError, TimeoutError):
    """`get` gave up waiting; the tasks go on."""


class ObjectLostError(JrayError):
    """The object is gone: freed, or made by a runtime that was shut down."""


class ObjectStoreFullError(JrayError):
    """The shared memory that an object needs could not be had: the limit, or the system's memory, is used up."""


class OutOfDiskError(ObjectStoreFullError):
    """The store is full, and the disk does not take what could be moved there."""


class InternalError(JrayError):
    """A bug in jray. The message holds what its authors need."""


RayError = JrayError
RayTaskError = TaskError
RaySystemError = InternalError
