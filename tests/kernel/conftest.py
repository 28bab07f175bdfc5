"""A shell with jray loaded and two CPUs, made clean for each test."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests.support.shells import Shell


@pytest.fixture(scope="module")
def the_shell():
    shell = InteractiveShell.instance(config=Config({"HistoryManager": {"enabled": False}}))
    shell.run_line_magic("colors", "nocolor")
    shell.run_line_magic("xmode", "Minimal")
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(the_shell, runtime, capsys):
    the_shell.run_cell("%load_ext jray\nimport jray")
    capsys.readouterr()
    yield Shell(the_shell, capsys)
    the_shell.run_cell("%unload_ext jray")
    the_shell.reset(new_session=False)
    capsys.readouterr()
