"""The twenty likeliest mistakes of somebody who knows Ray, Dask or joblib and tries jray for the first time.

Each in a real kernel: the whole message as it is shown, and that the traceback ends in the user's own cell. What
follows a mistake's name are other forms of the same one.
"""
# ruff: noqa: ISC004 -- sentences over two lines are what the tables are made of

from __future__ import annotations

import re

import pytest

SETTING = """
import threading
import numpy as np, pandas as pd
@jray.remote
def f(x=0): return x
def plain(x): return x
class Plain: pass
b = jray.put(1)
refs = [jray.put(1), jray.put(2)]
"""
A_REFERENCE = "is a reference to a result, not the result."

MISTAKES = {
    # 1 A remote function is called like any other.
    "call": (
        "f(1)",
        "TypeError: Remote functions cannot be called directly. Instead of running 'f()', try 'f.remote()': "
        "it returns a reference, and jray.get gives its value.",
    ),
    "call what remote has made": (
        "jray.remote(plain)(1)",
        "TypeError: Remote functions cannot be called directly. Instead of running 'plain()', try 'plain.remote()': "
        "it returns a reference, and jray.get gives its value.",
    ),
    # 2 jray.get is forgotten, and the reference is calculated with.
    "calculate": ("b + 1", f"TypeError: `b` {A_REFERENCE} `b + 1` needs the value. jray.get(b) gives the value."),
    "sum": (
        "sum(refs)",
        f"TypeError: `refs[0]` {A_REFERENCE} `0 + refs[0]` needs the value. jray.get(refs[0]) gives the value.",
    ),
    "sum of a call": (
        "1 + f.remote(1)",
        f"TypeError: This {A_REFERENCE} `1 + this` needs the value. jray.get(this) gives the value.",
    ),
    # 3 ... or looked into.
    "look into": (
        "b['price']",
        f"TypeError: `b` {A_REFERENCE} `b['price']` needs the value. jray.get(b) gives the value.",
    ),
    "length": ("len(b)", f"TypeError: `b` {A_REFERENCE} `len(b)` needs the value. jray.get(b) gives the value."),
    "unpack": ("x, y = b", f"TypeError: `b` {A_REFERENCE} `for ... in b` needs the value. jray.get(b) gives the value."),
    "attribute": (
        "b.mean()",
        f"AttributeError: `b` {A_REFERENCE} `b.mean` needs the value. jray.get(b) gives the value.",
    ),
    "format": (
        "print(f'{b:.2f}')",
        f"TypeError: `b` {A_REFERENCE} `b in a format` needs the value. jray.get(b) gives the value.",
    ),
    # 4 ... or given to numpy, pandas or a plot.
    "array": (
        "np.mean(refs)",
        f"TypeError: `refs[0]` {A_REFERENCE} `np.asarray(refs[0])` needs the value. "
        "jray.get(refs[0]) gives the value.",
    ),
    "ufunc": (
        "np.ones(3) * b",
        f"TypeError: `b` {A_REFERENCE} `multiply(..., b)` needs the value. jray.get(b) gives the value.",
    ),
    "table": (
        "pd.DataFrame(b)",
        f"TypeError: `b` {A_REFERENCE} `np.asarray(b)` needs the value. jray.get(b) gives the value.",
    ),
    # 5 A reference is taken for a future, or for something of Dask's.
    "future": ("b.result()", f"AttributeError: `b` {A_REFERENCE} It has no `result`. jray.get(b) waits for the value."),
    "dask": ("b.compute()", f"AttributeError: `b` {A_REFERENCE} It has no `compute`. jray.get(b) waits for the value."),
    # 6 get is given a tuple, a generator, a list of lists.
    "get a tuple": (
        "jray.get((b, b))",
        "ValueError: Invalid type of object refs: get was given a tuple. It takes an ObjectRef or a list of them. "
        "Write jray.get(list(refs)).",
    ),
    "get a generator": (
        "jray.get(f.remote(i) for i in range(3))",
        "ValueError: Invalid type of object refs: get was given a generator. It takes an ObjectRef or a list of them. "
        "Write jray.get(list(refs)).",
    ),
    "get a dict": (
        "jray.get({'b': b})",
        "ValueError: Invalid type of object refs: get was given a dict. It takes an ObjectRef or a list of them. "
        "Write jray.get(list(refs.values())).",
    ),
    "get a list of lists": (
        "jray.get([[b], [b]])",
        "TypeError: get was given a list at position 0 of its list. Only ObjectRefs can be waited for. "
        "Make it one flat list, or call it for each part: [jray.get(part) for part in parts].",
    ),
    # 7 get is given a value, or the function.
    "get a value": (
        "jray.get(5)",
        "ValueError: Invalid type of object refs: get was given an int. It takes an ObjectRef or a list of them. "
        "Call it with what .remote() or put returned; a value is there already.",
    ),
    "get a function": (
        "jray.get(f)",
        "ValueError: Invalid type of object refs: get was given the function f. It takes an ObjectRef or a list of "
        "them. Write jray.get(f.remote(...)).",
    ),
    "get without a call": (
        "jray.get(f.remote)",
        "ValueError: Invalid type of object refs: get was given f.remote, which was not called. It takes an ObjectRef "
        "or a list of them. Write jray.get(f.remote(...)).",
    ),
    # 8 wait is given one reference, put a reference.
    "wait for one": ("jray.wait(b)", "TypeError: wait was given an ObjectRef. It takes a list of ObjectRefs. Write jray.wait([ref])."),
    "put a reference": (
        "jray.put(b)",
        "TypeError: put was given an ObjectRef. What it refers to is stored already. Use the reference itself.",
    ),
    # 9 Functions are submitted as to an executor, a client, a pool.
    "submit": (
        "f.submit(1)",
        "AttributeError: f is a remote function of jray, and has no submit. "
        "f.remote(...) starts it in a worker, and returns a reference for jray.get.",
    ),
    "starmap": (
        "f.starmap([(1,)])",
        "AttributeError: f is a remote function of jray, and has no starmap. "
        "Write refs = [f.remote(x) for x in xs], then jray.get(refs).",
    ),
    # 10 joblib: Parallel(n_jobs=2)(delayed(f)(i) for i in range(10)).
    "joblib": (
        "jray.Parallel(n_jobs=2)(jray.delayed(plain)(i) for i in range(10))",
        "AttributeError: module 'jray' has no attribute 'Parallel'. "
        "Write @jray.remote above a function f, start it with ref = f.remote(x), and wait with jray.get(ref).",
    ),
    # 11 Dask: a client, its number of workers, compute.
    "client": (
        "client = jray.Client(n_workers=4)",
        "AttributeError: module 'jray' has no attribute 'Client'. "
        "jray.init(num_cpus=4) starts worker processes; without it, the first use does.",
    ),
    "compute": (
        "jray.compute(b)",
        "AttributeError: module 'jray' has no attribute 'compute'. "
        "jray.get(refs) waits for the values of a list of references.",
    ),
    # 12 init with the words of others, twice, for a cluster.
    "words of others": (
        "jray.init(n_workers=4)",
        "TypeError: jray.init(n_workers=...) was refused. jray has no such argument; of Ray's it has num_cpus, "
        "num_gpus, resources, object_store_memory, object_spilling_directory, object_spilling_limit, read_only, seed, "
        "ignore_reinit_error. Did you mean num_cpus?",
    ),
    "init twice": (
        "jray.init()",
        "RuntimeError: jray.init() was refused. A runtime is running in this process already. Call jray.shutdown() "
        "first, or pass ignore_reinit_error=True to go on with the one that runs.",
    ),
    "cluster": (
        "jray.init(address='auto')",
        "ValueError: jray.init('auto') was refused. jray's runtime is for one machine and can't join a cluster yet. "
        "Leave the address out; jray.init(num_cpus=4) says how many tasks run at once.",
    ),
    # 13 Options with the words of others.
    "option of joblib": (
        "f.options(n_jobs=4)",
        "ValueError: The option 'n_jobs' was refused. jray has no option of this name. How many run at once is set by "
        "jray.init(num_cpus=...); num_cpus of a task is what it takes itself.",
    ),
    "option of others": (
        "@jray.remote(cores=2)\ndef g(): pass",
        "ValueError: The option 'cores' was refused. jray has no option of this name. Did you mean 'num_cpus'?",
    ),
    "option of Ray": (
        "f.options(runtime_env={})",
        "ValueError: The option 'runtime_env' was refused. It is an option of Ray that jray does not have yet. "
        "Leave it out; jray knows max_retries, name, num_cpus, num_gpus, num_returns, read_only, resources, seed.",
    ),
    # 14 What Ray has and jray has not yet: actors, cancel, async functions.
    "actor": (
        "@jray.remote\nclass Counter: pass",
        "TypeError: Counter was not made remote. It is a class, and actors are not there yet. "
        "Make its methods functions.",
    ),
    "cancel": (
        "jray.cancel(b)",
        "AttributeError: module 'jray' has no attribute 'cancel'. It is a name of Ray's that jray does not have yet. "
        "docs/ray.md lists what there is.",
    ),
    "async": (
        "@jray.remote\nasync def g(): pass",
        "ValueError: 'async def' should not be used for remote tasks: g was not made remote. A task runs in a process "
        "of its own and needs no event loop. Use 'def', and await its ref where you call it.",
    ),
    # 15 The decorator is forgotten.
    "no decorator": (
        "plain.remote(1)",
        "AttributeError: 'function' object has no attribute 'remote'\n"
        "plain is an ordinary function. Write @jray.remote above it, or put it into a %%remote cell.",
    ),
    "no actor": (
        "Plain.remote()",
        "AttributeError: type object 'Plain' has no attribute 'remote'\n"
        "Plain is an ordinary class, and actors are not there yet. Make its methods remote functions.",
    ),
    # 16 The cell was a task, because something in it computes.
    "task cell": (
        "%%remote\ndef h(x): return x\nstart = max(1, 2)\n#---\nh.remote(1)",
        "AttributeError: h.remote was refused: h is an ordinary function. The %%remote cell that defines it is no cell "
        "of definitions: line 3 (`start = max(1, 2)`) is computed, so the cell runs as one task. Move that line to "
        "another cell, or write @jray.remote above the function.",
    ),
    # 17 What can't travel is given to a task.
    "lock": (
        "f.remote({'lock': threading.Lock()})",
        'NotPicklable: An argument of f can\'t be sent to a worker: x["lock"] is a lock. It works between the threads of '
        "one process, and tasks run in others. Make it in the task that needs it, or leave it out: tasks share no memory.",
    ),
    "open file": (
        "f.remote(x=open('/dev/null', 'w'))",
        "NotPicklable: An argument of f can't be sent to a worker: x is a file object (_io.TextIOWrapper). It is open in "
        "this process only. Open it in the task that needs it: give it the name.",
    ),
    "captured": (
        "lock = threading.Lock()\n@jray.remote\ndef g():\n    with lock: pass\ng.remote()",
        "NotPicklable: Function g can't be sent to a worker: g → lock is a lock. It works between the threads of one "
        "process, and tasks run in others. Make it in the task that needs it, or leave it out: tasks share no memory.",
    ),
    # 18 Arguments that do not fit; a function in a class.
    "arguments": (
        "f.remote(1, 2)",
        "TypeError: f.remote() too many positional arguments. Its parameters are (x=0); give them to remote.",
    ),
    "self": (
        "class Model:\n    @jray.remote\n    def fit(self, x): pass\nModel().fit.remote(1)",
        "TypeError: Model.fit.remote() missing a required argument: 'x'. It was defined in a class, and tasks get no "
        "self. Write the function outside of it.",
    ),
}  # fmt: skip
REFUSED = {
    # 19 Lines of %%remote that can't be.
    "not on the first line": (
        "# on two CPUs\n%%remote --num-cpus 2\ny = 1",
        "%%remote was refused. It must be the first line of its cell, above comments and everything else. "
        "What stands above it has run here; move it to a cell of its own.",
    ),
    "unknown output": (
        "%%remote -o model\nx = 1",
        "-o model was refused. The cell neither binds nor uses the name 'model', so it can't come out. "
        "The cell binds: x.",
    ),
    "outputs of definitions": (
        "%%remote --get\ndef g(): pass",
        "-o and --get were refused. This cell only defines functions and classes, so nothing runs that could give "
        "results. Leave them out; call f.remote(...) in another cell.",
    ),
    "option of others on the line": (
        "%%remote --n-jobs 4\nx = 1",
        "--n-jobs was refused. There is no such option. Use one of --get, --max-retries, --name, --num-cpus, "
        "--num-gpus, --outputs, --read-only, --resources, --seed.",
    ),
    "magic in a task": (
        "%%remote\n!ls\nx = 1",
        "Line 2 (`!ls`) was refused. It needs the notebook, and a task runs in a worker process without one. "
        "Run it in a cell of its own.",
    ),
    "lock in a cell": (
        "guard = threading.Lock()\n#---\n%%remote --name fit\nwith guard: x = 1",
        "fit was not started: guard is a lock. It works between the threads of one process, and tasks run in others. "
        "Make it in the task that needs it, or leave it out: tasks share no memory.",
    ),
}  # fmt: skip


