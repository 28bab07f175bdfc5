"""Displays on their way: what is read back is what was sent, and nonsense is refused."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from jray.runtime import displays
from jray.runtime.displays import Display


def test_a_display_comes_back_as_it_was_sent():
    shown = Display(
        data={"text/plain": "ü", "application/json": {"a": [1, None]}},
        metadata={"image/png": {"width": 3}},
        transient={"display_id": "x"},
        is_update=True,
    )
    assert Display.from_text(shown.to_text()) == shown
    assert shown.plain == "ü"


@pytest.mark.parametrize(
    "text", ["", "[1]", "{}", '{"data": 1}', '{"data": {}, "other": 1}', '{"data": {}, "metadata": 3}']
)
def test_nonsense_is_refused(text):
    with pytest.raises(ValueError, match=r"A display of|Expecting value"):
        Display.from_text(text)


def test_what_is_no_json_is_refused_where_it_is_made():
    with pytest.raises(TypeError):
        Display(data={"text/plain": object()}).to_text()


def test_a_process_that_is_no_worker_is_told_what_to_use():
    with pytest.raises(RuntimeError, match=r"Use IPython\.display\.display"):
        displays.send("display", "{}")


def test_what_jupyter_takes_for_json_is_taken_here():
    data = {"application/json": [np.int64(3), np.float32(0.5), date(2024, 5, 1), b"ab"]}
    shown = Display.from_text(Display(data=data).to_text())
    assert shown.data == {"application/json": [3, 0.5, "2024-05-01", "YWI="]}


def test_what_is_no_json_is_refused_by_its_type():
    with pytest.raises(TypeError, match="type object"):
        Display(data={"application/json": object()}).to_text()
