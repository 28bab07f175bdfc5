"""The widget itself, without a page."""

from __future__ import annotations

from ipywidgets.widgets import widget

from jray.widgets.bundle import Bundle
from jray.widgets.live import LiveView


def test_a_closed_view_leaves_no_widget_behind():
    before = dict(widget._instances)  # where ipywidgets keeps those that are open
    view = LiveView(Bundle("export default {}", ""), {})
    assert len(widget._instances) > len(before)
    view.close()
    assert widget._instances == before
    view.close()
