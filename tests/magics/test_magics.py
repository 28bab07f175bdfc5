"""The magics: every option of their lines, their typos, their help, and where they work. What cells do: tests/kernel."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

import jray
from jray.magics.control import COMMANDS, ControlMagics
from jray.magics.line import parse_resources
from jray.magics.status import Status
from jray.runtime.core.object_views import StoreView
from jray.runtime.core.views import FunctionView, SchedulerView
from tests.support.gates import Gate

# ---- options

WHAT_RUNS = "c = jray.get_runtime_context()\nfound = c.get_assigned_resources(), c.get_task_name()"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--num-cpus 2", {"CPU": 2.0}),
        ("--num-cpus=0.25", {"CPU": 0.25}),
        ("--num-cpus 0", {}),
        ("--num-gpus 1", {"CPU": 1.0, "GPU": 1.0}),
        ("--num-gpus=0.5 --num-cpus 0", {"GPU": 0.5}),
        ("--resources disk=1,net=0.5", {"CPU": 1.0, "disk": 1.0, "net": 0.5}),
        ('--resources {"disk":1}', {"CPU": 1.0, "disk": 1.0}),
        ("--resources disk=1, net=0.5", {"CPU": 1.0, "disk": 1.0, "net": 0.5}),
        ('--resources {"disk": 1, "net": 0.5}', {"CPU": 1.0, "disk": 1.0, "net": 0.5}),
        ('--resources \'{"disk": 1, "net": 0.5}\' --num-cpus 2', {"CPU": 2.0, "disk": 1.0, "net": 0.5}),
    ],
)
def test_a_cell_holds_what_its_line_says(the_shell, runtime_with, shell, line, expected):
    runtime_with(num_cpus=2, num_gpus=1, resources={"disk": 1, "net": 1})
    shell.run(f"%%remote {line} --name it\n{WHAT_RUNS}")
    assert shell.get("found") == (expected, "it")
    shell.run(f"ref = %remote {line} jray.get_runtime_context().get_assigned_resources()")
    assert shell.get("ref") == expected


def test_a_cell_is_called_by_its_prompt_unless_named(shell):
    shell.run(f"%%remote\n{WHAT_RUNS}")
    assert shell.get("found")[1] == f"In[{shell.shell.execution_count - 1}]"


@pytest.mark.parametrize("quote", ["'", '"'])
def test_a_name_in_quotes_may_have_spaces(shell, quote):
    shell.run(f"%%remote --name {quote}nightly fit{quote}\n{WHAT_RUNS}")
    assert shell.get("found")[1] == "nightly fit"


@pytest.mark.parametrize(
    "line", ["-o a,b", "-o a, b", "-o a , b", "-oa,b", "--outputs a,b", "--outputs=a,b", "-o b,a,b"]
)
def test_outputs_are_picked(shell, line):
    shell.run(f"%%remote {line}\na = 1\nb = 2\nc = 3")
    assert (shell.get("a"), shell.get("b"), "c" in shell) == (1, 2, False)


def test_get_binds_values(shell):
    shell.run("%%remote --get -o a\na = 1\nb = 2")
    assert (shell["a"], "b" in shell) == (1, False)


def test_braces_and_dollars_of_the_line_are_left_alone(shell):
    shell.run('disk = 1\nref = %remote {"a": "$disk", "b": f"{disk}"}')
    assert shell.get("ref") == {"a": "$disk", "b": "1"}


# ---- mistakes


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ("%%remote -o nope\na = 1", "The cell binds: a."),
        ("%%remote -o f\ndef f(): pass", "-o and --get were refused"),
        ("%%remote --get\ndef f(): pass", "call f.remote(...) in another cell"),
        ("%%remote --num-cpus many\na = 1", "invalid float value"),
        ("%%remote --num-cpus\na = 1", "refused. Argument --num-cpus: expected one argument. %%remote? tells"),
        ("%%remote --nmu-cpus 1\na = 1", "Did you mean --num-cpus?"),
        ("%%remote --num_cpus 1\na = 1", "Did you mean --num-cpus?"),
        ("%%remote --cpus 1\na = 1", "Did you mean --num-cpus?"),
        ("%%remote --ouput a\na = 1", "Did you mean --outputs?"),
        ("%%remote --num-cpu 1\na = 1", "Did you mean --num-cpus?"),
        ("%%remote --zzz 1\na = 1", "There is no such option. Use one of --get, --max-retries"),
        ("%%remote a = 1\nb = 1", "'a = 1' was refused. Only options may stand there."),
        ("%%remote -get\nb = 1", "'-get' was refused. Only options may stand there."),
        ("%%remote\nb = 1\n%time b", "Line 3 (`%time b`) was refused. It needs the notebook"),
        ("%%remote\n%%time\nb = 1", "Line 2 (`%%time`) was refused."),
        ("%%remote\n\n\nb = !ls", "Line 4 (`b = !ls`) was refused. It needs the notebook"),
        ("%%remote\nif 1:\n    b = await f()", "Line 3 (`b = await f()`) was refused. A task has no event loop"),
        ("%remote b = 3", "It is a statement, and %remote runs one expression."),
        ("%remote import os", "Write `name = %remote EXPR`"),
        ("%remote await f()", "A task has no event loop"),
        ("ref = %remote %time 1", "It needs the notebook"),
        ("%%remote --retries 1\na = 1", "Did you mean --max-retries?"),
        ("%%remote --num-cpus -1\na = 1", "An amount can't be negative"),
        ("%%remote --num-cpus -1\ndef f(): pass", "An amount can't be negative"),
        ("%%remote --num-gpus 1.5\na = 1", "no task can have parts of several"),
        ("%jray init --num-gpus many", "invalid float value: 'many'. %jray? tells more."),
        ("%%remote --max-retries -2\na = 1", "Give a number from -1"),
        ("%%remote --seed -1\na = 1", "Give a number from 0"),
        ("%%remote --seed new\na = 1", "invalid int value: 'new'"),
        ("%%remote --resources disk\na = 1", "--resources disk was refused"),
        ("%%remote --resources CPU=1\na = 1", "CPU has an option of its own"),
        ("%%remote\n# nothing", "nothing to run"),
        ("%remote", "was given nothing to run"),
        ("%remote --num-cpus 2", "was given nothing to run"),
        ("%remote -o a 1", "-o and --get were refused"),
        ("%remote --get 1", "jray.get(ref)"),
        ("%jray stat", "Did you mean %jray status?"),
        ("%jray frobnicate", "Use one of: dashboard, status, memory, init, resize, restart, stop."),
        ("%jray init", "%jray stop ends it"),
        ("%jray init --num-cpus few", "invalid float value: 'few'. %jray? tells more."),
        ("%jray init --num-cpu 2", "Did you mean --num-cpus?"),
        ("%jray resize", "Write %jray resize --num-cpus 4."),
        ("%jray resize 4", "'4' was refused. Only options may stand there."),
        ("%jray resize --num-cpus -1", "An amount can't be negative"),
        ("%jray resize --num-cpus few", "invalid float value: 'few'. %jray? tells more."),
        ("%jray resize --num-gpus 1", "--num-gpus was refused"),
        ("%jray restart all", "'all' was refused. Only options may stand there."),
        ("%jray restart --nou", "Did you mean --now?"),
        ("%jray init 2", "'2' was refused. Only options may stand there."),
        ("%jray status now", "takes no arguments"),
        ("%jray stop it", "Write %jray stop."),
    ],
)
def test_a_mistake_is_told_in_a_line_and_nothing_is_lost(shell, code, says):
    complaint = shell.complaint(code)
    assert complaint.startswith("UsageError: ")
    assert says in complaint
    assert complaint.count("\n") == 1
    assert "a" not in shell
    assert jray.get(jray.put(1)) == 1


@pytest.mark.parametrize(
    ("text", "amounts"),
    [
        ("disk=1", {"disk": 1.0}),
        ("disk=1,link=0.5", {"disk": 1.0, "link": 0.5}),
        ('{"disk": 1}', {"disk": 1.0}),
        ("", {}),
    ],
)
def test_resources_are_written_as_pairs_or_as_json(text, amounts):
    assert parse_resources(text) == amounts


# ---- help


def test_each_command_of_the_table_has_its_method():
    assert all(callable(getattr(ControlMagics, f"_{name}")) for name in COMMANDS)


@pytest.mark.parametrize(
    ("magic", "words"),
    [
        (
            "%%remote",
            [
                "--num-cpus N",
                "--num-gpus N",
                "-o NAMES",
                "--get",
                "--resources",
                "--max-retries N",
                "--name NAME",
                "-o model\n",
                "prints `remote: score`",
                "score.remote(3)",
                "disk=1,link=0.5",
                "ref = %remote --num-cpus 2 score(5) + 1",
            ],
        ),
        (
            "%jray",
            [
                *(f"%jray {command.name} {command.usage}".strip() for command in COMMANDS.values()),
                *(command.sentence for command in COMMANDS.values()),
                "%jray init --num-cpus 4 --resources disk=1,link=2",
            ],
        ),
    ],
)
def test_help_is_complete_with_examples(shell, magic, words):
    out = shell.run(f"{magic}?")
    for text in (out, shell.shell.object_inspect_text(magic)):
        for word in words:
            assert word in text


def test_the_examples_of_the_help_run(shell):
    shell.run("def fit(*a):\n    return Model()\nclass Model:\n    def score(self, *a): return 2")
    shell.run("X, y, Z = 1, 2, 3")
    text = shell.shell.object_inspect_text("%%remote")
    blocks = re.findall(r"^    %%remote.*?(?=\n\n)", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 3
    for block in blocks:
        shell.run("\n".join(line.removeprefix("    ") for line in block.splitlines()))
    shell.run("ref = %remote --num-cpus 2 score(5) + 1")
    assert (shell.get("best"), shell.get("ref")) == (2, 3)


# ---- %jray


def test_status_is_plain_in_a_terminal_and_a_table_in_a_notebook(shell):
    shell.run("%%remote --name count\na = 1")
    shell.run("%%remote --name <b>\nb = 1 / 0")
    shell.run("_ = jray.wait([a, b], num_returns=2)")
    status = shell.shell.run_line_magic("jray", "status")
    first, store, workers, *rows = repr(status).splitlines()
    assert first == "in use: 0 of 2 CPU"
    assert re.fullmatch(r"objects: \d+ there, 0 to come; shared memory: 0\.0 MiB of [\d.]+ GiB", store)
    assert re.fullmatch(r"workers: \d+, 0 busy: w\d+ \(pid \d+\).*", workers)
    assert rows == ["  count  1 finished", "  <b>    1 failed"]
    html = status._repr_html_()
    assert "in use: 0 of 2 CPU<br>" in html
    assert "<tr><td style='text-align:left'>count</td><td>1</td><td></td></tr>" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html


def test_status_tells_what_runs_and_what_waits(shell, tmp_path):
    from tests.support.gates import Gate

    shell["gate"] = Gate(tmp_path)
    shell.run("%%remote --num-cpus 2 --name runs\n_ = gate.pass_through()\na = 1")
    shell["gate"].wait_for_arrival()
    shell.run("%%remote --name stands_in_line\nb = 1")
    shell.run("%%remote --name needs_a\nc = a")
    lines = repr(shell.shell.run_line_magic("jray", "status")).splitlines()
    assert lines[0] == "in use: 2 of 2 CPU"
    assert lines[-3:] == ["  runs            1 running", "  stands_in_line  1 queued", "  needs_a         1 waiting"]
    shell["gate"].open()
    assert shell.get("c") == 1


def test_status_stays_short_in_a_long_session():
    names = [FunctionView(name=f"In[{number}]", counts={"finished": 2, "failed": 1}) for number in range(100)]
    names[3] = FunctionView(name="In[3]", counts={"finished": 1, "running": 1})
    view = SchedulerView(
        total={"CPU": 2}, available={}, functions=tuple(names), workers=1, busy_workers=1, objects=0, pending_objects=0
    )
    pids = {1: 0} | {number: 70 + number for number in range(2, 101)}
    rows = repr(Status(view, StoreView(limit=1, read=0, idle=0, on_disk=0), pids, shows_limit=False)).splitlines()[2:]
    assert rows[0].startswith("workers: 1, 1 busy: w1 (starting), w2 (pid 72), ")
    assert rows[0].endswith("w8 (pid 78), and 92 more")
    assert [row.split() for row in rows[1:4]] == [
        ["(80", "more", "names)", "160", "finished,", "80", "failed"],
        ["In[3]", "1", "running,", "1", "finished"],
        ["In[81]", "2", "finished,", "1", "failed"],
    ]
    assert len(rows) == 22


def test_status_does_not_start_jray(shell):
    assert shell.run("%jray stop") == "jray stopped\n"
    assert "jray is not running; the first use starts it, or %jray init" in shell.run("%jray status")
    assert not jray.is_initialized()
    assert shell.run("%jray stop") == "jray was not running\n"


def test_init_starts_with_what_is_asked(shell):
    shell.run("%jray stop")
    assert shell.run("%jray init --num-cpus 1 --resources disk=2") == "jray runtime with 1 CPU, 2 disk\n"
    assert jray.cluster_resources() == {"CPU": 1.0, "disk": 2.0}


def test_resize_changes_the_cpus_of_what_runs(shell):
    assert shell.run("%jray resize --num-cpus 3") == "jray runtime with 3 CPU\n"
    assert jray.cluster_resources() == {"CPU": 3.0}


def test_restart_gives_new_workers_and_leaves_values(shell):
    shell.run("%%remote\nimport os\na, pid = 1, os.getpid()")
    pid = shell.get("pid")
    assert shell.run("%jray restart") == "jray restarts its workers\n"
    shell.run("%%remote\nimport os\nb, pid = a + 1, os.getpid()")
    assert shell.get("b") == 2
    assert shell.get("pid") != pid


def test_restart_says_who_is_waited_for(shell, tmp_path):
    gate = Gate(tmp_path)
    ref = jray.remote(gate.pass_through).remote()
    gate.wait_for_arrival()
    assert shell.run("%jray restart").endswith("workers; 1 busy worker ends when the task is done\n")
    assert shell.run("%jray restart --now") == "jray restarts its workers\n"
    gate.let_through()
    assert jray.get(ref) is None
    shell.run("%jray stop")
    assert shell.run("%jray restart") == "jray is not running; the first use starts it, or %jray init\n"


def test_a_cell_sees_its_gpus_and_no_others(shell, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    shell.run("%jray stop")
    assert shell.run("%jray init --num-cpus 2 --num-gpus 2") == "jray runtime with 2 CPU, 2 GPU\n"
    shell.run("%%remote --num-gpus 1\nimport os\nseen = jray.get_gpu_ids(), os.environ['CUDA_VISIBLE_DEVICES']")
    assert shell.get("seen") == ([0], "0")
    shell.run("%%remote --num-gpus 1\ndef ids():\n    return jray.get_gpu_ids()")
    shell.run("found = ids.options(num_gpus=2).remote()")
    assert shell.get("found") == [0, 1]
    assert "in use: 0 of 2 CPU, 0 of 2 GPU" in shell.run("%jray status")


def test_values_outlive_the_runtime_and_references_say_that_they_do_not(shell):
    shell.run("import numpy as np\n%remote np.arange(100_000)")
    value = shell.get("_")
    ref = shell["_"]
    shell.run("%jray stop")
    assert value.sum() == 4_999_950_000
    with pytest.raises(jray.exceptions.ObjectLostError, match="belongs to a runtime that was shut down"):
        jray.get(ref)


# ---- where it works


def run_program(*command):
    environment = {name: value for name, value in os.environ.items() if name != "JRAY_NONINTERACTIVE"}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)


NO_HISTORY = "--HistoryManager.enabled=False"


def test_it_works_in_terminal_ipython(tmp_path):
    program = tmp_path / "session.ipy"
    program.write_text(
        "%load_ext jray\nimport jray\nref = %remote sum(range(10))\n"
        "get_ipython().run_cell('%%remote\\nprint(\"in the task\")\\nx = 1')\n"
        "print('terminal', jray.get(ref), jray.get(x))\n%jray stop\n"
    )
    ended = run_program(sys.executable, "-m", "IPython", NO_HISTORY, str(program))
    assert sorted(ended.stdout.splitlines()) == ["in the task", "jray stopped", "terminal 45 1"], ended.stderr
    assert ended.stderr == ""


def test_it_works_in_a_command_for_ipython_and_ends_with_it():
    code = "%load_ext jray\nimport time\nref = %remote time.sleep(600)\n%jray status"
    ended = run_program(sys.executable, "-m", "IPython", NO_HISTORY, "-c", code)
    assert "in use: 1 of " in ended.stdout
    assert ended.returncode == 0


def test_it_works_in_a_script(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import jray as ray\n@ray.remote\ndef f(x):\n    print('in the task')\n    return helper(x)\n"
        "def helper(x): return x + 1\nprint(ray.get(f.remote(1)))\n"
    )
    ended = run_program(sys.executable, str(script))
    assert re.fullmatch(r"\(f pid=\d+\) in the task\n2\n", ended.stdout), ended.stderr


def test_a_cell_may_ask_for_arrays_that_it_cannot_write(shell):
    shell.run("import jray, numpy as np\nx = jray.put(np.zeros(100_000))")
    shell.run("%%remote --read-only\ny = x.flags.writeable")
    assert shell.run("print(jray.get(y))") == "False\n"
