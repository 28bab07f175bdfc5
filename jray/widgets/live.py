"""The widget: a view, and the script that draws it. Imports anywidget, which is slow: loaded for the first one."""

from __future__ import annotations

import anywidget
from traitlets import Dict, Unicode

from jray.widgets.bundle import Bundle
from jray.widgets.protocol import View


class LiveView(anywidget.AnyWidget):
    """Shows what `view` is; one thread alone sets it."""

    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)  # declared, or anywidget would not send it
    view = Dict().tag(sync=True, echo_update=False)

    def __init__(self, front_end: Bundle, view: View) -> None:
        """Open the line to the page, which answers whichever cell runs."""
        super().__init__(_esm=front_end.js, _css=front_end.css, view=view)
        # ipykernel would keep what the page says until the cell that opened the line has ended. Private, and without it
        # the page is heard later: nothing else depends on it.
        if self.comm is not None and hasattr(self.comm, "_reply_subshell_for"):
            self.comm._reply_subshell_for = None  # noqa: SLF001 - there is no public way

    def close(self) -> None:
        """Also its layout, a widget of its own, which ipywidgets would keep for ever, here and in the page."""
        layout = self.layout
        super().close()
        layout.close()