@pytest.fixture
def kernel(kernel):
    assert kernel.run(SETTING).error == ""
    return kernel


def run(kernel, mistake):
    """Run the cells of a mistake; the last one is where it shows."""
    *before, last = mistake.split("\n#---\n")
    for cell in before:
        assert kernel.run(cell).error == ""
    return kernel.run(last)


def shown(cell):
    """The frames that an error shows, and its message."""
    blocks = cell.traceback.split("\n\n")
    frames = [line for block in blocks for line in block.splitlines() if re.match(r"(File|Cell In\[)", line)]
    name = cell.error.partition(":")[0]
    start = cell.traceback.index(f"\n{name}: ") + 1
    return frames, cell.traceback[start:].rstrip("\n")


@pytest.mark.parametrize("name", MISTAKES)
def test_the_message_says_what_happened_why_and_what_to_do_in_the_users_own_cell(kernel, name):
    mistake, expected = MISTAKES[name]
    cell = run(kernel, mistake)
    frames, message = shown(cell)
    assert message == expected
    assert len(message.splitlines()) <= 5
    assert [frame.partition(",")[0] for frame in frames] == [f"Cell {cell.label}"]


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_line_of_a_magic_says_wrong_is_told_in_one_line(kernel, name):
    mistake, expected = REFUSED[name]
    cell = run(kernel, mistake)
    assert cell.stderr == f"UsageError: {expected}\n"
    assert cell.traceback == ""


