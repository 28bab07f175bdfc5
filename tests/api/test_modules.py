"""The user's own modules travel by name: a task runs the code that a call here would run, edited and reloaded or not."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import sys

import pytest

from jray.runtime.surroundings import ModulePlace
from jray.runtime.worker.imports import KernelModules
from tests.support.gates import Gate
from tests.support.project import Project


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder on sys.path, in which modules are written. No bytecode: edits come faster than it can tell apart."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    project = Project(tmp_path)
    yield project
    project.forget()


@pytest.fixture
def warnings(caplog):
    """What jray has warned of."""
    caplog.set_level(logging.WARNING, "jray")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "jray"]


def said(number):
    return f"def value(): return {number!r}\n"


class TestReloaded:
    def test_the_next_task_runs_the_new_code(self, runtime, project, warnings):
        project.write("mine", said(1))
        import mine

        task = runtime.remote(mine.value)
        assert runtime.get(task.remote()) == 1
        for number in (2, 3):
            project.write("mine", said(number))
            importlib.reload(mine)
            assert runtime.get(runtime.remote(lambda: mine.value()).remote()) == number
        assert warnings() == []

    def test_several_times_between_two_tasks(self, runtime, project):
        project.write("mine", said(1))
        import mine

        task = runtime.remote(lambda: mine.value())
        refs = []
        for number in range(5):
            project.write("mine", said(number))
            importlib.reload(mine)
            refs.append(task.remote())
            runtime.wait(refs, num_returns=len(refs))
        assert runtime.get(refs) == [0, 1, 2, 3, 4]

    def test_inside_of_a_package(self, runtime, project):
        project.write("mine.__init__", "")
        project.write("mine.inner", said(1))
        import mine.inner

        task = runtime.remote(lambda: mine.inner.value())
        assert runtime.get(task.remote()) == 1
        project.write("mine.inner", said(2))
        importlib.reload(mine.inner)
        assert runtime.get(task.remote()) == 2

    def test_imported_again_instead(self, runtime, project):
        project.write("mine", said(1))
        import mine

        assert runtime.get(runtime.remote(mine.value).remote()) == 1
        project.write("mine", said(2))
        del sys.modules["mine"]
        import mine

        assert runtime.get(runtime.remote(mine.value).remote()) == 2

    def test_a_busy_worker_ends_when_its_task_is_done(self, runtime_with, project, tmp_path):
        runtime = runtime_with(num_cpus=1)
        project.write("mine", said(1))
        import mine

        def hold(gate):
            first = mine.value()
            gate.pass_through()
            return first, mine.value(), os.getpid()

        gate = Gate(tmp_path)
        running = runtime.remote(hold).remote(gate)
        gate.wait_for_arrival()
        project.write("mine", said(2))
        importlib.reload(mine)
        queued = runtime.remote(lambda: (mine.value(), os.getpid())).remote()
        gate.open()

        first, second, old = runtime.get(running)
        value, new = runtime.get(queued)
        assert (first, second, value) == (1, 1, 2)
        assert old != new

    def test_who_has_not_imported_it_goes_on(self, runtime_with, project):
        runtime = runtime_with(num_cpus=1)
        project.write("mine", said(1))
        import mine

        pid = runtime.get(runtime.remote(os.getpid).remote())
        project.write("mine", said(2))
        importlib.reload(mine)
        assert runtime.get(runtime.remote(os.getpid).remote()) == pid
        assert runtime.get(runtime.remote(lambda: (mine.value(), os.getpid())).remote()) == (2, pid)

    def test_without_an_edit_nobody_is_replaced(self, runtime_with, project):
        runtime = runtime_with(num_cpus=1)
        project.write("mine", said(1))
        import mine

        task = runtime.remote(lambda: (mine.value(), os.getpid()))
        before = runtime.get(task.remote())
        importlib.reload(mine)
        assert runtime.get(task.remote()) == before

    def test_set_up_functions_run_again_in_the_new_workers(self, runtime, project):
        project.write("mine", "notes = []\n" + said(1))
        import mine

        runtime.run_on_all(lambda: mine.notes.append("set up"))
        project.write("mine", "notes = []\n" + said(2))
        importlib.reload(mine)
        assert runtime.get(runtime.remote(lambda: (mine.notes, mine.value())).remote()) == (["set up"], 2)

    def test_a_class_of_it(self, runtime, project):
        project.write("mine", "class Model:\n    def value(self): return 1\n")
        import mine

        assert runtime.get(runtime.remote(lambda model: model.value()).remote(mine.Model())) == 1
        project.write("mine", "class Model:\n    def value(self): return 2\n")
        importlib.reload(mine)
        model = runtime.get(runtime.remote(lambda: mine.Model()).remote())
        assert type(model) is mine.Model
        assert runtime.get(runtime.remote(lambda model: model.value()).remote(model)) == 2


class TestEdited:
    def test_one_warning_says_what_runs_where_and_what_to_do(self, runtime_with, project, warnings):
        runtime = runtime_with(num_cpus=1)
        project.write("mine", said(1))
        import mine

        task = runtime.remote(lambda: (mine.value(), os.getpid()))
        before = runtime.get(task.remote())
        project.write("mine", said(2))
        runtime.get(runtime.remote(os.getpid).remote())
        runtime_looks_again()
        assert runtime.get([task.remote() for _ in range(3)]) == [before] * 3

        (text,) = warnings()
        assert text.startswith(
            "mine was edited since it was imported here, and not reloaded. The old code runs on here"
        )
        assert "from now on gets the new code" in text
        assert "importlib.reload(mine), or %load_ext autoreload and %autoreload 2" in text
        runtime_looks_again()
        assert runtime.get(task.remote()) == before
        assert len(warnings()) == 1

    def test_several_at_once_are_one_warning(self, runtime, project, warnings):
        for name in ("mine", "mine_too"):
            project.write(name, said(1))
            importlib.import_module(name)
        runtime_looks_again()
        runtime.get(runtime.remote(os.getpid).remote())
        for name in ("mine", "mine_too"):
            project.write(name, said(2))
        runtime_looks_again()
        runtime.get(runtime.remote(os.getpid).remote())
        (text,) = warnings()
        assert text.startswith("mine and mine_too were edited since they were imported here")

    def test_a_module_that_only_tasks_import_is_always_the_one_on_the_disk(self, runtime, project, warnings):
        project.write("mine", said(1))

        @runtime.remote
        def call():
            import mine

            return mine.value()

        for number in (1, 2, 3):
            project.write("mine", said(number))
            runtime_looks_again()
            assert runtime.get(call.remote()) == number
        assert warnings() == []

    def test_installed_packages_and_jray_are_nobody_s_to_edit(self, runtime, project, warnings, monkeypatch):
        import json

        import psutil

        monkeypatch.setattr(json.__spec__, "origin", "edited")
        folder = project.folder / "site-packages"
        Project(folder).write("mine", said(1))
        monkeypatch.syspath_prepend(str(folder))
        import mine

        assert runtime.get(runtime.remote(mine.value).remote()) == 1
        Project(folder).write("mine", said(200))
        runtime_looks_again()
        assert runtime.get(runtime.remote(lambda: (mine.value(), psutil.__name__)).remote()) == (1, "psutil")
        assert warnings() == []


class TestWhereTheyAreFound:
    def test_beside_the_notebook_after_it_has_gone_elsewhere(self, runtime, project, monkeypatch, tmp_path):
        monkeypatch.setattr(sys, "path", ["", *sys.path[1:]])
        monkeypatch.chdir(tmp_path)
        project.write("mine", said(1))
        import mine

        monkeypatch.chdir("/")
        assert runtime.get(runtime.remote(lambda: mine.value()).remote()) == 1

    def test_from_an_entry_of_sys_path_that_was_there_for_the_import_only(self, runtime, project):
        project.write("deep.mine.__init__", "")
        project.write("deep.mine.inner", said(1))
        sys.path.insert(0, str(project.folder / "deep"))
        import mine.inner

        del sys.path[0]
        assert runtime.get(runtime.remote(lambda: mine.inner.value()).remote()) == 1

    def test_by_a_finder_that_only_this_process_has(self, runtime, project, monkeypatch):
        """As projects that are installed editable may be found."""
        file = project.write("source.mine.__init__", said(1))
        place = ModulePlace("mine", str(file), (str(file.parent),))
        finder = KernelModules()
        finder.places = {"mine": place}
        runtime.get(runtime.remote(os.getpid).remote())
        monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, finder])
        import mine

        task = runtime.remote(lambda: mine.value())
        assert runtime.get(task.remote()) == 1
        project.write("source.mine.__init__", said(2))
        importlib.reload(mine)
        assert runtime.get(task.remote()) == 2

    def test_a_relative_entry_of_sys_path_is_of_the_directory_of_its_task(
        self, runtime, project, monkeypatch, tmp_path
    ):
        project.write("one.lib.mine", said("one"))
        project.write("two.lib.mine", said("two"))
        monkeypatch.setattr(sys, "path", ["lib", *sys.path])

        @runtime.remote
        def call():
            import mine

            del sys.modules["mine"]  # the next one imports it again
            return mine.value()

        for folder in ("one", "two", "one"):
            with contextlib.chdir(tmp_path / folder):
                assert runtime.get(call.remote()) == folder

    def test_one_that_was_written_after_the_worker_had_looked(self, runtime_with, project):
        runtime = runtime_with(num_cpus=1)

        @runtime.remote
        def call():
            import mine

            return mine.value()

        with pytest.raises(ModuleNotFoundError):
            runtime.get(call.remote())
        project.write("mine", said(1))
        assert runtime.get(call.remote()) == 1


class TestWhatImportsChange:
    def test_what_a_module_adds_to_sys_path_stays_with_it(self, runtime_with, project):
        """It is imported once; a later task that calls it needs the entry, too."""
        runtime = runtime_with(num_cpus=1)
        project.write("vendor.mine_vendored", said(5))
        folder = project.folder / "vendor"
        project.write(
            "mine",
            f"import os, sys\nsys.path.append({str(folder)!r})\nos.environ['JRAY_MINE'] = 'here'\n"
            "def value():\n    import mine_vendored\n    return mine_vendored.value(), os.environ['JRAY_MINE']",
        )

        @runtime.remote
        def load():
            import mine

            return mine.__name__

        @runtime.remote
        def call():
            import mine

            return mine.value()

        assert runtime.get([load.remote(), call.remote()]) == ["mine", (5, "here")]

    def test_what_a_module_of_the_kernel_s_has_changed_there_counts_as_it_is_now(self, runtime, project, monkeypatch):
        monkeypatch.setenv("JRAY_MINE", "before")
        project.write("mine", "import os\nos.environ['JRAY_MINE'] = 'imported'\nos.chdir('/')\n" + said(1))
        with contextlib.chdir("/"):
            import mine

            monkeypatch.setenv("JRAY_MINE", "afterwards")
            os.chdir(project.folder)
            task = runtime.remote(lambda: (mine.value(), os.environ["JRAY_MINE"], os.getcwd()))
            assert runtime.get(task.remote()) == (1, "afterwards", str(project.folder))


def runtime_looks_again():
    """As at the first submission of the next cell."""
    from jray.api import running

    running().here.modules.begin_cell()
