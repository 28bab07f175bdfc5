"""When the system refuses workers: how often it did in a row, and when to ask again."""

from __future__ import annotations

REFUSED_S = 0.5  # after a refusal the system is not asked again for so long


class Refusals:
    """Of a worker's process: too many open files, processes, or too little memory."""

    def __init__(self) -> None:
        """Nothing was refused."""
        self.until = 0.0  # no worker is asked for before
        self.in_a_row = 0

    def note(self, now: float) -> bool:
        """The system refused a worker. True when that is news, and not one of several that were asked for together."""
        if now < self.until:
            return False
        self.until = now + REFUSED_S
        self.in_a_row += 1
        return self.in_a_row == 1

    def end_row(self) -> None:
        """A worker has done something: there is hope."""
        self.in_a_row = 0


def in_words(reason: str) -> str:
    """What the user is told of it."""
    return (
        f"No more workers: {reason}. Tasks that are queued wait for the workers that there are; the system is asked "
        "again every half second. Raise its limits (`ulimit -n`, `ulimit -u`), or use fewer CPUs or nested tasks."
    )
