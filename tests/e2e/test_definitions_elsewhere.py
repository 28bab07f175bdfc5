"""Definitions mean the same in scripts, in a terminal's IPython, in tasks, and with two subshells at once."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

LONGEST_S = 60

CELLS = """
import jray
jray.init(num_cpus=2)

class A:
    def __init__(self, x): self.x = x
    def m(self): return self.x * factor

def helper(a): return a.m() + offset

@jray.remote
def f(a): return helper(a), a

offset, factor = 1, 2
print(jray.get(f.remote(A(3)))[0])
offset = 10
print(jray.get(f.remote(A(3)))[0])

def helper(a): return -a.m()

print(jray.get(f.remote(A(3)))[0])
print(type(jray.get(f.remote(A(3)))[1]) is A)

@jray.remote
def count():
    global counter
    try: counter += 1
    except NameError: counter = 1
    return counter

print(sorted(jray.get([count.remote() for _ in range(1)])))

@jray.remote
def outer(n):
    def helper(a): return a + n
    @jray.remote
    def inner(a): return helper(a) + offset
    return jray.get(inner.remote(1))

print(jray.get(outer.remote(5)))
jray.shutdown()
"""
EXPECTED = ["7", "16", "-6", "True", "[1]", "16"]


def run(arguments, **how):
    ended = subprocess.run(arguments, capture_output=True, text=True, timeout=LONGEST_S, check=False, **how)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_a_script_plays_the_notebook(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(CELLS, "utf-8")
    assert run([sys.executable, str(script)]).split() == EXPECTED


def test_so_does_a_script_that_is_run_as_a_module_of_a_package(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("", "utf-8")
    (package / "__main__.py").write_text(CELLS, "utf-8")
    assert run([sys.executable, "-m", "package"], cwd=tmp_path).split() == EXPECTED


def test_ipython_in_a_terminal(tmp_path):
    script = tmp_path / "cells.ipy"
    script.write_text("%load_ext jray\n" + CELLS, "utf-8")
    command = [sys.executable, "-m", "IPython", "--no-banner", "--HistoryManager.enabled=False", str(script)]
    assert run(command).split()[-len(EXPECTED) :] == EXPECTED


def test_a_notebook(kernel):
    cells = CELLS.replace("jray.init(num_cpus=2)\n", "").replace("jray.shutdown()\n", "")
    assert kernel.run(cells).stdout.split() == EXPECTED


@pytest.mark.parametrize("number", [2])
def test_two_subshells_submit_at_once(kernel, number):
    shared = textwrap.dedent(
        """
        class A:
            def __init__(self, x): self.x = x
        def helper(a): return a.x
        def work(tag):
            wrong = []
            for i in range(40):
                globals()[f"k_{tag}"] = i
                exec(f"def h_{tag}(): return k_{tag} + {i}", globals())
                exec(f"def g_{tag}(a): return h_{tag}() + helper(a)", globals())
                refs = [jray.remote(globals()[f"g_{tag}"]).remote(A(j)) for j in range(5)]
                if jray.get(refs) != [2 * i + j for j in range(5)]:
                    wrong.append(i)
            print(tag, "wrong:", wrong)
        """
    )
    assert kernel.run(shared).error == ""
    subshells = [kernel.new_subshell() for _ in range(number)]
    assert kernel.run("import threading; both = threading.Barrier(2)").error == ""
    started = [kernel.start(f"both.wait(60); work('t{i}')", subshell=subshell) for i, subshell in enumerate(subshells)]
    for cell in started:
        kernel.read_until_true(lambda cell=cell: cell.error or cell.stdout)
    assert [cell.stdout for cell in started] == [f"t{i} wrong: []\n" for i in range(number)]
