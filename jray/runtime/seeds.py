"""Seeds of tasks: each is made of another one and a number, so that it does not depend on who runs what when."""

from __future__ import annotations

from hashlib import blake2b

_SEED_BYTES = 8
MOST = (1 << 8 * _SEED_BYTES) - 1  # what a seed can be

OF_ROOT = "root"  # of `init(seed=...)` and the number of a task of the user's own
OF_PARENT = "parent"  # of the parent's seed and the number of a task in it
OF_MAP = "map"  # of the option `seed` and the index of an item


def derived_seed(origin: str, seed: int, number: int) -> int:
    """The seed number so-and-so that comes of this one: BLAKE2b of the three, as text, 8 bytes, little endian.

    `origin` is one of the names above: a child's seed is none of those that a `map` with its parent's seed gives.
    """
    return int.from_bytes(blake2b(f"{origin} {seed} {number}".encode(), digest_size=_SEED_BYTES).digest(), "little")
