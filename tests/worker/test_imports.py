"""Imports in a worker: the kernel's modules from where the kernel has them, and the user's own are reported."""

from __future__ import annotations

import importlib
import os
import sys
import threading
import traceback
from importlib.machinery import SourceFileLoader

import pytest

from jray.runtime import wire
from jray.runtime.own_modules import sign_of
from jray.runtime.surroundings import ModulePlace
from jray.runtime.worker.imports import KernelModules, watch_imports
from tests.support.project import Project


class Listener:
    """Notes which imports ended, and what was in the environment before them."""

    def __init__(self):
        self.heard = []

    def end_import(self, module, before):
        self.heard.append((module, before.environment.get(b"JRAY_IMPORTED")))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Not on sys.path."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    project = Project(tmp_path)
    yield project
    project.forget()


@pytest.fixture
def modules(monkeypatch):
    monkeypatch.setattr(SourceFileLoader, "exec_module", SourceFileLoader.exec_module)
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    return KernelModules()


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def reports(modules, listener):
    reports = []
    watch_imports(modules, listener, reports.append)
    return reports


def place(modules, *places):
    modules.places = {each.name: each for each in places}


def test_a_module_is_found_where_the_kernel_has_it(project, modules, reports, monkeypatch):
    here = project.write("here.mine", "value = 'the kernel has this one'")
    project.write("there.mine", "value = 'sys.path has this one'")
    monkeypatch.syspath_prepend(str(project.folder / "there"))
    place(modules, ModulePlace("mine", str(here), ()))

    assert importlib.import_module("mine").value == "the kernel has this one"


def test_a_package_with_all_that_is_in_it(project, modules, reports):
    file = project.write("somewhere.mine.__init__", "")
    project.write("somewhere.mine.inner", "from . import other\nvalue = other.value")
    project.write("somewhere.mine.other", "value = 5")
    place(modules, ModulePlace("mine", str(file), (str(file.parent),)))

    assert importlib.import_module("mine.inner").value == 5


def test_a_package_without_init(project, modules, reports):
    project.write("somewhere.mine.inner", "value = 5")
    place(modules, ModulePlace("mine", "", (str(project.folder / "somewhere" / "mine"),)))

    assert importlib.import_module("mine.inner").value == 5


def test_one_whose_file_is_gone_is_looked_for_elsewhere(project, modules, reports, monkeypatch):
    project.write("mine", "value = 5")
    monkeypatch.syspath_prepend(str(project.folder))
    place(modules, ModulePlace("mine", str(project.folder / "gone.py"), ()))

    assert importlib.import_module("mine").value == 5


def test_the_user_s_own_modules_are_reported_as_they_were_when_they_were_loaded(project, modules, reports, monkeypatch):
    outer = project.write("mine", "import mine_inner, colorsys, pathlib\npathlib.Path(__file__).write_text('edited')")
    inner = project.write("mine_inner", "")
    monkeypatch.syspath_prepend(str(project.folder))
    signs = {path.stem: sign_of(str(path)) for path in (outer, inner)}
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    importlib.import_module("mine")

    assert reports == [wire.ModuleImported(p.stem, str(p), *signs[p.stem]) for p in (outer, inner)]
    reports.clear()
    outer.write_text("")
    importlib.reload(sys.modules["mine"])
    assert reports == [wire.ModuleImported("mine", str(outer), *sign_of(str(outer)))]


def test_who_listens_hears_of_whole_imports_only(project, modules, listener, reports, monkeypatch):
    monkeypatch.setenv("JRAY_IMPORTED", "before")
    project.write("mine", "import os, mine_inner\nos.environ['JRAY_IMPORTED'] = 'after'")
    project.write("mine_inner", "")
    project.write("mine_broken", "1 / 0")
    monkeypatch.syspath_prepend(str(project.folder))
    importlib.import_module("mine")
    with pytest.raises(ZeroDivisionError):
        importlib.import_module("mine_broken")

    assert listener.heard == [("mine", b"before"), ("mine_broken", b"after")]


def test_what_another_thread_imports_is_reported_only(project, modules, listener, reports, monkeypatch):
    project.write("mine", "")
    monkeypatch.syspath_prepend(str(project.folder))
    thread = threading.Thread(target=importlib.import_module, args=("mine",))
    thread.start()
    thread.join()

    assert [report.name for report in reports] == ["mine"]
    assert listener.heard == []


def test_tracebacks_do_not_show_it(project, modules, reports, monkeypatch):
    project.write("mine", "1 / 0")
    monkeypatch.syspath_prepend(str(project.folder))
    with pytest.raises(ZeroDivisionError) as raised:
        exec("import mine")

    files = [os.path.basename(frame.filename) for frame in traceback.extract_tb(raised.tb)]
    assert files == ["test_imports.py", "<string>", "mine.py"]
