"""Completion as JupyterLab asks for it: the whole cell, and where the cursor is."""

from __future__ import annotations


def completed(kernel, text):
    """The cell after each of the completions, where the bar is, that the kernel offers."""
    position = text.index("|")
    code = text.replace("|", "")
    reply = kernel.client.complete(code, position, reply=True, timeout=30)["content"]
    assert reply["status"] == "ok"
    return [code[: reply["cursor_start"]] + match + code[reply["cursor_end"] :] for match in reply["matches"]]


def test_options_and_outputs_on_the_first_line_of_a_cell(kernel):
    assert completed(kernel, "%%remote --num-c|\nmodel = 1") == ["%%remote --num-cpus\nmodel = 1"]
    assert completed(kernel, "%%remote -o mo|\nmodel = 1\nmodes = 2") == [
        "%%remote -o model\nmodel = 1\nmodes = 2",
        "%%remote -o modes\nmodel = 1\nmodes = 2",
    ]
    assert "%%remote --get\nmodel = 1" in completed(kernel, "%%remote |\nmodel = 1")


def test_commands_and_names_of_references(kernel):
    kernel.run("bigref = jray.put(1)\nbignumber = 1")
    assert completed(kernel, "x = 1\n%jray sta|") == ["x = 1\n%jray status"]
    assert completed(kernel, "%jray memory big|") == ["%jray memory bigref"]


def test_other_completions_stay(kernel):
    kernel.run("bigref = jray.put(1)\nbignumber = 1")
    assert {"bigref", "bignumber"} <= set(completed(kernel, "big|"))
    assert "jray.put" in completed(kernel, "jray.pu|")
    assert "%%remote\nbignumber" in completed(kernel, "%%remote\nbignum|")
    assert "%jray" in completed(kernel, "%jra|")
