"""Which ranges of an arena are taken, and which are free. Pure: nothing in here touches memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TypeAlias

from jray.runtime.ids import PAGE

Span: TypeAlias = tuple[int, int]  # (start, length)


def whole_pages(size: int) -> int:
    """`size` rounded up to pages."""
    return -(-size // PAGE) * PAGE


class Ranges:
    """A set of numbers, kept as the fewest ranges.

    Looking is O(log n). Changing moves up to n words of a list: 20 µs with 100 000 ranges, which would be free ranges
    between blocks of some 10 GB; a tree in Python is slower below that. Invariant: ranges neither touch nor overlap.
    """

    def __init__(self) -> None:
        """Empty."""
        self.total = 0
        self._starts: list[int] = []  # sorted
        self._lengths: dict[int, int] = {}  # by start
        self._by_length: list[Span] = []  # (length, start), sorted

    def add(self, start: int, length: int) -> Span:
        """Add a range of which nothing is in the set yet; the range that it is a part of now."""
        self.total += length
        position = bisect_left(self._starts, start)
        if position < len(self._starts) and self._starts[position] == start + length:
            length += self._discard(position)
        if position > 0:
            before = self._starts[position - 1]
            if before + self._lengths[before] == start:
                length += self._discard(position - 1)
                start, position = before, position - 1
        self._insert(position, start, length)
        return start, length

    def cut(self, start: int, length: int) -> list[Span]:
        """Take out what lies in this range; the pieces that were in the set, in order."""
        end = start + length
        pieces: list[Span] = []
        position = max(0, bisect_right(self._starts, start) - 1)
        while position < len(self._starts) and self._starts[position] < end:
            found = self._starts[position]
            found_end = found + self._lengths[found]
            if found_end <= start:
                position += 1
                continue
            self._discard(position)
            if found < start:
                self._insert(position, found, start - found)
                position += 1
            if found_end > end:
                self._insert(position, end, found_end - end)
            pieces.append((max(found, start), min(found_end, end) - max(found, start)))
        self.total -= sum(piece_length for _, piece_length in pieces)
        return pieces

    def best_fit(self, length: int) -> int | None:
        """The start of the shortest range of at least this length; of several, the first."""
        position = bisect_left(self._by_length, (length, 0))
        return self._by_length[position][1] if position < len(self._by_length) else None

    def largest(self) -> Span | None:
        """The longest range."""
        if not self._by_length:
            return None
        length, start = self._by_length[-1]
        return start, length

    def spans(self) -> list[Span]:
        """All ranges, in order."""
        return [(start, self._lengths[start]) for start in self._starts]

    def _insert(self, position: int, start: int, length: int) -> None:
        self._starts.insert(position, start)
        self._lengths[start] = length
        insort(self._by_length, (length, start))

    def _discard(self, position: int) -> int:
        start = self._starts.pop(position)
        length = self._lengths.pop(start)
        del self._by_length[bisect_left(self._by_length, (length, start))]
        return length


def gaps(start: int, length: int, pieces: list[Span]) -> list[Span]:
    """What of a range is in none of the pieces, which lie in it in order."""
    found: list[Span] = []
    for piece_start, piece_length in pieces:
        if piece_start > start:
            found.append((start, piece_start - start))
        length -= piece_start + piece_length - start
        start = piece_start + piece_length
    if length:
        found.append((start, length))
    return found


class Allocator:
    """Hands out ranges of whole pages, best fit, the lowest of equals; neighbours are joined when freed."""

    def __init__(self) -> None:
        """Everything is free; the arena is as long as it needs to be."""
        self.top = 0  # the end of the last range that is taken
        self.taken_bytes = 0
        self._taken: dict[int, int] = {}  # start -> length
        self._free = Ranges()  # below `top`; none touches it

    def allocate(self, size: int) -> Span:
        """A range of at least `size` bytes."""
        length = max(PAGE, whole_pages(size))
        start = self._free.best_fit(length)
        if start is None:
            start = self.top
            self.top += length
        else:
            self._free.cut(start, length)
        self._taken[start] = length
        self.taken_bytes += length
        return start, length

    def free(self, start: int) -> Span | None:
        """Give a range back. None when nothing is taken there: it was given back before."""
        length = self._taken.pop(start, None)
        if length is None:
            return None
        self.taken_bytes -= length
        joined, joined_length = self._free.add(start, length)
        if joined + joined_length == self.top:
            self._free.cut(joined, joined_length)
            self.top = joined
        return start, length
