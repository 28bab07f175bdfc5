"""The magics in an IPython shell: every option, every rule of `%%remote`, and the typos."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from IPython.core.interactiveshell import InteractiveShell

import jray

CELL_MAGIC = "%%remote"


@pytest.fixture(scope="module")
def the_shell():
    shell = InteractiveShell.instance()
    shell.run_line_magic("colors", "nocolor")
    shell.run_line_magic("xmode", "Minimal")
    yield shell
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(the_shell, runtime, capsys):
    the_shell.run_cell("%load_ext jray")
    capsys.readouterr()
    yield Shell(the_shell, capsys)
    the_shell.run_cell("%unload_ext jray")
    the_shell.reset(new_session=False)
    capsys.readouterr()


class Shell:
    def __init__(self, shell, capsys):
        self.shell, self._capsys = shell, capsys

    def run(self, code):
        """Run a cell; what it printed. Errors are raised."""
        result = self.shell.run_cell(code, store_history=True)
        result.raise_error()
        return self._capsys.readouterr().out

    def complaint(self, code):
        """Run a cell that is refused; what it said."""
        self.shell.run_cell(code, store_history=True)
        streams = self._capsys.readouterr()
        return streams.out + streams.err

    def __getitem__(self, name):
        return self.shell.user_ns[name]

    def get(self, name):
        return jray.get(self[name])


def test_a_cell_of_definitions_makes_its_functions_remote_and_keeps_them_callable(shell):
    out = shell.run(
        "%%remote\nimport math\nK = 2\ndef f(x):\n    return math.sqrt(x) * K\ndef g(x):\n    return f(x) + 1"
    )
    assert out == "remote: f, g\n"
    assert shell["g"](4) == 5
    assert jray.get(shell["g"].remote(9)) == 7
    shell.run("K = 3")
    assert jray.get(shell["g"].remote(9)) == 10  # as the call would be here and now


def test_options_of_a_cell_of_definitions_become_defaults(shell):
    shell.run(
        "%%remote --num-cpus 2 --name both\nimport jray\ndef f():\n    c = jray.get_runtime_context()\n    return c.get_assigned_resources(), c.get_task_name()"
    )
    assert jray.get(shell["f"].remote()) == ({"CPU": 2.0}, "both")


def test_async_functions_and_classes_stay_ordinary(shell):
    out = shell.run("%%remote\nclass C:\n    pass\nasync def a():\n    pass\ndef f():\n    return C()")
    assert out == "remote: f\nnot remote, because only actors can be async: a\n"
    assert isinstance(shell["f"](), shell["C"])


def test_a_task_cell_takes_names_in_and_gives_references_out(shell):
    shell.run("k = 5")
    shell.run("%%remote\na = k + 1\nb = [a, k]\nfor i in range(3):\n    pass\n_private = 1")
    assert (shell.get("a"), shell.get("b")) == (6, [6, 5])
    assert "i" not in shell.shell.user_ns
    assert "_private" not in shell.shell.user_ns


def test_references_come_in_as_values_so_cells_chain(shell):
    shell.run("%%remote\na = 20")
    shell.run("%%remote\nb = a + 1")
    shell.run("%%remote\nc = a + b + 1")
    assert shell.get("c") == 42


def test_functions_and_the_task_share_one_namespace(shell):
    shell.run(
        "%%remote\nclass Point:\n    def __init__(self, x): self.x = x\ndef read():\n    return limit\nlimit = 7\nvalue = read()\np = Point(value)"
    )
    assert shell.get("value") == 7
    assert shell.get("p").x == 7


def test_outputs_are_picked_and_an_unbound_one_is_a_name_error_at_get(shell):
    shell.run("%%remote -o a,later\na = 1\nb = 2\nif a > 1:\n    later = 3")
    assert shell.get("a") == 1
    assert "b" not in shell.shell.user_ns
    with pytest.raises(NameError, match="did not bind 'later'"):
        shell.get("later")


def test_a_value_that_cannot_be_stored_fails_its_own_reference(shell):
    shell.run("%%remote\nimport threading\nlock = threading.Lock()\nfine = 1")
    assert shell.get("fine") == 1
    with pytest.raises(TypeError, match="lock"):
        shell.get("lock")


def test_get_binds_values(shell):
    shell.run("%%remote --get\na = 3\nb = a * 2")
    assert (shell["a"], shell["b"]) == (3, 6)
    with pytest.raises(ZeroDivisionError):
        shell.run("%%remote --get\nc = 1 / 0")


def test_what_is_changed_in_place_is_changed_in_the_task_only_and_said(shell):
    shell.shell.user_ns["table"] = {"z": 0}
    shell.run("box = []")
    assert shell.run("%%remote\ntable['z'] = 1\nbox.append(2)\nn = len(box)") == (
        "table is changed in the task only; -o table brings the changed one back\n"
        "box is changed in the task only; -o box brings the changed one back\n"
    )
    assert shell["table"] == {"z": 0}
    assert shell.run("%%remote -o box\nbox.append(2)") == ""
    assert shell.get("box") == [2]


def test_the_last_expression_is_shown_in_text_unless_silenced(shell, monkeypatch):
    monkeypatch.setenv("JRAY_NONINTERACTIVE", "1")
    assert shell.run("%%remote\n6 * 7").strip() == "42"
    assert shell.run("%%remote\n6 * 7;") == ""
    assert shell.run("%%remote\nNone") == ""
    assert "'b': 2" in shell.run("%%remote\n{'a': 1, 'b': 2}")


def test_cells_are_not_retried_unless_asked(shell, tmp_path):
    body = f"import os, pathlib\nwith open({str(tmp_path / 'runs')!r}, 'a') as f:\n    _ = f.write('x')\nos._exit(1)"
    shell.run(f"%%remote -o n\n{body}\nn = 1")
    with pytest.raises(jray.exceptions.WorkerCrashedError, match=r"Task In\[\d+\] was lost"):
        shell.get("n")
    assert (tmp_path / "runs").read_text() == "x"
    shell.run(f"%%remote -o n --max-retries 1\n{body}\nn = 1")
    with pytest.raises(jray.exceptions.WorkerCrashedError):
        shell.get("n")
    assert (tmp_path / "runs").read_text() == "xxx"


@pytest.mark.parametrize("resources", ["disk=1,net=0.5", '\'{"disk": 1, "net": 0.5}\''])
def test_resources_are_given_in_both_forms(the_shell, runtime_with, resources, capsys):
    runtime_with(num_cpus=1, resources={"disk": 1, "net": 1})
    the_shell.run_cell("%load_ext jray")
    shell = Shell(the_shell, capsys)
    shell.run(
        f"ref = %remote --num-cpus 0.5 --resources {resources} __import__('jray').get_runtime_context().get_assigned_resources()"
    )
    assert shell.get("ref") == {"CPU": 0.5, "disk": 1.0, "net": 0.5}
    the_shell.run_cell("%unload_ext jray")


def test_an_expression_gives_its_reference(shell):
    shell.run("x = 4\ndef square(n): return n * n")
    shell.run("a = %remote square(x) + 1\nb = %remote -x + 1\nc = %remote a + b")
    assert (shell.get("a"), shell.get("b"), shell.get("c")) == (17, -3, 14)


def test_a_function_of_a_task_cell_says_which_line_made_the_cell_a_task(shell):
    shell.run("%%remote\ndef f():\n    return 1\nx = f() + 1")
    assert shell.get("x") == 2
    with pytest.raises(AttributeError, match=r"line 4 \(`x = f\(\) \+ 1`\) is computed, so the cell runs as one task"):
        shell["f"].remote()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("%%remote -o nope\na = 1", "The cell binds: a."),
        ("%%remote -o f\ndef f(): pass", "-o and --get were refused"),
        ("%%remote --num-cpus many\na = 1", "invalid float value"),
        ("%%remote --nmu-cpus 1\na = 1", "Did you mean --num-cpus?"),
        ("%%remote --num-cpus -1\na = 1", "negative"),
        ("%%remote --resources disk\na = 1", "--resources disk was refused"),
        ("%%remote\ndef f(n=size): pass\nsize = len('abc')", "which only the task binds"),
        ("%%remote\n# nothing", "nothing to run"),
        ("%remote", "was given nothing to run"),
        ("%remote -o a 1", "-o and --get were refused"),
        ("%jray stat", "Did you mean %jray status?"),
        ("%jray frobnicate", "Use one of: status, init, stop."),
        ("%jray init", "running in this process already"),
        ("%jray status now", "takes no arguments"),
    ],
)
def test_mistakes_are_told_in_a_line_and_nothing_is_lost(shell, code, says):
    complaint = shell.complaint(code)
    assert says in complaint
    assert "UsageError" in complaint
    assert "Traceback" not in complaint
    assert jray.get(jray.put(1)) == 1


def test_a_syntax_error_is_pythons_own(shell):
    assert "SyntaxError" in shell.complaint("%%remote\na = = 1")


def test_what_cannot_travel_is_named_with_the_cells_name_for_it(shell):
    shell.run("import threading\nconnection = [threading.Lock()]")
    with pytest.raises(TypeError, match=r"→ connection\[0\]. It is of type lock"):
        shell.run("%%remote\nconnection")


def test_status_is_plain_in_a_terminal_and_a_table_in_a_notebook(shell):
    shell.run("%%remote --name count\na = 1")
    shell.get("a")
    status = shell.shell.run_line_magic("jray", "status")
    assert "in use: 0 of 2 CPU" in repr(status)
    assert "count  1 finished" in repr(status)
    assert "<td style='text-align:left'>count</td><td>1</td>" in status._repr_html_()


def test_stop_and_init(shell):
    assert shell.run("%jray stop") == "jray stopped\n"
    assert "jray is not running" in shell.run("%jray status")
    assert shell.run("%jray init --num-cpus 1 --resources disk=2") == "jray runtime with 1 CPU, 2 disk\n"
    assert "%jray status |" in shell.run("%jray")


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        ("%%remote", ["--num-cpus", "-o", "--get", "score.remote(3)", "ref = %remote"]),
        ("%jray", ["%jray status", "%jray init --num-cpus 4", "%jray stop"]),
    ],
)
def test_help_is_complete_with_examples(shell, magic, words):
    text = shell.shell.object_inspect_text(magic)
    for word in words:
        assert word in text


def test_arrays_come_in_through_the_store(shell):
    shell.shell.user_ns["X"] = np.ones((300, 300))
    shell.run("%%remote\ntotal = X.sum()")
    assert shell.get("total") == 90_000


def test_it_works_in_terminal_ipython_and_in_a_script(tmp_path):
    program = tmp_path / "session.ipy"
    program.write_text("%load_ext jray\nimport jray\nref = %remote sum(range(10))\nprint('terminal', jray.get(ref))\n")
    ended = subprocess.run(
        [sys.executable, "-m", "IPython", str(program)], capture_output=True, text=True, check=False, timeout=60
    )
    assert "terminal 45" in ended.stdout, ended.stderr
    script = tmp_path / "script.py"
    script.write_text(
        "import jray as ray\n@ray.remote\ndef f(x): return helper(x)\ndef helper(x): return x + 1\nprint(ray.get(f.remote(1)))\n"
    )
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False, timeout=60)
    assert ended.stdout == "2\n", ended.stderr
