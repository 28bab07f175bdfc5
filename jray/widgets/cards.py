"""Every ref has a face: what a cell shows that ends with a reference.

Nothing is fetched and nothing waits: the words are those of the books, at that moment.
"""

from __future__ import annotations

from html import escape
from typing import Any

from jray import api
from jray.kernel.session import Session
from jray.runtime.core.store_words import in_bytes
from jray.runtime.engine.pictures import SeenObject
from jray.runtime.ids import to_hex
from jray.runtime.object_ref import ObjectRef

_HTML, _PLAIN = "text/html", "text/plain"


class Cards:
    """Tells IPython how refs look. `close` takes it back."""

    def __init__(self, session: Session) -> None:
        """Of one shell."""
        self._session = session
        formatter = session.shell.display_formatter
        self._formatters = formatter.formatters if formatter is not None else {}
        for mimetype, show in ((_HTML, self._html), (_PLAIN, self._print)):
            if mimetype in self._formatters:
                self._formatters[mimetype].for_type(ObjectRef, show)

    def close(self) -> None:
        """From now on a ref looks as its repr says."""
        for mimetype in (_HTML, _PLAIN):
            if mimetype in self._formatters:
                self._formatters[mimetype].pop(ObjectRef, None)

    def _print(self, ref: ObjectRef[Any], printer: Any, _is_cycle: bool) -> None:  # noqa: FBT001 - as IPython calls it
        is_alone = len(printer.stack) <= 1  # in a list of references each is one of many
        printer.text(self._plain(ref) if is_alone else repr(ref))

    def _plain(self, ref: ObjectRef[Any]) -> str:
        if not self._session.is_interactive:
            return "ObjectRef"  # ids and states differ from run to run
        facts = self._facts(ref)
        return f"{ref!r}: {', '.join(facts)}" if facts else repr(ref)

    def _html(self, ref: ObjectRef[Any]) -> str | None:
        if not self._session.is_interactive:
            return None
        state, *rest = self._facts(ref) or ["not of the runtime that runs now"]
        details = "".join(f" · {escape(fact)}" for fact in rest)
        return f"<div><b>ObjectRef</b> <code>{escape(to_hex(ref._id))}</code> · {escape(state)}{details}</div>"  # noqa: SLF001

    def _facts(self, ref: ObjectRef[Any]) -> list[str]:
        """State, type, size, and the cell that made it; nothing of an object of another runtime."""
        runtime = api.running()
        if runtime is None or runtime.is_over:
            return []
        seen = runtime.pictures.look_at(ref._id)  # noqa: SLF001 - the runtime's own
        facts = [_state(seen)]
        if seen.glance.state in {"ready", "spilled", "failed"}:
            facts += [*filter(None, [seen.kind]), in_bytes(seen.nbytes)]
        if seen.maker is not None:
            cell = self._session.label_of(seen.maker.origin)
            what = seen.maker.what
            facts.append(f"made by {cell} ({what})" if cell is not None and cell != what else f"made by {what}")
        return facts


def _state(seen: SeenObject) -> str:
    match seen.glance.state:
        case "pending":
            return seen.glance.words or "to come"
        case "spilled":
            return "ready, on disk"
        case "freed":
            return "gone: freed, or of a runtime that was shut down"
        case state:
            return state
