"""What the tests in a browser take for granted."""

from __future__ import annotations

import pytest

from tests.support.browsers import start_chromium


def test_a_machine_without_chromium_is_told_what_to_install(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(AssertionError, match=r"need Chromium.*Install it .*apt-get install chromium"):
        start_chromium(None)
