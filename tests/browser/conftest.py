"""One browser and one server for all tests of a module; a page, a file and a kernel for each test."""

from __future__ import annotations

import itertools

import pytest
from playwright.sync_api import sync_playwright

from tests.support.browsers import FRONT_ENDS, NotebookPage, start_chromium, write_notebook
from tests.support.jupyter_server import JupyterServer


@pytest.fixture(scope="module")
def browser():
    # Ends with the module: while it lives, this thread has a running event loop, and asyncio.run refuses.
    with sync_playwright() as playwright:
        chromium = start_chromium(playwright.chromium)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with JupyterServer(tmp_path_factory.mktemp("jupyter")) as running:
        yield running


@pytest.fixture(params=FRONT_ENDS)
def open_notebook(request, browser, server):
    """`page = open_notebook(["%load_ext jray", "1 + 1"])`: in JupyterLab, and then in Notebook 7.

    Instead of cells it takes the path of a notebook, of which a copy is opened.
    """
    pages = []
    names = (f"{request.node.name.partition('[')[0]}-{request.param}-{n}" for n in itertools.count())

    def open_it(cells, **context):
        name = next(names)
        write_notebook(server.root / f"{name}.ipynb", cells)
        size = {"width": 1280, "height": 900}
        page = browser.new_context(viewport=size, **context).new_page()
        pages.append(NotebookPage(page, server, request.param, name))
        return pages[-1]

    yield open_it
    for page in pages:
        page.close()
