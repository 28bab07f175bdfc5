"""What tests of the store share."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["memfd", "file"])
def memory(request, monkeypatch):
    """Both kinds of memory: the test runs once in each, and so do all processes that it starts."""
    monkeypatch.setenv("JRAY_NO_MEMFD", "1" if request.param == "file" else "0")
    return request.param
