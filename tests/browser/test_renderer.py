"""The bundle alone in a plain page, with a model that the test plays: what is drawn, and what it tells the kernel."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from jray.widgets.bundle import bundle
from tests.support.browsers import save_screenshot

pytestmark = pytest.mark.slow

MiB = 2**20

# As anywidget loads it: an ES module from memory. `show` is the kernel's next picture.
START = """async ([js, view]) => {
    const module = await import(URL.createObjectURL(new Blob([js], { type: 'text/javascript' })));
    const listeners = {};
    const said = [];
    const model = {
        get: () => view,
        on: (event, callback) => { listeners[event] = callback; },
        off: (event) => { delete listeners[event]; },
        send: ({ op, count }) => said.push(count === undefined ? op : `${op} ${count}`),
    };
    const el = document.getElementById('widget');
    window.play = { said, show: (next) => { view = next; listeners['change:view']?.(); }, end: module.default.render({ model, el }) };
}"""
PAGE = "<body style='margin: 12px; background: Canvas'><div id='above'></div><div id='widget'></div></body>"


@pytest.fixture
def draw(browser):
    """`page = draw(view)`: the widget as it draws this view, in a page of its own."""
    front_end = bundle()
    assert front_end is not None, "The front end is not built: run `make frontend`."
    contexts = []

    def draw_it(view, *, color_scheme="light"):
        size = {"width": 860, "height": 520}
        contexts.append(browser.new_context(viewport=size, color_scheme=color_scheme, reduced_motion="reduce"))
        page = contexts[-1].new_page()
        page.set_content(PAGE)
        page.add_style_tag(content=f":root {{ color-scheme: {color_scheme} }} {front_end.css}")
        page.evaluate(START, [front_end.js, view])
        return page

    yield draw_it
    for context in contexts:
        context.close()


def cell(**changes):
    view = {
        "version": 1,
        "kind": "cell",
        "title": "In[5]",
        "state": "running",
        "headline": "running on w2 for 3 s",
        "at": 12.5,
        "resources": [{"name": "CPU", "total": 2, "used": 1}],
        "store": {"limit": 2048 * MiB, "used": 412 * MiB, "on_disk": 0},
        "workers": {"total": 2, "busy": 1},
        "tasks": [
            tasks("score", {"finished": 12, "failed": 1, "running": 1, "queued": 6}),
            tasks("fit", {"queued": 2}, "queued: it needs 2 CPU; free now: 1 CPU"),
        ],
        "objects": [
            stored("7f3a09c2e5b1", "forest", "ready", size=1_200_000, type="RandomForestClassifier"),
            stored("81bc44d0a9e2", "table", "spilled", size=300 * MiB, type="DataFrame", words="on disk"),
            stored("92de01aa73f4", "scores", "pending", words="waiting for forest"),
        ],
        "more_objects": 4,
        "closed": False,
    }
    return view | changes


def dashboard(**changes):
    return cell(kind="dashboard", title="jray", state="", headline="3 functions, 22 tasks") | changes


def tasks(name, counts, note=""):
    return {"name": name, "counts": counts, "note": note}


def stored(object_id, name, state, **known):
    unknown = {"words": "", "size": None, "type": ""}
    return {"id": object_id, "name": name, "state": state, "made_by": "In[5]"} | unknown | known


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_a_running_cell_is_drawn(draw, color_scheme):
    page = draw(cell(), color_scheme=color_scheme)

    expect(page.locator(".jray-header")).to_contain_text("running on w2 for 3 s")
    expect(page.locator(".jray-meters li")).to_have_text(
        ["CPU1 of 2", "store412.0 MiB of 2.0 GiB", "workers1 of 2 busy"]
    )
    rows = page.get_by_role("table", name="Tasks").get_by_role("row")
    expect(rows).to_contain_text(["Function", "12 finished, 1 failed, 1 running, 6 queued", "free now: 1 CPU"])
    expect(page.get_by_role("table", name="Objects").get_by_role("rowheader")).to_have_text(
        ["7f3a09c2e5b1", "81bc44d0a9e2", "92de01aa73f4"]
    )
    expect(page.get_by_text("and 4 more objects")).to_be_visible()
    save_screenshot(page, f"renderer-cell-{color_scheme}")


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_the_dashboard_is_drawn(draw, color_scheme):
    page = draw(dashboard(), color_scheme=color_scheme)

    expect(page.get_by_role("table")).to_have_count(2)
    expect(page.get_by_role("group", name="jray, jray")).to_be_visible()
    save_screenshot(page, f"renderer-dashboard-{color_scheme}")


def test_running_tasks_are_striped_in_the_bar_and_finished_ones_are_not(draw):
    page = draw(cell())

    expect(page.locator(".jray-bar > .jray-is-busy")).to_have_css(
        "background-image", re.compile("repeating-linear-gradient")
    )
    expect(page.locator(".jray-bar > .jray-is-good")).to_have_css("background-image", "none")


def test_a_finished_cell_folds_and_opens_with_a_key(draw):
    page = draw(cell())
    expect(page.get_by_role("table")).to_have_count(2)

    page.evaluate("view => play.show(view)", cell(state="finished", headline="finished in 4.2 s"))
    expect(page.get_by_role("table")).to_have_count(0)
    expect(page.locator("summary")).to_have_text("12 finished, 1 failed, 1 running, 8 queued · 7 objects")
    save_screenshot(page, "renderer-cell-finished")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("table")).to_have_count(2)


def test_failed_closed_and_unreadable_pictures_say_so(draw):
    page = draw(cell(state="failed", headline="failed: ValueError in score"))
    expect(page.locator(".jray-state-word").first).to_have_text("failed")
    save_screenshot(page, "renderer-cell-failed")

    page.evaluate("view => play.show(view)", dashboard(closed=True))
    expect(page.get_by_text("runtime ended")).to_be_visible()
    save_screenshot(page, "renderer-closed")

    page.evaluate("view => play.show(view)", {"version": 7})
    expect(page.locator(".jray")).to_contain_text("can't be drawn: it is of version 7")
    expect(page.get_by_role("table")).to_have_count(0)
    save_screenshot(page, "renderer-unreadable")


def test_it_tells_whether_it_is_on_the_screen(draw):
    page = draw(cell())
    page.wait_for_function("() => play.said.length === 1")

    page.evaluate("() => { document.getElementById('above').style.height = '3000px' }")
    page.wait_for_function("() => play.said.length === 2")
    page.locator(".jray").scroll_into_view_if_needed()
    page.wait_for_function("() => play.said.length === 3")
    page.evaluate("() => play.end()")

    assert page.evaluate("() => play.said") == ["seen", "unseen", "seen", "unseen"]


def test_selected_text_stays_selected_while_pictures_come(draw):
    page = draw(cell())
    page.locator(".jray-objects th[scope=row]").first.dblclick()
    assert page.evaluate("() => getSelection().toString()").strip() == "7f3a09c2e5b1"

    page.evaluate("view => play.show(view)", cell(headline="running on w2 for 4 s"))

    assert page.evaluate("() => getSelection().toString()").strip() == "7f3a09c2e5b1"


def test_a_narrow_page_is_not_wider_for_it(draw):
    page = draw(cell(title="In[5]", headline="running on w2, " + "and so on " * 30))
    page.set_viewport_size({"width": 480, "height": 800})
    save_screenshot(page, "renderer-narrow")

    assert page.evaluate("() => document.documentElement.scrollWidth") <= 480
