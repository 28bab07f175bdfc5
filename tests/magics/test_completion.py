"""Tab on the lines of the magics. How a front end asks: tests/e2e/test_completion.py."""

from __future__ import annotations

import pytest
from IPython.core.completer import provisionalcompleter

from jray.magics.completion import Completions
from jray.magics.control import COMMANDS
from jray.magics.remote import OPTIONS


@pytest.fixture
def offered(shell):
    """`offered("%jray st|")`: what jray offers where the bar is, as the text would be with it."""
    shell.run("big = jray.put(1); parts = [jray.put(2)]; number = 3\n@jray.remote\ndef score(x): return x")

    def offer(text):
        position = text.index("|")
        text = text.replace("|", "")
        with provisionalcompleter():
            found = list(shell.shell.Completer.completions(text, position))
        return [text[: one.start] + one.text for one in found if one.type == "jray"]

    return offer


def test_the_commands_of_jray(offered):
    assert offered("%jray |") == [f"%jray {name}" for name in sorted(COMMANDS)]
    assert offered("%jray st|") == ["%jray status", "%jray stop"]
    assert offered("x = 1\nshown = %jray mem|") == ["x = 1\nshown = %jray memory"]


def test_the_options_of_a_command_as_its_usage_names_them(offered):
    names = ("num-cpus", "num-gpus", "resources", "seed")
    assert offered("%jray init |") == [f"%jray init --{name}" for name in names]
    assert offered("%jray init --num-cpus 2 --num|") == ["%jray init --num-cpus 2 --num-gpus"]
    assert offered("%jray status |") == offered("%jray nothing |") == []


def test_names_of_references_where_a_command_takes_a_name(offered):
    assert offered("%jray memory |") == ["%jray memory --all", "%jray memory big", "%jray memory parts"]
    assert offered("%jray memory b|") == ["%jray memory big"]


def test_the_options_of_a_remote_cell_as_the_parser_has_them(offered):
    assert sorted(offered("%%remote |\nx = 1")) == sorted(f"%%remote {name}" for name in OPTIONS)
    assert offered("%%remote --num-|") == ["%%remote --num-cpus", "%%remote --num-gpus"]
    assert offered("%%remote --get --g|") == []
    assert offered("%%remote --num-cpus |") == []


@pytest.mark.parametrize("option", ["-o ", "--outputs ", "--outputs=", "-o model,", "--outputs model, "])
def test_the_names_that_a_cell_binds_or_changes_behind_outputs(offered, option):
    cell = "\nimport math\nmodel = math.pi\nfor step in range(3):\n    table['x'] = 1"
    names = ["math", "model", "step", "table"]
    assert offered(f"%%remote {option}|{cell}") == [f"%%remote {option}{name}" for name in names]
    assert offered(f"%%remote {option}mo|{cell}") == [f"%%remote {option}model"]


def test_a_cell_that_is_half_written_or_only_defines_has_no_outputs(offered):
    assert offered("%%remote -o |\nmodel = (") == offered("%%remote -o |\ndef f(): pass") == []


def test_custom_resources_of_the_runtime(offered, runtime_with):
    runtime_with(num_cpus=2, resources={"disk": 1, "link": 2})
    assert offered("%%remote --resources |\nx = 1") == ["%%remote --resources disk=", "%%remote --resources link="]
    assert offered("%%remote --resources disk=1,l|\nx = 1") == ["%%remote --resources disk=1,link="]


def test_an_expression_has_the_options_of_one_result_and_remote_functions(offered):
    found = offered("%remote |")
    assert {"%remote --num-cpus", "%remote score"} <= set(found)
    assert not {"%remote -o", "%remote --outputs", "%remote --get"} & set(found)
    assert offered("ref = %remote --num-cpus 2 sc|") == ["ref = %remote --num-cpus 2 score"]


@pytest.mark.parametrize(
    "text", ["|", "x = |", "%|", "%jra|", "%time |", "%%remot|", "%%time\n%%remote |", "# %jray |"]
)
def test_elsewhere_it_offers_nothing(offered, text):
    assert offered(text) == []


def test_elsewhere_it_hides_nothing(shell, offered):
    def others(text):
        with provisionalcompleter():
            return [one.text for one in shell.shell.Completer.completions(text, len(text))]

    matcher = shell.shell.Completer.custom_matchers
    texts = ["numb", "number.", "%jra", "%%rem", "import jso", "%remote numb", "'a'.star"]
    before = [others(text) for text in texts]
    kept, matcher[:] = list(matcher), []
    assert before == [others(text) for text in texts]
    matcher[:] = kept


def test_unload_leaves_no_matcher_behind(shell):
    shell.run("%unload_ext jray")
    assert not any(
        isinstance(getattr(one, "__self__", None), Completions) for one in shell.shell.Completer.custom_matchers
    )
    shell.run("%load_ext jray")