# ---- 20 What only the task, or time, can show


def test_a_helper_that_does_not_exist(kernel):
    cell = kernel.run("@jray.remote\ndef g(): return helper(1)\njray.get(g.remote())")
    frames, message = shown(cell)
    assert [frame.partition(",")[0] for frame in frames] == [f"Cell {cell.label}"]
    lines = message.splitlines()
    assert re.fullmatch(
        r"TaskError\(NameError\): Task g failed in worker w\d+ \(pid \d+\): NameError: name 'helper' is not defined",
        lines[0],
    )
    assert lines[-1] == (
        f"helper was used by g. When {cell.label} started g, it was not defined, and it is not now. "
        "Define it, then start g again."
    )
    cell = kernel.run("ref = g.remote(); jray.wait([ref]);")
    later = kernel.run("def helper(x): return x\njray.get(ref)")
    assert shown(later)[1].splitlines()[-1] == (
        f"helper was used by g. When {cell.label} started g, it was not defined; it has been defined since, in "
        f"{later.label}. Start g again."
    )


def test_more_gpus_than_there_are(kernel):
    cell = kernel.run("ref = f.options(num_gpus=1).remote(1)\njray.wait([ref], timeout=0);")
    kernel.read_until_stderr(cell, "\n")
    assert cell.stderr == (
        "Task f asks for 1 CPU, 1 GPU. This runtime has 2 CPU, so the task stays pending; nothing else waits behind it. "
        "Ask for less (.options(...), or the %%remote line), or start again with more: jray.shutdown(); "
        "jray.init(num_cpus=..., num_gpus=..., resources={...}).\n"
    )


