"""Which functions a worker has been sent. Pure: it says what to send, and what the worker may forget."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Any

from jray.runtime import wire
from jray.runtime.serde.code import Code

_MOST = 1_000  # functions
_MOST_BYTES = 32 << 20


class KnownCode:
    """Of one worker. The functions that were not used for the longest time go first."""

    def __init__(self, most: int = _MOST, most_bytes: int = _MOST_BYTES) -> None:
        """It has none yet; `most` of them may stay, but for the last one."""
        self._most, self._most_bytes = most, most_bytes
        self._known: OrderedDict[bytes, tuple[bytes, ...]] = OrderedDict()  # its parts
        self._uses: Counter[bytes] = Counter()  # of parts
        self._sizes: dict[bytes, int] = {}  # of functions and parts
        self._bytes = 0

    def knows(self, key: bytes) -> bool:
        """Whether the worker has it; then it counts as used."""
        if key not in self._known:
            return False
        self._known.move_to_end(key)
        return True

    def teach(self, code: Code) -> list[Any]:
        """The messages that make the worker know a function that it does not know."""
        new = {part: data for part, data in code.parts.items() if part not in self._uses}
        self._known[code.key] = tuple(code.parts)
        self._uses.update(code.parts.keys())
        self._note(code.key, len(code.head))
        for part, data in new.items():
            self._note(part, len(data))
        is_kept = not code.captured and not code.refs
        taught = wire.Define(
            code.key,
            code.digest,
            code.head,
            code.classes,
            code.texts,
            code.missing,
            tuple(code.parts),
            new,
            is_kept,
        )
        gone = self._take_oldest()
        return [wire.Forget(gone), taught] if gone else [taught]

    def _take_oldest(self) -> tuple[bytes, ...]:
        gone = []
        while len(self._known) > 1 and (len(self._known) > self._most or self._bytes > self._most_bytes):
            key, parts = self._known.popitem(last=False)
            gone.append(key)
            self._bytes -= self._sizes.pop(key)
            for part in parts:
                self._uses[part] -= 1
                if not self._uses[part]:
                    del self._uses[part]
                    self._bytes -= self._sizes.pop(part)
        return tuple(gone)

    def _note(self, name: bytes, size: int) -> None:
        self._sizes[name] = size
        self._bytes += size
