"""What a user sees in JupyterLab and in Notebook 7."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.slow


def test_a_remote_cell_runs_and_shows_its_result(open_notebook):
    page = open_notebook(["%load_ext jray", "%%remote\nprint('in a worker')\nanswer = 6 * 7\nanswer", "answer"])

    page.run_cell(0)
    page.run_cell(1)
    page.wait_for_output(1, "in a worker")
    page.wait_for_output(1, "42")
    page.run_cell(2)
    page.wait_for_output(2, "ObjectRef")
