"""One place in the notebook where a view is shown, and the widget that lives there while there is something to follow.

An output is published with a display id, so that it can become a widget and, when all is over, a still picture again:
pages that are loaded later, nbconvert and GitHub show what the notebook holds, and no kernel helps them.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from IPython.core.interactiveshell import InteractiveShell

from jray.kernel.output import Parent, pinned
from jray.widgets.attention import Attention
from jray.widgets.bundle import Bundle, bundle
from jray.widgets.protocol import View
from jray.widgets.still import html_of, plain_of

if TYPE_CHECKING:
    from jray.widgets.live import LiveView

_VIEW_MIME = "application/vnd.jupyter.widget-view+json"
_STILL_S = 1.0  # without a front end the still picture changes no more often


class Place:
    """Safe from any thread."""

    def __init__(self, shell: InteractiveShell, parent: Parent | None, wake: Callable[[], None]) -> None:
        """`parent` is the cell that it is under; `wake` is called when somebody begins to look."""
        self._shell, self._parent, self._wake = shell, parent, wake
        self._display_id = f"jray-{uuid.uuid4().hex}"
        self._is_published = False
        self._widget: LiveView | None = None
        self._attention = Attention()
        self._guard = threading.Lock()  # one thread follows while another closes
        self._is_closed = False
        self._still_at = 0.0  # when the last still picture was shown in a widget's stead

    @property
    def is_seen(self) -> bool:
        """Whether somebody looks."""
        return self._attention.is_seen

    @property
    def is_live(self) -> bool:
        """Whether a widget lives here."""
        return self._widget is not None

    @property
    def is_empty(self) -> bool:
        """Whether nothing was shown yet."""
        return not self._is_published

    def show(self, view: View) -> None:
        """Show a still picture."""
        self._publish({"text/html": html_of(view), "text/plain": plain_of(view)})

    def follow(self, view: View, *, could_answer: bool) -> None:
        """Show the view as it is now in a widget; without a front end in a still picture.

        `could_answer`: the kernel can hear what pages say.
        """
        with self._guard:
            if self._is_closed:
                return
            if self._widget is not None:
                self._widget.view = view
            elif (front_end := bundle()) is not None:
                self._begin(front_end, view)
            elif view["at"] - self._still_at >= _STILL_S:
                self._still_at = view["at"]
                self.show(view)
            self._attention.note_sent(could_answer=could_answer)

    def _begin(self, front_end: Bundle, view: View) -> None:
        from jray.widgets.live import LiveView

        self._widget = LiveView(front_end, view)
        self._widget.on_msg(self._hear)
        model = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
        self._publish({_VIEW_MIME: model, "text/html": html_of(view), "text/plain": plain_of(view)})

    def settle(self, view: View) -> None:
        """The last picture. The widget stays, for a page that was loaded anew: there the output still is the widget."""
        with self._guard:
            if self._is_closed:
                return
            if self._widget is not None:
                self._widget.view = view
            self.show(view)

    def close(self) -> None:
        """End the widget; nothing is shown here any more."""
        with self._guard:
            self._is_closed = True
            widget, self._widget = self._widget, None
        if widget is not None:
            with suppress(Exception):  # the comm may be gone with the front end
                widget.close()

    def _hear(self, _widget: object, content: object, _buffers: object) -> None:
        if self._attention.note_message(content):
            self._wake()

    def _publish(self, data: Mapping[str, Any]) -> None:
        with pinned(self._shell, self._parent):
            self._shell.display_pub.publish(
                dict(data),
                {"jray": {"view": True}},
                transient={"display_id": self._display_id},
                update=self._is_published,
            )
        self._is_published = True
