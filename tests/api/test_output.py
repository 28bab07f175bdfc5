"""What tasks print, in a script: with Ray's prefix, and before the result is there."""

from __future__ import annotations

import os
import sys

import pytest


@pytest.fixture
def shown(capsys):
    def read():
        out, err = capsys.readouterr()
        return strip(out), strip(err)

    return read


def strip(text):
    return [line.partition(") ")[2] for line in text.splitlines()]


def test_lines_carry_the_name_of_the_task_and_its_process(runtime, capsys):
    def speak():
        print("one\ntwo")
        return os.getpid()

    pid = runtime.get(runtime.remote(speak).remote())
    assert capsys.readouterr().out == f"(speak pid={pid}) one\n(speak pid={pid}) two\n"


def test_all_that_a_task_printed_is_there_before_its_result(runtime, shown):
    def speak(number):
        print("python", number)
        sys.stderr.write("error ü\n")
        os.write(1, b"descriptor\n")
        os.system("echo child")

    for number in range(5):
        runtime.get(runtime.remote(speak).remote(number))
        out, err = shown()
        assert sorted(out) == sorted([f"python {number}", "descriptor", "child"])
        assert err == ["error ü"]


def test_an_unfinished_line_is_shown_too_and_ends_before_another_task_speaks(runtime, capsys):
    def begin():
        print("unfinished", end="")
        return os.getpid()

    pid = runtime.get(runtime.remote(begin).remote())
    assert capsys.readouterr().out == f"(begin pid={pid}) unfinished"
    runtime.get(runtime.remote(lambda: print("next")).remote())
    assert capsys.readouterr().out.splitlines()[0] == ""


def test_prints_keep_their_order_and_none_is_lost_in_a_flood(runtime, shown):
    def flood():
        for number in range(100_000):
            print(number)

    runtime.get(runtime.remote(flood).remote())
    assert shown()[0] == [str(number) for number in range(100_000)]


def test_a_task_that_closes_its_stdout_harms_nobody(runtime):
    def rude():
        sys.stdout.close()
        os.close(1)
        return 1

    assert runtime.get(runtime.remote(rude).remote()) == 1
    assert runtime.get(runtime.remote(lambda: 2).remote()) == 2
