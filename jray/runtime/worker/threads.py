"""How many threads BLAS and OpenMP may use in a task: as many as it has whole CPUs, and at least one.

A variable is read when such a library is loaded; those that are loaded already are told by threadpoolctl. Both always
say the same, so whatever a library was loaded for, it has the limit of the task that runs.
"""

from __future__ import annotations

import os

from jray.runtime.ids import UNIT, Shape

_OMP = "OMP_NUM_THREADS"
_VARIABLES = {"openmp": _OMP, "openblas": "OPENBLAS_NUM_THREADS", "mkl": "MKL_NUM_THREADS"}  # by threadpoolctl's names


class ThreadLimit:
    """What the user has set stays: OMP_NUM_THREADS for all, as in Ray, the others for their library."""

    def __init__(self) -> None:
        """In the zygote, before it imports anything: one thread, and so it is safe to fork."""
        is_ours = _OMP not in os.environ
        self._ours = {api: name for api, name in _VARIABLES.items() if is_ours and name not in os.environ}
        self._shape: Shape = ()
        self._threads = 1
        for name in self._ours.values():
            os.environ[name] = "1"

    def apply(self, shape: Shape) -> None:
        """A task that holds this begins. Most hold what the last one held: that costs one comparison."""
        if shape == self._shape:
            return
        self._shape = shape
        threads = max(1, dict(shape).get("CPU", 0) // UNIT)
        if threads == self._threads or not self._ours:
            return
        self._threads = threads
        for name in self._ours.values():
            os.environ[name] = str(threads)
        from threadpoolctl import ThreadpoolController

        for library in ThreadpoolController().lib_controllers:
            if library.internal_api in self._ours:
                library.set_num_threads(threads)
