"""What a task may return in place of plain results, for who wraps a user's code in a task."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Raised:
    """In place of one of several results: that result alone is this error."""

    def __init__(self, error: BaseException) -> None:
        """The error that `get` of the result raises."""
        self.error = error


class NamedResults(NamedTuple):
    """Several results, with what messages call them."""

    values: Sequence[object]
    names: Sequence[str]
