"""Whether the world notices that the scheduler is broken."""

from __future__ import annotations

import re

from tests.support.simulation.laws import Impossible
from tests.support.simulation.world import World


def assert_noticed(what: str, *, within: int) -> None:
    """One of so many worlds ends with these words, without a look into the books."""
    seen: set[str] = set()
    for seed in range(within):
        try:
            World(seed, size=3, checks_books=False).run()
        except Exception as error:  # noqa: BLE001 - a broken scheduler may break in any way; we want this one
            seen.add(repr(error))
            if isinstance(error, Impossible) and re.search(what, str(error)):
                return
    msg = f"{within} worlds did not say {what!r}, only {seen}"
    raise AssertionError(msg)
