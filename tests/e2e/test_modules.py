"""A notebook's own modules and surroundings, in a real kernel: `%autoreload`, `%cd`, `%env`, `%%writefile`."""

from __future__ import annotations

import pytest

from tests.support.project import Project


@pytest.fixture
def project(kernel, tmp_path):
    """A folder that the kernel finds modules in. No bytecode: edits come faster than it can tell apart."""
    path = repr(str(tmp_path))
    assert kernel.run(f"import sys\nsys.dont_write_bytecode = True\nsys.path.insert(0, {path})").error == ""
    yield Project(tmp_path)
    gone = f"for name in [name for name in sys.modules if name.startswith('mine')]: del sys.modules[name]\nsys.path.remove({path})"
    assert kernel.run(f"%load_ext autoreload\n%autoreload 0\n{gone}").error == ""


# %autoreload remembers modules by name: so each test has names of its own.


def said(number):
    return f"def value(): return {number!r}\n"


def test_autoreload_that_patches_functions_in_place(kernel, project):
    project.write("mine_patched", said(1))
    kernel.run("%load_ext autoreload\n%autoreload 2\nimport mine_patched\nspec = mine_patched.__spec__")
    kernel.run("@jray.remote\ndef task(): return mine_patched.value(), os.getpid()")
    one, pid = eval(kernel.value("jray.get(task.remote())"))
    project.write("mine_patched", said(2))
    assert kernel.value("mine_patched.value(), mine_patched.__spec__ is spec") == "2 True"  # nothing else would show it
    cell = kernel.run("print(jray.get(task.remote()))")
    two, other_pid = eval(cell.stdout)

    assert (one, two) == (1, 2)
    assert pid != other_pid
    assert cell.stderr == ""
    assert eval(kernel.value("jray.get(task.remote())")) == (2, other_pid)


def test_autoreload_that_executes_the_module_again(kernel, project):
    project.write("mine_executed.__init__", "")
    project.write("mine_executed.inner", "values = [1]\n" + said(1))
    kernel.run("%load_ext autoreload\n%autoreload 2\nfrom mine_executed.inner import value\nimport mine_executed.inner")
    kernel.run("@jray.remote\ndef task(): return value(), mine_executed.inner.values")
    assert kernel.value("jray.get(task.remote())") == "(1, [1])"
    project.write("mine_executed.inner", "values = [1] + [2]\nvalues.sort()\n" + said(2))
    assert kernel.value("jray.get(task.remote()), value()") == "(2, [1, 2]) 2"


def test_autoreload_of_a_file_that_is_no_python_leaves_the_old_code_everywhere(kernel, project):
    project.write("mine_broken", said(1))
    kernel.run(
        "%load_ext autoreload\n%autoreload 2\nimport mine_broken\n@jray.remote\ndef task(): return mine_broken.value()"
    )
    assert kernel.value("jray.get(task.remote())") == "1"
    project.write("mine_broken", "def value(: return 2")
    cell = kernel.run("print(jray.get(task.remote()))")
    assert cell.stdout == "1\n"
    assert "autoreload of mine_broken failed" in cell.stderr
    assert cell.stderr.count("mine_broken was edited since it was imported here") == 1
    project.write("mine_broken", said(333))
    cell = kernel.run("print(jray.get(task.remote()))")
    assert (cell.stdout, cell.stderr) == ("333\n", "")


def test_what_was_edited_and_not_reloaded_is_said_under_the_first_cell_that_submits(kernel, project):
    project.write("mine_edited", said(1))
    kernel.run("import mine_edited\n@jray.remote\ndef task(): return mine_edited.value()")
    project.write("mine_edited", said(2))  # before any task: workers have not imported it
    quiet = kernel.run("mine_edited.value()")
    told = kernel.run("refs = [task.remote() for _ in range(3)]\nprint(jray.get(refs), mine_edited.value())")
    again = kernel.run("print(jray.get(task.remote()))")

    assert quiet.stderr == ""
    assert told.stderr.count("mine_edited was edited since it was imported here, and not reloaded") == 1
    assert told.stdout == "[2, 2, 2] 1\n"  # as the warning says
    assert (again.stdout, again.stderr) == ("2\n", "")
    assert kernel.run("import importlib\nimportlib.reload(mine_edited)\nprint(jray.get(task.remote()))").stdout == "2\n"


def test_a_reload_in_the_middle_of_a_cell(kernel, project):
    project.write("mine_reloaded", said(1))
    kernel.run("import importlib, mine_reloaded\n@jray.remote\ndef task(): return mine_reloaded.value()")
    later = project.write("later", said(2))
    cell = kernel.run(
        f"import shutil\nbefore = jray.get(task.remote())\nshutil.copy2({str(later)!r}, mine_reloaded.__file__)\n"
        "importlib.reload(mine_reloaded)\nprint(before, jray.get(task.remote()))"
    )
    assert (cell.stdout, cell.stderr) == ("1 2\n", "")


def test_a_module_that_a_cell_writes_is_found_by_the_next(kernel, project):
    kernel.run("@jray.remote\ndef task():\n    import mine_written\n    return mine_written.value()")
    failed = kernel.run("jray.get(task.remote())")
    assert "ModuleNotFoundError" in failed.error
    assert kernel.run(f"%%writefile {project.folder}/mine_written.py\n{said(5)}").error == ""
    assert kernel.value("jray.get(task.remote())") == "5"


def test_magics_that_change_the_surroundings(kernel, project):
    kernel.run("home = os.getcwd()\n@jray.remote\ndef task(): return os.getcwd(), os.environ.get('JRAY_TEST')")
    kernel.run("jray.get(task.remote())")
    kernel.run(f"%cd {project.folder}\n%env JRAY_TEST=5")
    assert kernel.value("jray.get(task.remote()) == (os.getcwd(), '5')") == "True"
    kernel.run("%cd $home\n%env JRAY_TEST=6")
    assert kernel.value("jray.get(task.remote()) == (home, '6')") == "True"
    kernel.run("del os.environ['JRAY_TEST']")
    assert kernel.value("jray.get(task.remote()) == (home, None)") == "True"


def test_a_cell_that_runs_as_a_task_and_changes_them_changes_the_task_s_only(kernel, project):
    cell = kernel.run(
        f"%%remote -o seen\nimport os, sys\nos.chdir({str(project.folder)!r})\nos.environ['JRAY_TEST'] = 'task'\nseen = os.getcwd()"
    )
    assert cell.error == ""
    assert kernel.value(f"jray.get(seen) == {str(project.folder)!r} != os.getcwd()") == "True"
    assert kernel.value("os.environ.get('JRAY_TEST')") == "None"
    kernel.run("@jray.remote\ndef task(): return os.getcwd() == home, os.environ.get('JRAY_TEST')\nhome = os.getcwd()")
    assert kernel.value("jray.get([task.remote() for _ in range(4)])") == str([(True, None)] * 4)
