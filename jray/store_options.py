"""How large the object store may become: what `init` is given, checked."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

STORE_SHARE = 0.3  # of the memory that this process may use, as in Ray
LEAST_STORE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreOptions:
    """What `init` says of the store.

    Attributes:
        memory: bytes of shared memory; None: a share of what this process may use.
        spilling_directory: where objects go that do not fit; None: the system's temporary directory.
        spilling_limit: bytes that they may take there; None: all but 5 % of the disk.
        read_only: whether arrays from the store can't be written, unless a task or `get` says otherwise.
    """

    memory: int | None = None
    spilling_directory: Path | None = None
    spilling_limit: int | None = None
    read_only: bool = False

    @staticmethod
    def checked(
        memory: int | None,
        spilling_directory: str | os.PathLike[str] | None,
        spilling_limit: int | None,
        *,
        read_only: bool,
    ) -> StoreOptions:
        """From the arguments of `init`.

        Raises:
            TypeError, ValueError: an amount that is none, or a directory that is none.
        """
        directory = None if spilling_directory is None else Path(spilling_directory).expanduser().absolute()
        if directory is not None and not (directory.is_dir() and os.access(directory, os.W_OK)):
            msg = (
                f"jray.init(object_spilling_directory={str(directory)!r}) was refused. There is no such directory, or "
                "it can't be written. Make it, or name another one."
            )
            raise ValueError(msg)
        return StoreOptions(
            memory=_checked("object_store_memory", memory, LEAST_STORE),
            spilling_directory=directory,
            spilling_limit=_checked("object_spilling_limit", spilling_limit, 0),
            read_only=bool(read_only),
        )


def _checked(name: str, size: object, least: int) -> int | None:
    if size is None:
        return None
    if isinstance(size, bool) or not isinstance(size, int | float):
        msg = f"jray.init({name}={size!r}) was refused. It is of type {type(size).__name__}. Give a number of bytes."
        raise TypeError(msg)
    if not least <= size < float("inf"):
        msg = f"jray.init({name}={size!r}) was refused. It is out of range. Give a number of bytes, {least:,} or more."
        raise ValueError(msg)
    return int(size)