def test_a_time_that_is_too_short(kernel, gate_in):
    gate = gate_in(kernel)
    cell = kernel.run("ref = jray.remote(gate.pass_through).options(name='slow').remote()\njray.get(ref, timeout=0)")
    frames, message = shown(cell)
    assert [frame.partition(",")[0] for frame in frames] == [f"Cell {cell.label}"]
    assert message.startswith("GetTimeoutError: get gave up after its time-out: the object is not there yet (")
    assert message.endswith("The tasks go on. Call get again with more time or none, or look at %jray status.")
    assert len(message.splitlines()) <= 5
    gate.open()


def test_what_a_task_changes_in_place(kernel):
    cell = kernel.run("table = pd.DataFrame({'x': [1]})")
    cell = kernel.run("%%remote\ntable['y'] = 2")
    assert cell.stdout == "table is changed in the task only; -o table brings the changed one back\n"


def test_the_stop_button_while_a_cell_waits(kernel, gate_in):
    gate = gate_in(kernel)
    cell = kernel.start("ref = jray.remote(gate.pass_through).remote()\nprint('waits')\njray.get(ref)")
    kernel.read_until_stdout(cell, "waits")
    kernel.interrupt()
    kernel.finish(cell)
    assert "KeyboardInterrupt" in cell.error
    assert re.findall(r"^(?:File|Cell In\[\d+\]).*", cell.traceback, re.MULTILINE) == [f"Cell {cell.label}, line 3"]
    gate.open()


def test_an_async_cell(kernel):
    cell = kernel.run("import asyncio\nawait asyncio.sleep(0)\nawait b + 1\njray.get(5)")
    frames, _ = shown(cell)
    assert [frame.partition(",")[0] for frame in frames] == [f"Cell {cell.label}"]
    cell = kernel.run("@jray.remote\ndef g(): return 1 / 0\nawait g.remote()")
    frames, message = shown(cell)
    assert [frame.partition(",")[0] for frame in frames] == [f"Cell {cell.label}"]
    assert message.startswith("TaskError(ZeroDivisionError): Task g failed in worker")
