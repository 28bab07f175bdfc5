"""Which GPUs a process sees: said before anything in it can load CUDA, and never changed.

Once CUDA was used it does not look at the variable again, so this is done between the fork and the first user code.
"""

from __future__ import annotations

import os

from jray.runtime.system import VISIBLE_GPUS, visible_gpus


def hide_gpus() -> list[str] | None:
    """In the zygote: what it imports must not use a GPU, nor do workers without any.

    Returns:
        How the kernel calls the GPUs that it may use; None: by their numbers.
    """
    names = visible_gpus()
    os.environ[VISIBLE_GPUS] = ""
    return names


def show_gpus(gpus: tuple[int, ...], names: list[str] | None) -> tuple[int, ...] | tuple[str, ...]:
    """In a worker: these GPUs, counted among those that the kernel may use, are all that CUDA will find.

    Returns:
        Their ids, as in Ray: numbers, or the names that the kernel's variable has.
    """
    ids = gpus if names is None else tuple(names[gpu] for gpu in gpus)
    os.environ[VISIBLE_GPUS] = ",".join(map(str, ids))
    return ids
