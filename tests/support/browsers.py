"""Chromium, and a notebook that is open in it: run cells, look at what is shown, wait for it.

Waits are for conditions in the page; none of them sleeps. What a test wants beyond this class it finds in `page`, which is
Playwright's.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import nbformat
from playwright.sync_api import Browser, BrowserType, Locator, Page, expect

from tests.support.jupyter_server import JupyterServer

ROOT = Path(__file__).parents[2]
# Where a server shows NAME.ipynb. A workspace for each: JupyterLab would open again what was open in the last test.
FRONT_ENDS = {"lab": "lab/workspaces/{name}/tree/{name}.ipynb", "notebook": "notebooks/{name}.ipynb"}

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 60_000  # a kernel starts in two seconds, or in twenty when the machine is busy
expect.set_options(timeout=_PATIENCE_MS)

# In the page: the notebook, whatever has the focus.
_FIND_PANEL = """
    window.notebookPanel = () => {
        const shown = [...(window.jupyterapp?.shell.widgets('main') ?? [])];
        return shown.find(widget => widget.content?.widgets && widget.sessionContext);
    };
"""
# Its kernel has said that it is ready. (A condition must not be async: Playwright takes the promise for the answer.)
_IS_READY = """() => {
    const panel = notebookPanel();
    if (!panel?.context.isReady || !panel.sessionContext.isReady) return false;
    const kernel = panel.sessionContext.session?.kernel;
    return kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""
_IS_SHOWN = "() => notebookPanel()?.content.widgets.length > 0"
_RUN = """index => {
    const panel = notebookPanel();
    jupyterapp.shell.activateById(panel.id);
    panel.content.deselectAll();
    panel.content.activeCellIndex = index;
    window.busyCells ??= new Set();
    busyCells.add(index);
    const isOver = () => busyCells.delete(index);
    jupyterapp.commands.execute('notebook:run-cell').then(isOver, isOver);
}"""
_IS_DONE = "index => !busyCells.has(index)"
_OUTPUTS = "index => notebookPanel().content.widgets[index].model.outputs.toJSON()"
_COMMAND = "([name, args]) => jupyterapp.commands.execute(name, args)"
_CODE_CELLS = """() => notebookPanel().content.widgets.flatMap(({ model }, index) => {
    const mayFail = (model.getMetadata('tags') ?? []).includes('raises-exception');
    return model.type === 'code' ? [[index, mayFail]] : [];
})"""
_END = "() => window.notebookPanel?.()?.sessionContext.shutdown()"


def start_chromium(chromium: BrowserType) -> Browser:
    """The system's own: nothing is downloaded."""
    path = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if path is None:
        raise AssertionError(
            "The tests in a browser need Chromium, and none of these commands was found: " + ", ".join(_CHROMIUM) + ". "
            "Install it (Debian: apt-get install chromium), or leave these tests out: pytest --ignore=tests/browser."
        )
    return chromium.launch(executable_path=path, args=["--no-sandbox"] if os.getuid() == 0 else [])


def write_notebook(path: Path, cells: list[str] | Path) -> None:
    """A notebook of these code cells, or of those in another file; it says which kernel it wants, so that nobody is asked."""
    if isinstance(cells, Path):
        notebook = nbformat.read(cells, as_version=4)
    else:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata["language_info"] = {"name": "python"}
    nbformat.write(notebook, path)


def save_screenshot(page: Page | Locator, name: str) -> Path:
    """As NAME.png in the folder $JRAY_SCREENSHOTS, or build/screenshots, which git ignores."""
    path = Path(os.environ.get("JRAY_SCREENSHOTS", ROOT / "build" / "screenshots")) / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(page.screenshot())  # Playwright itself would leave a thread behind that writes files
    return path


class NotebookPage:
    """A notebook in JupyterLab or Notebook 7. Cells are counted from 0."""

    def __init__(self, page: Page, server: JupyterServer, front_end: str, name: str) -> None:
        self.page = page
        self.front_end = front_end
        page.set_default_timeout(_PATIENCE_MS)
        page.add_init_script(_FIND_PANEL)
        page.goto(f"{server.url}/{FRONT_ENDS[front_end].format(name=name)}")
        self.wait_until_ready()

    # ---- cells

    def start_cell(self, index: int) -> None:
        """Run it as the user does; don't wait."""
        self.page.evaluate(_RUN, index)

    def wait_until_done(self, index: int) -> None:
        """The cell that was started has ended, well or badly. After a reload the page knows no more what it started."""
        self.page.wait_for_function(_IS_DONE, arg=index)

    def run_cell(self, index: int) -> None:
        """Run it as the user does, and wait for its end."""
        self.start_cell(index)
        self.wait_until_done(index)

    def is_busy(self, index: int) -> bool:
        """Whether the cell that was started has not ended."""
        return not self.page.evaluate(_IS_DONE, index)

    def run_all(self) -> None:
        """One cell after the other. A cell that fails is an AssertionError, unless its tag says that it will."""
        for index, may_fail in self.page.evaluate(_CODE_CELLS):
            self.run_cell(index)
            errors = [output for output in self.saved_output(index) if output["output_type"] == "error"]
            assert may_fail or errors == [], f"cell {index} failed"

    # ---- what is shown

    def cell(self, index: int) -> Locator:
        """The whole cell, in the page."""
        return self.page.locator(f'.jp-Cell[data-windowed-list-index="{index}"]')

    def output(self, index: int) -> Locator:
        """What is shown under the cell."""
        return self.cell(index).locator(".jp-Cell-outputArea")

    def wait_for_output(self, index: int, text: str | re.Pattern[str]) -> None:
        """The text is shown under the cell, with white space as in HTML."""
        expect(self.output(index)).to_contain_text(text, timeout=_PATIENCE_MS)

    def saved_output(self, index: int) -> list[dict]:
        """What the notebook's file will hold for it: the messages, as nbformat has them."""
        return self.page.evaluate(_OUTPUTS, index)

    def picture(self, index: int, name: str) -> Path:
        """Of one cell with its output."""
        return save_screenshot(self.cell(index), name)

    def screenshot(self, name: str) -> Path:
        return save_screenshot(self.page, name)

    # ---- the page

    def wait_until_ready(self) -> None:
        """The notebook is in front, and its kernel idle."""
        self.page.wait_for_function(_IS_READY)

    def execute(self, command: str, **arguments: object) -> None:
        """A command of JupyterLab, such as `docmanager:save`; waits for what it promises."""
        self.page.evaluate(_COMMAND, [command, arguments])

    def save(self) -> None:
        self.execute("docmanager:save")

    def reload(self) -> None:
        """As the user does; the kernel goes on meanwhile, and may be busy afterwards."""
        self.page.reload()
        self.page.wait_for_function(_IS_SHOWN)

    def stop_kernel(self) -> None:
        """As the menu's "Shut Down Kernel" does."""
        self.page.evaluate(_END)

    def use_theme(self, name: str) -> None:
        """`JupyterLab Dark` or `JupyterLab Light`; the server keeps it, for all tests of the module."""
        self.execute("apputils:change-theme", theme=name)
        is_light = "false" if "Dark" in name else "true"
        expect(self.page.locator("body")).to_have_attribute("data-jp-theme-light", is_light)

    def close(self) -> None:
        """Ends the kernel, and the page."""
        self.page.evaluate(_END)
        self.page.context.close()
