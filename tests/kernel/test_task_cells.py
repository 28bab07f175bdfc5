"""What cells that run as tasks do, rule by rule (semantics 1 to 9), and what cells of definitions do."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest
from IPython.core.error import UsageError

import jray

# ---- cells of definitions (rules 1, 2)


def test_functions_of_a_cell_of_definitions_are_remote_and_stay_callable(shell):
    assert shell.run("%%remote\nimport math\nK = 2\ndef f(x):\n    return math.sqrt(x) * K") == "remote: f\n"
    assert shell["f"](4) == 4
    assert jray.get(shell["f"].remote(9)) == 6


def test_neighbours_call_each_other_here_and_in_the_worker(shell):
    shell.run("%%remote\ndef f(x):\n    return g(x) + 1\ndef g(x):\n    return x * 2")
    assert (shell["f"](4), jray.get(shell["f"].remote(4))) == (9, 9)


def test_neighbours_start_each_other_as_tasks_from_the_worker(shell):
    shell.run("%%remote\ndef f(x):\n    return jray.get([g.remote(n) for n in range(x)])\ndef g(x):\n    return x * 2")
    assert jray.get(shell["f"].remote(3)) == [0, 2, 4]


def test_a_helper_that_is_redefined_is_seen_by_the_next_call(shell):
    shell.run("%%remote\ndef f(x):\n    return helper(x)\ndef helper(x):\n    return x + 1")
    shell.run("def helper(x): return -x")
    assert (shell["f"](1), jray.get(shell["f"].remote(1))) == (-1, -1)


def test_options_of_the_line_are_defaults_that_a_call_can_change(shell):
    shell.run(
        "%%remote --num-cpus 2 --name both --max-retries 7\ndef f():\n"
        "    c = jray.get_runtime_context()\n    return c.get_assigned_resources(), c.get_task_name()"
    )
    assert jray.get(shell["f"].remote()) == ({"CPU": 2.0}, "both")
    assert jray.get(shell["f"].options(num_cpus=1, name="one").remote()) == ({"CPU": 1.0}, "one")


def test_a_function_that_is_decorated_as_remote_keeps_its_own_options(shell):
    assert shell.run(
        "%%remote --num-cpus 2\n@jray.remote(num_cpus=1)\ndef f():\n"
        "    return jray.get_runtime_context().get_assigned_resources()"
    ) == ("remote: f\n")
    assert jray.get(shell["f"].remote()) == {"CPU": 1.0}
    with pytest.raises(TypeError, match="cannot be called directly"):
        shell["f"]()


def test_async_functions_and_classes_stay_ordinary(shell):
    out = shell.run("%%remote\nclass C:\n    pass\nasync def a():\n    pass\ndef f():\n    return C()")
    assert out == "remote: f\nnot remote, because only actors can be async: a\n"
    assert type(shell["f"]()) is shell["C"]
    assert type(jray.get(shell["f"].remote())) is shell["C"]


def test_generator_functions_stay_ordinary(shell):
    out = shell.run("%%remote\ndef pairs(n):\n    yield from range(n)\ndef total(n):\n    return sum(pairs(n))")
    assert out == "remote: total\nnot remote, because streaming results are not there yet: pairs\n"
    assert list(shell["pairs"](3)) == [0, 1, 2]
    assert jray.get(shell["total"].remote(3)) == 3


def test_a_cell_of_classes_alone_prints_nothing(shell):
    assert shell.run("%%remote\nclass C:\n    pass") == ""
    assert isinstance(shell["C"], type)


def test_the_same_cell_can_be_run_again(shell):
    for k in (1, 2):
        assert shell.run(f"%%remote\ndef f():\n    return {k}") == "remote: f\n"
        assert jray.get(shell["f"].remote()) == k


# ---- one namespace, definitions first (rule 3)


def test_a_class_of_a_task_cell_is_the_class(shell):
    shell.run("%%remote\nclass Point:\n    def __init__(self, x): self.x = x\np = Point(3)")
    assert type(shell.get("p")) is shell["Point"]
    assert shell.get("p").x == 3


def test_functions_of_a_task_cell_see_the_names_of_the_task(shell):
    shell.run("%%remote\ndef read():\n    return limit\nlimit = 7\nseen = read()\nlimit = 8\nseen_again = read()")
    assert (shell.get("seen"), shell.get("seen_again")) == (7, 8)


def test_functions_of_the_notebook_see_the_names_of_the_task(shell):
    shell.run("limit = 1\ndef read(): return limit")
    shell.run("%%remote\nlimit = 7\nseen = read()")
    assert shell.get("seen") == 7
    assert shell.run("limit = 1; print(read())") == "1\n"


def test_global_in_a_function_of_the_cell_is_the_task(shell):
    shell.run("%%remote\ndef count():\n    global n\n    n += 1\nn = 0\ncount()\ncount()")
    assert shell.get("n") == 2


def test_imports_of_a_task_cell_are_there_afterwards(shell):
    shell.run("%%remote\nimport math as mathematics\nx = mathematics.floor(2.5)")
    assert shell["mathematics"].floor(3.5) == 3
    assert shell.get("x") == 2


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("size = len('abc')\ndef f(n=size): pass", "Line 3: the default `n=size` of `f` needs `size`"),
        ("base = type('B', (), {})\nclass A(base): pass", "Line 3: the base `base` of `A` needs `base`"),
        ("d = print or 1\n@d\ndef f(): pass", "Line 3: the decorator `@d` of `f` needs `d`"),
    ],
)
def test_a_definition_that_needs_a_name_of_the_task_is_refused_with_its_line(shell, body, says):
    complaint = shell.complaint(f"%%remote\n{body}")
    assert complaint.startswith(f"UsageError: {says}, which only the task binds.")


@pytest.mark.parametrize("use", ["remote(1)", "options(num_cpus=2)", "map([1])"])
def test_a_function_of_a_task_cell_says_which_line_made_the_cell_a_task(shell, use):
    shell.run("%%remote\ndef f():\n    return 1\nx = f() + 1")
    assert (shell["f"](), shell.get("x")) == (1, 2)
    with pytest.raises(AttributeError) as error:
        eval(f"f.{use}", {"f": shell["f"]})
    assert str(error.value) == (
        f"f.{use.partition('(')[0]} was refused: f is an ordinary function. The %%remote cell that defines it is no cell of definitions: "
        "line 4 (`x = f() + 1`) is computed, so the cell runs as one task. Move that line to another cell, or write "
        "@jray.remote above the function."
    )


# ---- what comes in (rule 4)


def test_names_come_in_as_they_are_at_submission(shell, tmp_path):
    shell.run("k = [1]")
    shell.run("%%remote --num-cpus 2\nimport time\nblocker = 1")  # so that the next one waits
    shell.run("%%remote --num-cpus 2\na = k + [2]")
    shell.run("k.append(100)\nk = 'changed'")
    assert shell.get("a") == [1, 2]


def test_references_come_in_as_values_so_cells_chain(shell):
    shell.run("%%remote\na = 20")
    shell.run("%%remote\nb = a + 1")
    shell.run("%%remote\nc = a + b + 1")
    assert shell.get("c") == 42


def test_a_cell_that_failed_can_be_mended_and_run_again(shell):
    # `loss` is only read where the cell has perhaps bound it: its failed self must not keep it from running.
    cell = "%%remote\nfor step in steps:\n    loss = 1 / {}\nlast = loss"
    shell.run("steps = range(3)")
    shell.run(cell.format("0"))
    with pytest.raises(ZeroDivisionError):
        shell.get("loss")
    shell.run(cell.format("4"))
    assert shell.get("last") == 0.25


def test_a_cell_can_be_run_again_when_the_runtime_of_its_names_is_gone(shell):
    cell = "%%remote\nfor step in range(limit):\n    loss = step\nlast = loss"
    shell.run("limit = 3")
    shell.run(cell)
    shell.run("jray.shutdown()")
    shell.run(cell)
    assert shell.get("last") == 2


def test_references_inside_containers_stay_references(shell):
    shell.run("refs = [jray.put(1), jray.put(2)]")
    shell.run("%%remote\nkinds = {type(ref).__name__ for ref in refs}\ntotal = sum(jray.get(refs))")
    assert (shell.get("kinds"), shell.get("total")) == ({"ObjectRef"}, 3)


def test_a_reference_that_a_function_of_the_notebook_reads_stays_what_it_is_to_that_function(shell):
    shell.run("r = jray.put(5)\ndef load(): return jray.get(r)")
    shell.run("%%remote\nx = load()")
    assert shell.get("x") == 5


def test_a_name_that_is_bound_first_does_not_come_in(shell):
    shell["unpicklable"] = threading.Lock()
    shell.run("%%remote\nunpicklable = 3\nx = unpicklable")
    assert shell.get("x") == 3


def test_a_cell_that_reads_its_own_name_gets_the_old_value(shell):
    shell.run("n = 1")
    for expected in (2, 3):  # the second time, `n` is a reference
        shell.run("%%remote\nn = n + 1")
        assert shell.get("n") == expected


def test_a_missing_name_is_a_name_error_in_the_task(shell):
    shell.run("%%remote\nx = nowhere + 1")
    with pytest.raises(NameError, match="name 'nowhere' is not defined"):
        shell.get("x")


def test_what_cannot_travel_is_named_with_the_cells_name_for_it(shell):
    shell["connection"] = [threading.Lock()]
    said = r"was not started: connection\[0\] is a lock\. It works between the threads of one process"
    with pytest.raises(UsageError, match=said):
        shell.run("%%remote\nx = len(connection)")
    with pytest.raises(UsageError, match=said):
        shell.run("x = %remote len(connection)")
    assert "x" not in shell


def test_large_arrays_come_in_and_go_out(shell):
    shell["X"] = np.ones((300, 300))
    shell.run("%%remote\nY = X * 2")
    shell.run("%%remote\ntotal = Y.sum()")
    assert shell.get("total") == 180_000
    assert shell.get("Y").shape == (300, 300)


# ---- what comes out (rule 5)


def test_assigned_names_come_out_and_no_others(shell):
    shell.run(
        "%%remote\nimport contextlib\na = 1\nb: int = 2\nc = 1\nc += 2\n(d, *e), f = (4, 5, 6), 7\nif (g := 8): pass\n"
        "for i in range(3):\n    last = i\nwith contextlib.nullcontext(1) as w: pass\n"
        "try: 1 / 0\nexcept ZeroDivisionError as error: pass\n_private = 1\ngone = 1\ndel gone"
    )
    assert [shell.get(name) for name in ("a", "b", "c", "d", "e", "f", "g", "last")] == [1, 2, 3, 4, [5, 6], 7, 8, 2]
    assert not [name for name in ("i", "w", "error", "_private", "gone") if name in shell]


def test_outputs_are_picked_exactly(shell):
    shell.run("%%remote -o _b,i\na = 1\n_b = 2\nfor i in 'xy': pass")
    assert "a" not in shell
    assert (shell.get("_b"), shell.get("i")) == (2, "y")


def test_definitions_and_imports_can_be_picked(shell):
    shell.run("%%remote -o double,math\nimport math\ndef double(x):\n    return 2 * x\n_ = 1 + 1")
    assert shell.get("double")(21) == 42
    assert shell.get("math").pi > 3


def test_an_earlier_value_is_not_taken_for_one_that_the_run_bound(shell):
    shell.run("y = 'old'\nc = False")
    shell.run("%%remote -o y\nif c:\n    y = 1")
    with pytest.raises(NameError, match="did not bind 'y'"):
        shell.get("y")


def test_a_picked_name_that_the_run_did_not_bind_is_a_name_error_at_get(shell):
    shell.run("%%remote -o a,later\na = 1\nif a > 1:\n    later = 3")
    assert shell.get("a") == 1
    with pytest.raises(NameError, match="The cell did not bind 'later' in this run"):
        shell.get("later")


def test_a_value_that_cannot_be_stored_fails_its_own_reference_only(shell):
    shell.run("%%remote\nimport threading\nlock = threading.Lock()\nfine = 1")
    assert shell.get("fine") == 1
    with pytest.raises(TypeError, match=r"lock, a result of In\[\d+\], can't be stored: lock is a lock\."):
        shell.get("lock")


def test_get_binds_values_and_raises_here(shell):
    shell.run("%%remote --get\na = 3\nb = a * 2")
    assert (shell["a"], shell["b"]) == (3, 6)
    with pytest.raises(ZeroDivisionError):
        shell.run("%%remote --get\na = 1 / 0")
    assert shell["a"] == 3


def test_a_failed_cell_fails_what_needs_it_with_the_original_cause(shell):
    shell.run("%%remote --name origin\na = {}['nope']")
    shell.run("%%remote\nb = a")
    shell.run("%%remote\nc = b")
    with pytest.raises(KeyError, match="nope") as error:
        shell.get("c")
    assert (error.value.task, isinstance(error.value, jray.exceptions.TaskError)) == ("origin", True)


# ---- changes in place (rule 6)


@pytest.mark.parametrize(
    "change",
    ["box['z'] = 1", "del box['a']", "box.clear()", "box.update(z=1)", "box['a'] += 1"],
)
def test_what_is_changed_in_place_is_changed_in_the_task_only(shell, change):
    shell.run("box = {'a': 1}")
    out = shell.run(f"%%remote -o n\n{change}\nn = len(box)")
    assert out == "box is changed in the task only; -o box brings the changed one back\n"
    shell.get("n")
    assert shell["box"] == {"a": 1}


def test_the_notes_of_a_cell_are_written_at_once(shell, monkeypatch):
    written = []
    shell.run("a, b = [], []")
    monkeypatch.setattr(sys.stdout, "write", written.append)
    shell.shell.run_cell("%%remote\na.append(1)\nb.append(1)")
    (notes,) = (text for text in written if "in the task only" in text)
    assert notes.splitlines() == [
        "a is changed in the task only; -o a brings the changed one back",
        "b is changed in the task only; -o b brings the changed one back",
    ]


def test_a_changed_name_that_is_picked_comes_back_without_a_note(shell):
    shell.run("box = []")
    assert shell.run("%%remote -o box\nbox.append(2)") == ""
    assert shell.get("box") == [2]


def test_calls_on_modules_change_nothing(shell):
    shell.run("import gc")
    assert shell.run("%%remote\ngc.collect()\nx = 1") == ""


# ---- the last expression (rule 7)


@pytest.mark.parametrize(
    ("last", "shown"),
    [("6 * 7", "42\n"), ("6 * 7;", ""), ("None", ""), ("x = 1", ""), ("print('p')", "p\n"), ("'text'", "'text'\n")],
)
def test_the_last_expression_is_shown_in_text_unless_silenced(shell, monkeypatch, last, shown):
    monkeypatch.setenv("JRAY_NONINTERACTIVE", "1")
    assert shell.run(f"%%remote\ny = 0\n{last}") + shell.run("_ = jray.get(y)") == shown


def test_a_line_that_was_begun_stands_before_the_last_expression(shell, monkeypatch):
    monkeypatch.setenv("JRAY_NONINTERACTIVE", "1")
    assert shell.run("%%remote\nprint('begun', end=' ')\n6 * 7").startswith("begun ")


def test_only_the_last_expression_is_shown(shell, monkeypatch):
    monkeypatch.setenv("JRAY_NONINTERACTIVE", "1")
    assert shell.run("%%remote\n1\n2\n3") == "3\n"


# ---- retries (rule 8)


def test_cells_are_not_retried_unless_asked(shell, tmp_path):
    runs = tmp_path / "runs"
    body = f"import os\nwith open({str(runs)!r}, 'a') as f:\n    _ = f.write('x')\nos._exit(1)\nn = 1"
    shell.run(f"%%remote\n{body}")
    with pytest.raises(jray.exceptions.WorkerCrashedError, match=r"Task In\[\d+\] was lost"):
        shell.get("n")
    assert runs.read_text() == "x"
    shell.run(f"%%remote --max-retries 1\n{body}")
    with pytest.raises(jray.exceptions.WorkerCrashedError):
        shell.get("n")
    assert runs.read_text() == "xxx"


# ---- statements that are legal in a module are legal (rule 9)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("from math import *\nx = sqrt(16)", 4.0),
        ("try:\n    import nowhere_at_all\nexcept ImportError:\n    nowhere_at_all = None\nx = nowhere_at_all", None),
        ("if True:\n    def late(): return y\nelse:\n    class late: pass\ny = 5\nx = late()", 5),
        ("y = 1\ndel y\nx = 'y' in globals()", False),
        ("x = [n for n in range(3) if n]", [1, 2]),
        ("x = (lambda n: n * k)(3)\nk = 2", "NameError"),
        ("while True:\n    x = 1\n    break", 1),
        ("match [1, 2]:\n    case [a, b]: x = a + b", 3),
        ("x: 'list[int]' = []\nx.append(__name__)", ["__main__"]),
        ("from __future__ import annotations\ndef f(a: Nowhere): return a\nx = f(3)", 3),
    ],
)
def test_it_means_what_it_means_in_a_module(shell, body, expected):
    shell.run(f"%%remote -o x\n{body}")
    if expected == "NameError":
        with pytest.raises(NameError):
            shell.get("x")
    else:
        assert shell.get("x") == expected


def test_blank_lines_at_the_start_count_in_tracebacks(shell):
    shell.run("%%remote\n\n\nx = 1\ny = x / 0")
    assert "line 5, in <module>\n    y = x / 0" in shell.get_error("y")


def test_a_syntax_error_is_pythons_own_and_names_the_line(shell):
    complaint = shell.complaint("%%remote\nx = 1\na = = 1")
    assert ", line 3\n    a = = 1\n" in complaint
    assert complaint.endswith("SyntaxError: invalid syntax\n\n")
    assert "x" not in shell


# ---- expressions


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("square(x) + 1", 17),
        ("-x + 1", -3),
        ("- x", -4),
        ("-1", -1),
        ("(x, -x)", (4, -4)),
        ("{'a': [n for n in range(x)]}", {"a": [0, 1, 2, 3]}),
        ("x if x > 3 else None", 4),
        ("ref * 10", 50),
        ("x --1", 5),
        ("--num-cpus 2 --name it jray.get_runtime_context().get_task_name()", "it"),
        ("--num-cpus=0.5 jray.get_runtime_context().get_assigned_resources()", {"CPU": 0.5}),
        ("--max-retries 0 -x", -4),
    ],
)
def test_an_expression_gives_a_reference_to_its_value(shell, line, value):
    shell.run("x = 4\nref = jray.put(5)\ndef square(n): return n * n")
    shell.run(f"result = %remote {line}")
    assert isinstance(shell["result"], jray.ObjectRef)
    assert shell.get("result") == value


def test_a_bare_expression_shows_its_reference_with_its_face(shell):
    shown = shell.run("%remote 1 + 1")
    assert f"{shell['_']!r}: " in shown
    assert ", made by In[" in shown
    assert shell.get("_") == 2


def test_an_expression_that_fails_says_where(shell):
    shell.run("result = %remote 1 / 0")
    with pytest.raises(ZeroDivisionError, match=r"Cell In\[\d+\], line 1, in <module>\n    1 / 0"):
        shell.get("result")
