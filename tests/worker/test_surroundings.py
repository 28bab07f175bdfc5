"""A task finds the surroundings that it was given, whatever the one before has left; what should last does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from jray.runtime.surroundings import ModulePlace, Seen, Surroundings
from jray.runtime.worker.imports import KernelModules
from jray.runtime.worker.surroundings import TaskSurroundings
from jray.runtime.worker.threads import ThreadLimit
from tests.support.builders import cpus

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture(autouse=True)
def _everything_is_put_back():
    path, directory, environment = list(sys.path), os.getcwd(), dict(os.environ)
    yield
    sys.path[:] = path
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment)


@pytest.fixture
def worker():
    """This process plays the worker."""
    for name in THREADS:
        os.environ.pop(name, None)
    os.environ["CUDA_VISIBLE_DEVICES"] = "3"
    return TaskSurroundings(ThreadLimit(), KernelModules())


def given(path=("/a", "/b"), directory="/", modules=(), **environment):
    variables = {name.encode(): value.encode() for name, value in environment.items()}
    return Surroundings(tuple(path), os.fsencode(directory), variables, tuple(modules))


def enter(worker, surroundings, *, origin=0, cpus_of_task=1):
    worker.enter(surroundings, origin, cpus(cpus_of_task))


def environment():
    """Without what jray sets."""
    ours = {*THREADS, "CUDA_VISIBLE_DEVICES", "JE_ARROW_MALLOC_CONF"}
    return {name: value for name, value in os.environ.items() if name not in ours}


def of_a_child(worker):
    wired = worker.of_a_child()
    return None if wired is None else Surroundings.from_wire(wired)


class TestWhatATaskFinds:
    def test_what_it_was_given(self, worker, tmp_path):
        enter(worker, given(("/x",), tmp_path, A="1"))
        assert (sys.path, os.getcwd(), environment()) == (["/x"], str(tmp_path), {"A": "1"})
        enter(worker, given(("/y", "/z"), "/", B="2"))
        assert (sys.path, os.getcwd(), environment()) == (["/y", "/z"], "/", {"B": "2"})

    def test_programs_that_it_starts_find_it_too(self, worker):
        enter(worker, given(A="1", PATH=os.environ["PATH"]))
        enter(worker, given(B="2", PATH=os.environ["PATH"]))
        assert subprocess.check_output("echo [$A] [$B]", shell=True, text=True) == "[] [2]\n"

    def test_what_the_one_before_has_changed_is_gone(self, worker, tmp_path):
        here = given(A="1", B="2")
        enter(worker, here)
        path = sys.path
        os.chdir(tmp_path)
        os.environ["A"], os.environ["C"] = "changed", "new"
        del os.environ["B"]
        sys.path.insert(0, "/more")
        enter(worker, here)
        assert (sys.path, os.getcwd(), environment()) == (["/a", "/b"], "/", {"A": "1", "B": "2"})
        assert sys.path is path

    @pytest.mark.parametrize("odd", [(), [b"/a", None, 5], "abc"])
    def test_whatever_it_has_made_of_sys_path(self, worker, odd):
        here = given()
        enter(worker, here)
        sys.path = odd
        assert worker.of_a_child() is not None
        enter(worker, here)
        assert sys.path == ["/a", "/b"]

    def test_bytes_that_are_no_text(self, worker, tmp_path):
        folder = os.fsencode(tmp_path) + b"/\xff"
        os.mkdir(folder)
        here = Surroundings((os.fsdecode(folder),), folder, {b"A": b"\xff"}, ())
        enter(worker, Surroundings.from_wire(here.to_wire()))
        assert (os.getcwdb(), os.environb[b"A"], sys.path) == (folder, b"\xff", [os.fsdecode(folder)])

    def test_a_directory_that_is_gone_is_an_error_and_nothing_runs_elsewhere(self, worker, tmp_path):
        gone = tmp_path / "gone"
        with pytest.raises(FileNotFoundError, match=r"directory /.*gone can't be entered in this worker \(No such"):
            enter(worker, given(directory=gone))
        gone.mkdir()
        enter(worker, given(directory=gone))
        assert os.getcwd() == str(gone)

    def test_if_the_submitter_s_was_removed_the_worker_stays_where_it_is(self, worker, tmp_path):
        enter(worker, given(directory=tmp_path))
        enter(worker, given(directory=""))
        assert os.getcwd() == str(tmp_path)
        os.chdir("/")
        enter(worker, given(directory=""))
        os.chdir(tmp_path)
        enter(worker, given(directory=""))


class TestWhatIsJraysOwn:
    def test_the_gpus_stay(self, worker):
        enter(worker, given(CUDA_VISIBLE_DEVICES="0,1"))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
        del os.environ["CUDA_VISIBLE_DEVICES"]
        enter(worker, given())
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"

    def test_threads_follow_the_task_unless_the_user_has_set_them(self, worker):
        enter(worker, given(), cpus_of_task=2)
        assert {os.environ[name] for name in THREADS} == {"2"}
        enter(worker, given(MKL_NUM_THREADS="7"), cpus_of_task=1)
        assert [os.environ[name] for name in THREADS] == ["1", "1", "7"]
        enter(worker, given(OMP_NUM_THREADS="5"), cpus_of_task=1)
        assert [os.environ.get(name) for name in THREADS] == ["5", None, None]
        enter(worker, given(), cpus_of_task=1)
        assert {os.environ[name] for name in THREADS} == {"1"}

    def test_what_keeps_forks_safe_stays_unless_the_user_has_set_it(self, worker):
        enter(worker, given())
        assert os.environ["JE_ARROW_MALLOC_CONF"] == "background_thread:false"
        enter(worker, given(JE_ARROW_MALLOC_CONF="mine"))
        assert os.environ["JE_ARROW_MALLOC_CONF"] == "mine"


class TestOfAChild:
    def test_those_of_its_parent_if_that_has_changed_nothing(self, worker):
        enter(worker, given(A="1"), cpus_of_task=2)
        assert of_a_child(worker) is None

    def test_with_what_its_parent_has_changed(self, worker, tmp_path):
        place = ModulePlace("mine", "/mine.py", ())
        enter(worker, given(modules=[place], A="1", B="2"), cpus_of_task=2)
        os.environ["A"] = "changed"
        del os.environ["B"]
        assert of_a_child(worker) == given(modules=[place], A="changed")
        os.chdir(tmp_path)
        sys.path.append("/c")
        assert of_a_child(worker) == given(("/a", "/b", "/c"), tmp_path, [place], A="changed")

    def test_a_variable_of_jrays_that_its_parent_has_set_is_the_user_s_then(self, worker):
        enter(worker, given(), cpus_of_task=2)
        os.environ["OMP_NUM_THREADS"] = "9"
        assert of_a_child(worker) == given(OMP_NUM_THREADS="9")

    def test_what_a_set_up_function_has_changed_is_not_its_parent_s(self, worker):
        enter(worker, given(A="1"))
        before = Seen()
        os.environ["SET_UP"] = "1"
        worker.keep_since(before)
        enter(worker, given(A="1"))
        assert of_a_child(worker) is None
        os.environ["A"] = "2"
        assert of_a_child(worker) == given(A="2")


class TestWhatLasts:
    def test_what_set_up_functions_change(self, worker, tmp_path):
        enter(worker, given(("/a", "/b"), A="1", B="1"))
        before = Seen()
        os.environ["A"], os.environ["C"] = "set up", "set up"
        del os.environ["B"]
        sys.path[:] = ["/front", "/a", "/middle", "/end"]
        os.chdir(tmp_path)
        worker.keep_since(before)
        enter(worker, given(("/a", "/b", "/later"), "/", A="2", B="2", D="2"))
        assert environment() == {"A": "set up", "C": "set up", "D": "2"}
        assert sys.path == ["/front", "/a", "/later", "/middle", "/end"]
        assert os.getcwd() == str(tmp_path)

    def test_several_one_after_the_other(self, worker):
        enter(worker, given(("/a",)))
        for entry in ("/one", "/two"):
            enter(worker, given(("/a",)))
            before = Seen()
            sys.path.insert(0, entry)
            sys.path.append(f"{entry}/end")
            worker.keep_since(before)
        enter(worker, given(("/a",)))
        assert sys.path == ["/two", "/one", "/a", "/one/end", "/two/end"]
        before = Seen()
        sys.path.remove("/one")
        worker.keep_since(before)
        enter(worker, given(("/a",)))
        assert sys.path == ["/two", "/a", "/one/end", "/two/end"]

    def test_what_a_module_changes_when_it_is_imported(self, worker, tmp_path):
        here = given(A="1")
        enter(worker, here)
        os.environ["TASK"] = "1"
        before = Seen()
        os.environ["MODULE"] = "1"
        sys.path.append("/of_module")
        os.chdir(tmp_path)
        worker.end_import("somebody", before)
        assert os.getcwd() == str(tmp_path)  # for the rest of the task
        enter(worker, here)
        assert (environment(), sys.path, os.getcwd()) == ({"A": "1", "MODULE": "1"}, ["/a", "/b", "/of_module"], "/")

    def test_not_if_the_submitter_had_imported_it_too(self, worker, tmp_path):
        enter(worker, given(modules=[ModulePlace("mine", "/mine.py", ())], A="as it is now"))
        os.environ["TASK"] = "1"
        before = Seen()
        os.environ["A"] = "as it was when it was imported"
        sys.path.append("/of_module")
        os.chdir(tmp_path)
        worker.end_import("mine.inner", before)
        assert (environment(), os.getcwd()) == ({"A": "as it is now", "TASK": "1"}, "/")
        assert sys.path == ["/a", "/b"]


class TestNewModules:
    def test_each_cell_finds_modules_that_were_written_before_it(self, worker, monkeypatch):
        calls = []
        monkeypatch.setattr("importlib.invalidate_caches", lambda: calls.append(1))
        here = given()
        enter(worker, here, origin=1)
        calls.clear()
        enter(worker, here, origin=1)
        assert calls == []
        enter(worker, here, origin=2)
        assert calls == [1]


class TestFromWire:
    @pytest.mark.parametrize(
        "wired",
        [
            5,
            (),
            ((), b"", {}),
            ((5,), b"", {}, ()),
            ((), "/", {}, ()),
            ((), b"", [], ()),
            ((), b"", {"A": b""}, ()),
            ((), b"", {b"A": 1}, ()),
            ((), b"", {}, (1,)),
            ((), b"", {}, (("mine",),)),
        ],
    )
    def test_nonsense_is_refused(self, wired):
        with pytest.raises((TypeError, ValueError, AttributeError)):
            Surroundings.from_wire(wired)
