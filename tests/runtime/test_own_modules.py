"""The user's own modules: which there are, and whether the code that runs here is that of their files."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType

import pytest

from jray.runtime import own_modules
from jray.runtime.own_modules import Imported, OwnModules, own_file, sign_of
from jray.runtime.surroundings import ModulePlace
from tests.support.project import Project

NOTHING = ((), ())


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path))
    project = Project(tmp_path)
    yield project
    project.forget()


def look(modules, **imported):
    """What it finds of modules of these tests (the test's own modules are the user's own, too)."""
    news = modules.look(imported)
    return tuple(tuple(name for name in names if name.startswith("mine")) for names in news)


def as_imported(path):
    """As a worker reports it that imports it now."""
    return Imported(str(path), sign_of(str(path)))


class TestWhichThereAre:
    def test_what_is_neither_installed_nor_jray_s(self, project):
        project.write("mine", "")
        import mine
        import numpy as np

        assert own_file("mine", mine) == str(project.folder / "mine.py")
        assert own_file("json", importlib.import_module("json")) is None
        assert own_file("numpy", np) is None
        assert own_file("jray.api", importlib.import_module("jray.api")) is None
        assert own_file("__main__", mine) is None

    def test_strange_things_in_sys_modules_are_passed_over(self, monkeypatch):
        class Lazy(ModuleType):
            def __getattribute__(self, name):
                raise AssertionError(f"{name} was asked of a module that loads itself then")

        odd = ModuleType("mine_odd")
        odd.__file__, odd.__path__ = 5, 7
        del odd.__spec__
        monkeypatch.setitem(sys.modules, "mine_none", None)
        monkeypatch.setitem(sys.modules, "mine_lazy", Lazy("mine_lazy"))
        monkeypatch.setitem(sys.modules, "mine_odd", odd)
        modules = OwnModules()

        assert look(modules) == NOTHING
        assert not modules.may_have_news()

    def test_where_modules_and_packages_at_the_top_are(self, project):
        modules = OwnModules()
        module, package = project.write("mine", ""), project.write("mine_package.__init__", "")
        project.write("mine_package.inner", "")
        project.write("mine_space.deep.inner", "")
        before = modules.places
        for name in ("mine", "mine_package.inner", "mine_space.deep.inner"):
            importlib.import_module(name)

        modules.note_imports()
        folder = project.folder
        assert [place for place in modules.places if place.name.startswith("mine")] == [
            ModulePlace("mine", str(module), ()),
            ModulePlace("mine_package", str(package), (str(folder / "mine_package"),)),
            ModulePlace("mine_space", "", (str(folder / "mine_space"),)),
        ]
        assert before is not modules.places

    def test_the_places_stay_the_very_same_when_others_are_imported(self, project):
        modules = OwnModules()
        project.write("mine_package.__init__", "")
        project.write("mine_package.inner", "")
        import mine_package

        modules.note_imports()
        before = modules.places
        import mine_package.inner  # noqa: F401

        modules.note_imports()
        assert modules.places is before


class TestWhenToLook:
    def test_at_the_first_submission_of_a_cell(self):
        modules = OwnModules()
        assert modules.may_have_news()
        modules.look({})
        assert not modules.may_have_news()
        modules.begin_cell()
        assert modules.may_have_news()

    def test_now_and_then(self, monkeypatch):
        modules = OwnModules()
        modules.look({})
        now = own_modules.time.monotonic()
        monkeypatch.setattr(own_modules.time, "monotonic", lambda: now + own_modules.LOOK_EVERY_S + 0.01)
        assert modules.may_have_news()

    def test_after_an_import(self, project):
        modules = OwnModules()
        modules.look({})
        project.write("mine", "")
        import mine  # noqa: F401

        assert modules.may_have_news()

    def test_after_each_reload_also_of_the_last_import(self, project):
        project.write("mine", "")
        project.write("mine_too", "")
        import mine
        import mine_too

        modules = OwnModules()
        for module in (mine, mine, mine_too, mine_too):
            modules.look({})
            assert not modules.may_have_news()
            importlib.reload(module)
            assert modules.may_have_news()


class TestLook:
    def test_nothing_has_changed(self, project):
        project.write("mine", "")
        import mine  # noqa: F401

        modules = OwnModules()
        assert look(modules) == NOTHING
        assert look(modules) == NOTHING

    def test_edited_and_reloaded(self, project):
        project.write("mine", "")
        import mine

        modules = OwnModules()
        project.write("mine", "value = 1")
        importlib.reload(mine)
        assert look(modules) == (("mine",), ())
        assert look(modules) == NOTHING

    def test_reloaded_although_nothing_was_edited(self, project):
        project.write("mine", "")
        import mine

        modules = OwnModules()
        importlib.reload(mine)
        assert look(modules) == NOTHING

    def test_edited_and_imported_again_instead(self, project):
        project.write("mine", "")
        import mine

        modules = OwnModules()
        project.write("mine", "value = 1")
        del sys.modules["mine"]
        import mine  # noqa: F811

        assert mine.value == 1
        assert look(modules) == (("mine",), ())

    def test_imported_again_from_elsewhere(self, project, monkeypatch):
        project.write("mine", "")
        project.write("other.mine", "value = 1")
        import mine

        modules = OwnModules()
        del sys.modules["mine"]
        monkeypatch.syspath_prepend(str(project.folder / "other"))
        import mine  # noqa: F811

        assert mine.value == 1
        assert look(modules) == (("mine",), ())
        project.write("mine", "nobody runs that one")
        assert look(modules) == NOTHING

    def test_edited_only_is_said_once(self, project):
        project.write("mine", "")
        import mine

        modules = OwnModules()
        project.write("mine", "value = 1")
        assert look(modules) == ((), ("mine",))
        assert look(modules) == NOTHING
        project.write("mine", "value = 2")
        assert look(modules) == NOTHING
        importlib.reload(mine)
        assert look(modules) == (("mine",), ())
        project.write("mine", "value = 3")
        assert look(modules) == ((), ("mine",))

    def test_an_edit_that_was_taken_back_is_none(self, project):
        path = project.write("mine", "")
        import mine  # noqa: F401

        modules = OwnModules()
        was = path.stat()
        project.write("mine", "value = 1")
        path.write_text("")
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))
        assert look(modules) == NOTHING

    def test_a_file_that_is_gone_is_not_edited(self, project):
        path = project.write("mine", "")
        import mine  # noqa: F401

        modules = OwnModules()
        path.unlink()
        assert look(modules) == NOTHING

    def test_inside_of_a_package(self, project):
        project.write("mine.__init__", "")
        project.write("mine.inner", "")
        import mine.inner

        modules = OwnModules()
        project.write("mine.inner", "value = 1")
        assert look(modules) == ((), ("mine.inner",))
        importlib.reload(mine.inner)
        assert look(modules) == (("mine.inner",), ())

    def test_what_was_edited_before_it_was_imported_is_as_it_should_be(self, project):
        modules = OwnModules()
        project.write("mine", "")
        project.write("mine", "value = 1")
        import mine  # noqa: F401

        modules.note_imports()
        assert look(modules) == NOTHING
        project.write("mine", "value = 2")
        assert look(modules) == ((), ("mine",))


class TestWhatWorkersHaveImported:
    def test_the_same_as_here(self, project):
        path = project.write("mine", "")
        import mine  # noqa: F401

        assert look(OwnModules(), mine=as_imported(path)) == NOTHING

    def test_something_older_than_what_was_imported_here(self, project):
        old = as_imported(project.write("mine", ""))
        project.write("mine", "value = 1")
        import mine  # noqa: F401

        assert look(OwnModules(), mine=old) == (("mine",), ())

    def test_the_new_one_while_the_old_one_runs_here_is_no_reason_to_replace_anybody(self, project):
        project.write("mine", "")
        import mine

        modules = OwnModules()
        new = as_imported(project.write("mine", "value = 1"))
        assert look(modules, mine=new) == ((), ("mine",))
        importlib.reload(mine)
        assert look(modules, mine=new) == (("mine",), ())  # others may have told nothing yet
        assert look(modules, mine=new) == NOTHING

    def test_different_ones(self, project):
        path = project.write("mine", "")
        import mine  # noqa: F401

        assert look(OwnModules(), mine=Imported(str(path), None)) == (("mine",), ())

    def test_one_that_was_edited_and_is_not_imported_here_would_be_imported_now(self, project):
        modules = OwnModules()
        path = project.write("mine", "")
        told = as_imported(path)
        assert look(modules, mine=told) == NOTHING
        project.write("mine", "value = 1")
        assert look(modules, mine=told) == (("mine",), ())

    def test_one_that_is_not_imported_here_any_more(self, project):
        told = as_imported(project.write("mine", ""))
        import mine  # noqa: F401

        modules = OwnModules()
        project.write("mine", "value = 1")
        del sys.modules["mine"]
        assert look(modules, mine=told) == (("mine",), ())


class TestStamps:
    """A reloader says which state of a file it has looked at, and whether it could load it."""

    @pytest.fixture
    def stamps(self, project):
        return {}

    @pytest.fixture
    def modules(self, project, stamps):
        project.write("mine", "")
        import mine  # noqa: F401

        return OwnModules(lambda name, _file: stamps.get(name))

    def test_patched_in_place(self, project, modules, stamps):
        stamps["mine"] = 1.0, False
        modules.note_imports()
        project.write("mine", "value = 1")
        stamps["mine"] = 2.0, False
        assert look(modules) == (("mine",), ())
        assert look(modules) == NOTHING

    def test_a_reloader_that_came_after_the_edit_has_not_loaded_it(self, project, modules, stamps):
        project.write("mine", "value = 1")
        stamps["mine"] = 2.0, False
        assert look(modules) == ((), ("mine",))
        project.write("mine", "value = 2")
        stamps["mine"] = 3.0, False
        assert look(modules) == (("mine",), ())

    def test_what_could_not_be_loaded_was_not(self, project, modules, stamps):
        stamps["mine"] = 1.0, False
        modules.note_imports()
        project.write("mine", "value =")
        stamps["mine"] = 2.0, True
        assert look(modules) == ((), ("mine",))
        project.write("mine", "value = 2")
        stamps["mine"] = 3.0, False
        assert look(modules) == (("mine",), ())
