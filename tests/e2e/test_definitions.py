"""A remote call means what the local call would mean now, whatever order the cells ran in.

The tables are in `definitions/`, and `tests/support/cell_table.py` says how to read them. All cases run in one
kernel and one runtime, one after the other in any order, as in a long session. Where plain Python can say what is right,
it is asked: in a second kernel, without jray, where every task is a call.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.cell_table import cases_of
from tests.support.kernels import Kernel

CASES = cases_of(Path(__file__).parent / "definitions")
AS_CALLS = {name: case for name, case in CASES.items() if not case.only_as_a_task}
RUNTIME = "import tests.support.inside, jray\n%load_ext jray\njray.init(num_cpus=2)"
PLAIN = "import tests.support.inside\n%load_ext tests.support.plain_calls"


@pytest.fixture(scope="module")
def notebook():
    with Kernel() as kernel:
        assert kernel.run(RUNTIME).error == ""
        yield kernel


@pytest.fixture(scope="module")
def plain_notebook():
    with Kernel() as kernel:
        assert kernel.run(PLAIN).error == ""
        yield kernel


@pytest.mark.parametrize("name", CASES)
def test_as_tasks(notebook, gate_in, tmp_path, name):
    case = CASES[name]
    skip_if_too_old(case)
    with renewed_after_a_failure(notebook):
        ran = play(case, notebook, "import jray", gate_in, tmp_path)
        check(case, ran)
        told = f"{ran[-1].error}\n{ran[-1].traceback}"  # notes are only in the traceback
        assert [text for text in expected(case.tells, ran) if text not in told] == [], told


@pytest.mark.parametrize("name", AS_CALLS)
def test_as_plain_calls(plain_notebook, gate_in, tmp_path, name):
    case = CASES[name]
    skip_if_too_old(case)
    check(case, play(case, plain_notebook, "from tests.support import plain_calls as jray", gate_in, tmp_path))


def test_the_tables_hold_what_was_asked_for():
    assert len(CASES) > 150
    assert len(AS_CALLS) > 100


def skip_if_too_old(case):
    if sys.version_info < case.since:
        pytest.skip(f"needs Python {'.'.join(map(str, case.since))}")


@contextmanager
def renewed_after_a_failure(kernel):
    """A case that failed may leave a busy kernel, and tasks that wait for a gate. The next one is not to suffer."""
    try:
        yield
    except BaseException:
        kernel.interrupt()
        assert kernel.run("%unload_ext jray").error == ""
        assert kernel.run(RUNTIME).error == ""
        raise


def play(case, kernel, imports, gate_in, folder):
    """Run the cells; all but the last must succeed."""
    begun = kernel.run(f"__import__('sys').modules['tests.support.inside'].begin({str(folder)!r})\n{imports}")
    assert begun.error == ""
    source = "\n".join(case.cells)
    gate = gate_in(kernel) if "%gate" in source else None
    ran = []
    for code in case.cells:
        assert not ran or ran[-1].error == "", ran[-1].traceback
        if code == "%gate arrive":
            gate.wait_for_arrival()
        elif code == "%gate open":
            gate.open()
        ran.append(kernel.run("None" if code.startswith("%gate") else code))
    return ran


def check(case, ran):
    last = ran[-1]
    if not case.raises:
        assert last.error == "", last.traceback
    assert [text for text in expected(case.raises, ran) if text not in last.error] == [], last
    assert [text for text in expected(case.traceback, ran) if text not in last.traceback] == [], last
    if case.shows:
        assert "\n".join([last.stdout, *last.displays]).strip() == "\n".join(case.shows).strip()
    for index, cell in enumerate(ran):
        told = cell.stderr if cell is last else cell.stdout + cell.stderr
        assert [text for text in case.notes.get(index, ()) if text not in told] == [], told
        said = [line for line in told.splitlines() if not line.startswith("remote: ")]
        assert index in case.notes or said == [], "what nobody asked for"


def expected(texts, ran):
    """With the prompts of this run."""
    for text in texts:
        for index, cell in enumerate(ran, start=1):
            text = text.replace(f"In[@{index}]", cell.label)  # noqa: PLW2901 - one prompt after the other
        yield text
