"""The front end is found where the build put it, and its absence is no error."""

from __future__ import annotations

import pytest

from jray.widgets.bundle import NOT_BUILT, Bundle, bundle


def test_the_bundle_is_the_script_and_the_style_sheet(tmp_path):
    (tmp_path / "widget.js").write_text("export default { render } // ✓", "utf-8")
    (tmp_path / "widget.css").write_text(".jray {}", "utf-8")

    assert bundle(tmp_path) == Bundle(js="export default { render } // ✓", css=".jray {}")


def test_without_a_build_there_is_no_bundle(tmp_path):
    assert bundle(tmp_path / "static") is None


@pytest.mark.parametrize("only", ["widget.js", "widget.css"])
def test_half_a_build_is_none(tmp_path, only):
    (tmp_path / only).write_text("")

    assert bundle(tmp_path) is None


def test_what_is_missing_is_said_in_three_sentences_with_the_way_out():
    assert NOT_BUILT.count(". ") == 2
    assert "make frontend" in NOT_BUILT
