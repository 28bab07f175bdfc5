"""Where code stands now: editing a comment moves lines, and ships nothing.

A worker that has code already goes on using it, and names the lines where the code stood when it was sent. Each time a
function is packed, its place is noted here; who shows a traceback asks for the place that an instruction has by now.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from types import CodeType

_MOST = 2_000  # places

Place = tuple[str, int, str]  # file, first line, qualified name

_known: OrderedDict[Place, tuple[bytes, int]] = OrderedDict()  # digest of the whole, and which of the codes in it
_latest: OrderedDict[bytes, CodeType] = OrderedDict()


def note(digest: bytes, code: CodeType) -> None:
    """The code with this digest stands there now."""
    if _latest.get(digest) is code:
        return
    _latest[digest] = code
    _latest.move_to_end(digest)
    for position, inner in enumerate(_with_inner(code)):
        place = place_of(inner)
        _known[place] = digest, position
        _known.move_to_end(place)
    while len(_known) > _MOST:
        _known.popitem(last=False)
    while len(_latest) > _MOST:
        _latest.popitem(last=False)


def place_of(code: CodeType) -> Place:
    """What a place is known by."""
    return code.co_filename, code.co_firstlineno, code.co_qualname


def line_now(place: Place, line: int, offset: int) -> tuple[str, int]:
    """File and line of an instruction by now.

    Args:
        place: where its code stood.
        line: the line that it had there.
        offset: of the instruction in the code, in bytes.
    """
    digest, position = _known.get(place, (b"", 0))
    latest = _latest.get(digest)
    if latest is None:
        return place[0], line
    code = list(_with_inner(latest))[position]
    for start, end, at in code.co_lines():
        if start <= offset < end and at is not None:
            return code.co_filename, at
    return place[0], line


def _with_inner(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _with_inner(constant)
