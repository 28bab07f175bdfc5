"""The cells of the README, as they stand there, and the pictures of them that it shows (`make pictures` renews those)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.slow

README = Path(__file__).parents[2] / "README.md"


def cells():
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), flags=re.DOTALL)


@pytest.mark.parametrize("open_notebook", ["lab"], indirect=True)
def test_the_cells_of_the_readme_run_and_look_as_in_its_pictures(open_notebook):
    load, *rest = cells()
    page = open_notebook([load, "%jray dashboard", *rest])
    page.run_cell(0)
    page.run_cell(1)
    for index in range(2, 2 + len(rest)):
        page.start_cell(index)
        if "jray.get(refs)" in rest[index - 2]:
            expect(page.output(1)).to_contain_text("running")
            expect(page.output(1)).to_contain_text("finished")
            page.cell(1).scroll_into_view_if_needed()
            page.picture(1, "dashboard")
        page.wait_until_done(index)
    last = 1 + len(rest)
    page.wait_for_output(last, "finished after")
    page.wait_for_output(last, re.compile(r"[01]\.\d+\s*$"))  # the accuracy
    page.output(last).locator("summary").click()
    page.picture(last, "cell")
