"""The random numbers that tasks draw from `random` and numpy's global state: the same at each run, if asked for."""

from __future__ import annotations

import contextlib
import random
import sys

_WORD = 0xFFFFFFFF


class RandomState:
    """What tasks are seeded with. Who does not ask for a seed pays one comparison, and numpy is not loaded for him."""

    def __init__(self) -> None:
        """In a new worker: all forks of the zygote would draw the same numbers."""
        self.is_seeded = False  # what is drawn now could be drawn again
        self._reseed()

    def apply(self, seed: int | None) -> None:
        """What runs next draws from this seed; without one, what nobody can tell, unless somebody else has seeded."""
        if seed is not None:
            self.is_seeded = True
            random.seed(seed)
            with contextlib.suppress(ImportError):  # no numpy: then nobody draws from it
                import numpy as np

                # What people write means here what it means everywhere. For longer seeds one word would not be enough,
                # and without a third one `random` and numpy would draw the same numbers.
                np.random.seed(seed if seed <= _WORD else [seed & _WORD, seed >> 32, 1])  # noqa: NPY002 - it is the global one that tasks use
        elif self.is_seeded:
            self.is_seeded = False
            self._reseed()

    def _reseed(self) -> None:
        random.seed()
        numpy = sys.modules.get("numpy")
        if numpy is not None:
            numpy.random.seed()
