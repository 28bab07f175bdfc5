"""Who looks at a live view. Nobody looking costs nothing. Pure.

A page says when it begins to see a view and when it no longer does, and confirms what it has received now and then. A
page that was closed says nothing: what it has not confirmed tells. While a cell runs, though, a kernel may be unable to
hear what pages say, so silence means something only when it could have been heard.
"""

from __future__ import annotations

_MOST_UNCONFIRMED = 120  # pages confirm every fifty


class Attention:
    """Of one widget, which several pages, or several places of one, may show."""

    def __init__(self) -> None:
        """Somebody has just asked for the view, and will see it."""
        self._seen: set[str] = set()
        self._has_answered = False
        self._unconfirmed = 0

    @property
    def is_seen(self) -> bool:
        """Whether it is worth making a picture."""
        if self._unconfirmed > _MOST_UNCONFIRMED:
            return False
        return bool(self._seen) or not self._has_answered

    def note_sent(self, *, could_answer: bool) -> None:
        """A picture was sent, while the kernel could hear what pages say, or could not."""
        self._unconfirmed = self._unconfirmed + 1 if could_answer else 0

    def note_message(self, content: object) -> bool:
        """A page has spoken.

        Returns:
            Whether it wants a picture now.
        """
        if not isinstance(content, dict) or not isinstance(content.get("viewer"), str):
            return False
        viewer, op = content["viewer"], content.get("op")
        if op not in {"seen", "unseen", "ack"}:
            return False
        was_seen = self.is_seen
        self._has_answered = True
        self._unconfirmed = 0
        if op == "unseen":
            self._seen.discard(viewer)
            return False
        is_new = viewer not in self._seen
        self._seen.add(viewer)
        return is_new or not was_seen  # one that was taken for gone is back, and says only `ack`
