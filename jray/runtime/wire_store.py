"""The messages of wire.py that have to do with the store: who may write how much, and which arenas can be read."""

from __future__ import annotations

from jray.runtime.ids import ObjectId, WorkerId, message

# ---- to a worker ----------------------------------------------------------------------------------------------------


@message
class Freed:
    """Blocks of the worker's own arena that nobody uses any more."""

    offsets: tuple[int, ...]


@message
class Allowed:
    """The worker may write so many bytes more into its arena without asking."""

    size: int


@message
class KeepWarm:
    """Of the free pages of its arena the worker keeps at most so many bytes."""

    size: int


# ---- to a worker, on its control lane -------------------------------------------------------------------------------


@message
class ArenaShown:
    """A descriptor comes with this packet: the arena of another process, to read."""

    arena: WorkerId


@message
class ArenaGone:
    """Nothing lies in that arena any more: close the descriptor."""

    arena: WorkerId


@message
class RoomTold:
    """The answer to AskRoom: granted, if there is no text."""

    request: int
    is_for_disk: bool  # things could be moved to disk if that took them
    text: str


# ---- from a worker --------------------------------------------------------------------------------------------------


@message
class Viewed:
    """The worker maps these objects now."""

    objects: tuple[ObjectId, ...]


@message
class Unviewed:
    """It has no view of them any more."""

    objects: tuple[ObjectId, ...]


@message
class ReplyRead:
    """What the worker wants of a reply is mapped, and that was told."""

    request: int


@message
class AskRoom:
    """A thread wants to write more than the worker is allowed. Answered on the control lane."""

    request: int
    size: int


@message
class ReturnRoom:
    """So much of what was granted was not used."""

    size: int


@message
class AskArena:
    """Show that arena again: the descriptor was lost, because this process had as many as the system allows."""

    arena: WorkerId
