"""How many threads BLAS and OpenMP may use in a task: as many as it has whole CPUs, and at least one.

A variable is read when such a library is loaded; those that are loaded already are told by threadpoolctl. Both always
say the same, so whatever a library was loaded for, it has the limit of the task that runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from jray.runtime.ids import UNIT, Shape

_OMP = b"OMP_NUM_THREADS"
_VARIABLES = {"openmp": _OMP, "openblas": b"OPENBLAS_NUM_THREADS", "mkl": b"MKL_NUM_THREADS"}  # threadpoolctl's names


class ThreadLimit:
    """What the user has set counts: OMP_NUM_THREADS for all, as in Ray, the others for their library."""

    def __init__(self) -> None:
        """In the zygote, before it imports anything: one thread, and so it is safe to fork."""
        self._environment: Mapping[bytes, bytes] = dict(os.environb)  # without what is ours
        self._shape: Shape = ()
        self._limits = _limits(self._environment, 1)
        self.variables = _variables(self._environment, 1)  # that are ours to set
        os.environb.update(self.variables)

    def apply(self, shape: Shape, environment: Mapping[bytes, bytes]) -> None:
        """A task begins that holds this; `environment` is the user's. Says what `variables` are now."""
        if shape == self._shape and environment is self._environment:
            return
        self._shape, self._environment = shape, environment
        cpus = max(1, dict(shape).get("CPU", 0) // UNIT)
        self.variables = _variables(environment, cpus)
        limits = _limits(environment, cpus)
        if limits == self._limits:
            return  # most tasks hold what the last one held
        self._limits = limits
        from threadpoolctl import ThreadpoolController

        for library in ThreadpoolController().lib_controllers:
            threads = limits.get(library.internal_api)
            if threads:
                library.set_num_threads(threads)


def _variables(environment: Mapping[bytes, bytes], cpus: int) -> dict[bytes, bytes]:
    names = _VARIABLES.values() if _OMP not in environment else ()
    return {name: b"%d" % cpus for name in names if name not in environment}


def _limits(environment: Mapping[bytes, bytes], cpus: int) -> dict[str, int]:
    """How many threads each library should have; 0: the user has said something that we do not understand."""
    limits = {}
    for library, name in _VARIABLES.items():
        said = environment.get(name, environment.get(_OMP))
        number = b"%d" % cpus if said is None else said.split(b",")[0].strip()
        limits[library] = int(number) if number.isdigit() else 0
    return limits
