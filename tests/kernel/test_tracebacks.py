"""What a traceback shows: the user's code and what led into jray, nothing of jray itself, unless it may be jray's bug."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import sys
import traceback

import pytest

import jray
from jray.exceptions import InternalError
from jray.kernel.tracebacks import may_be_a_bug, trim

JRAYS = {"__name__": "jray.somewhere", "__file__": jray.__file__}  # where code made of text belongs to jray


def by_jray(source):
    """A function `act(call)` of jray's."""
    namespace = dict(JRAYS)
    exec(f"import functools\ndef act(call=None, error=None):\n    {source}", namespace)
    return namespace["act"]


def raised_by(function, *args):
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it raises
        function(*args)
    caught.value.__traceback__ = caught.value.__traceback__.tb_next  # without this helper
    return caught.value


def functions_of(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def trimmed(error):
    trim(error)
    return functions_of(error)


CALLS = by_jray("return call()")
RAISES = by_jray("raise error")


def user_fails():
    return 1 / 0


def user(function, *args):
    return function(*args)


# ---- which frames stay


def test_jray_is_left_out_below_the_user():
    assert trimmed(raised_by(user, RAISES, None, ValueError())) == ["user"]


def test_code_of_the_user_that_jray_calls_stays():
    assert trimmed(raised_by(user, CALLS, user_fails)) == ["user", "user_fails"]
    assert trimmed(raised_by(user, CALLS, functools.partial(user, RAISES, None, ValueError()))) == ["user", "user"]


def test_a_library_that_jray_calls_is_left_out():
    assert trimmed(raised_by(user, CALLS, functools.partial(json.loads, "{"))) == ["user"]


def test_a_library_that_calls_jray_stays_with_what_it_was_called_by():
    dumps = functools.partial(json.dumps, object(), default=lambda _: RAISES(None, ValueError()))
    assert trimmed(raised_by(user, dumps))[:2] == ["user", "dumps"]
    raising = functools.partial(RAISES, None, ValueError())
    shown = trimmed(raised_by(user, functools.partial(functools.singledispatch(lambda _, call: call()), 1, raising)))
    assert shown == ["user", "wrapper", "<lambda>"]


def test_a_library_alone_is_shown_as_ever():
    error = raised_by(user, json.loads, "{")
    before = error.__traceback__
    assert trimmed(error) == ["user", "loads", "decode", "raw_decode"]
    assert error.__traceback__ is before


def test_a_library_that_looks_into_a_reference_is_left_out(runtime):
    import pandas as pd

    assert trimmed(raised_by(user, pd.DataFrame, runtime.put(1))) == ["user"]


def test_lines_are_those_of_the_error_when_it_passed():
    def two_lines():
        RAISES(None, ValueError())
        return 1

    error = raised_by(two_lines)
    line = error.__traceback__.tb_lineno
    trim(error)
    assert error.__traceback__.tb_lineno == line == two_lines.__code__.co_firstlineno + 1


# ---- what an error came from


def test_what_an_error_came_from_is_trimmed_too():
    def again():
        try:
            CALLS(user_fails)
        except ZeroDivisionError as error:
            RAISES(None, ValueError()) if error.args else None
            raise

    error = raised_by(again)
    trim(error)
    assert functions_of(error.__context__) == ["again", "user_fails"]


@pytest.mark.parametrize("source", ["raise error from inner", "raise error"])
def test_what_happened_inside_jray_only_is_not_told(source):
    act = by_jray(f"try: int('no')\n    except ValueError as inner: {source}")
    error = raised_by(user, act, None, TypeError())
    assert isinstance(error.__context__, ValueError)
    trim(error)
    assert "ValueError" not in "".join(traceback.format_exception(error))


def test_a_cause_that_was_never_raised_is_told():
    def fails():
        raise KeyError(1) from ValueError("why")

    error = raised_by(fails)
    trim(error)
    assert "ValueError: why" in "".join(traceback.format_exception(error))


# ---- jray's bugs


@pytest.mark.parametrize(
    ("source", "error", "is_one"),
    [
        ("raise error", ValueError(), False),
        ("raise error", InternalError(), True),
        ("raise error", AssertionError(), True),
        ("assert call", None, True),
        ("{}['key']", None, True),
        ("call.attribute", None, True),
        ("1 / 0", None, True),
        ("import signal; signal.raise_signal(signal.SIGINT)", None, False),
        ("compile('1 +', 'a cell', 'exec')", None, False),
    ],
)
def test_what_jray_did_not_mean_to_raise_may_be_a_bug(source, error, is_one):
    assert may_be_a_bug(raised_by(user, by_jray(source), None, error)) is is_one


def test_what_users_and_libraries_raise_is_no_bug_of_jray():
    assert not may_be_a_bug(raised_by(user, CALLS, user_fails))
    assert not may_be_a_bug(raised_by(user, CALLS, functools.partial(json.loads, "{")))


def test_a_wrong_call_of_the_users_function_is_no_bug_of_jray(shell):
    shell.run("%%remote\ndef f(x): return x")
    assert not may_be_a_bug(raised_by(shell["f"], 1, 2))


# ---- as shown


@pytest.fixture
def shown(shell):
    """`shown(cell)`: what the user sees of its error."""
    shell.run("%xmode Context")
    yield lambda cell: shell.complaint(cell)
    shell.run("%xmode Minimal")


WRONG = "jray.get(5)"


def frames(text):
    return re.findall(r"^(?:File|Cell) .*", text, re.MULTILINE)


def test_the_last_frame_is_the_cell(shell, shown):
    text = shown(WRONG)
    assert frames(text) == [f"Cell In[{shell.shell.execution_count - 1}], line 1"]
    assert f"----> 1 {WRONG}" in text


def test_under_other_magics_too(shown):
    assert not re.search(r"File .*jray", shown(f"%time {WRONG}"))


def test_code_that_a_cell_of_definitions_runs_here_is_shown(shell, shown):
    text = shown("%%remote\n@nowhere\ndef f(): pass")
    cell = f"Cell In[{shell.shell.execution_count - 1}], line"
    assert frames(text) == [f"{cell} 1", f"{cell} 2"]


@pytest.mark.parametrize("magic", ["%%remote\n1 +", "%remote f("])
def test_a_syntax_error_in_a_remote_cell_looks_like_any_other(shell, shown, magic):
    lines = shown(magic).splitlines()
    assert lines[0] == f"  Cell In[{shell.shell.execution_count - 1}], line {len(magic.splitlines())}"
    assert lines[3].startswith("SyntaxError: ")


def test_the_ways_of_other_errors_stay(shown):
    assert shown("1 +").splitlines()[0].startswith("  Cell In[")
    assert shown("%jray stat").splitlines() == [
        "UsageError: %jray stat was refused. There is no such command. Did you mean %jray status?"
    ]


def test_verbose_shows_everything(shell, shown):
    shell.run("%xmode Verbose")
    assert any("jray/api.py" in frame for frame in frames(shown(WRONG)))


def test_a_bug_of_jray_is_shown_whole(shell, shown, monkeypatch):
    monkeypatch.setattr("jray.api._deadline", None)
    assert any("jray/api.py" in frame for frame in frames(shown(WRONG)))


def test_the_last_traceback_is_the_one_that_was_shown(shell, shown):
    shown(WRONG)
    last = sys.last_value
    assert sys.last_traceback is last.__traceback__
    assert [frame.name for frame in traceback.extract_tb(last.__traceback__)] == ["run_code", "<module>"]
    assert frames(shell.run("%tb"))[-1].startswith("Cell In[")


def test_a_function_that_is_not_remote_is_told_how_to_become_it(shown):
    text = shown("def plain(): pass\nplain.remote()")
    assert text.endswith(
        "AttributeError: 'function' object has no attribute 'remote'\n"
        "plain is an ordinary function. Write @jray.remote above it, or put it into a %%remote cell.\n"
    )


def test_an_error_that_takes_no_note_is_shown_all_the_same(shell, shown):
    shell.run("def plain(): pass\nerror = AttributeError('odd one', name='remote', obj=plain)\nerror.__notes__ = 3")
    assert "odd one" in shown("raise error")


def test_a_handler_of_the_users_own_is_asked_as_before(shell, shown):
    asked = []
    shell.shell.set_custom_exc((ValueError,), lambda shell, *error, tb_offset=None: asked.append(error[0]))
    shell.complaint(WRONG)
    shell.shell.set_custom_exc((), None)
    assert asked == [ValueError]


def test_unload_puts_back_what_was_there(shell, shown):
    shell.run("%unload_ext jray")
    assert "showtraceback" not in vars(shell.shell)
    assert any("jray/api.py" in frame for frame in frames(shown(WRONG)))
    shell.run("%load_ext jray")


def test_unload_leaves_what_others_put_in_front(shell, shown):
    ours = shell.shell.showtraceback
    shell.shell.showtraceback = lambda *args, **kwargs: ours(*args, **kwargs)
    try:
        shell.run("%unload_ext jray")
        assert any("jray/api.py" in frame for frame in frames(shown(WRONG)))
    finally:
        del shell.shell.__dict__["showtraceback"]
        shell.run("%load_ext jray")


def test_it_works_in_terminal_ipython():
    code = "%load_ext jray\nimport jray\njray.get(5)"
    command = [sys.executable, "-m", "IPython", "--HistoryManager.enabled=False", "--colors=nocolor", "-c", code]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "----> 3 jray.get(5)" in ended.stdout
    assert "jray/api.py" not in ended.stdout + ended.stderr


def test_the_debugger_starts_in_the_cell(tmp_path):
    session = tmp_path / "session.ipy"
    session.write_text("%load_ext jray\nimport jray\nget_ipython().run_cell('here = 7; jray.get(5)')\n%debug\n")
    command = [sys.executable, "-m", "IPython", "--HistoryManager.enabled=False", "--colors=nocolor", str(session)]
    ended = subprocess.run(command, input="p here + 1\nq\n", capture_output=True, text=True, check=False, timeout=60)
    assert "8" in ended.stdout.split("ipdb>")[1], ended.stdout + ended.stderr
