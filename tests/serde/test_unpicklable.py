"""What can't travel: the path to it, why, and what to do instead; and what looks like it and can."""
# ruff: noqa: ISC004, SIM115 -- sentences over two lines and open files are what the tables are made of

from __future__ import annotations

import array
import asyncio
import concurrent.futures
import contextvars
import ctypes
import functools
import gzip
import io
import logging
import mmap
import multiprocessing
import multiprocessing.pool
import os
import pickle
import queue
import re
import select
import selectors
import socket
import sqlite3
import ssl
import subprocess
import sys
import tempfile
import threading
import weakref
import zipfile
import zlib
from contextlib import closing, contextmanager, nullcontext

import numpy as np
import pandas as pd
import pytest

from jray.exceptions import ObjectLostError
from jray.runtime.ids import ObjectId
from jray.runtime.object_ref import uncounted
from jray.runtime.serde.unpicklable import NotPicklable
from jray.runtime.serde.values import pack, unpack


def refusal(value, what="Function g"):
    with pytest.raises(NotPicklable) as caught:
        pack(value, what)
    return caught.value


def there_and_back(value):
    packed = pack(value, "it")
    return unpack(packed.head, packed.buffers)


def notebook(source, **names):
    """What cells of a notebook define."""
    namespace = {"__name__": "__main__", "lock": threading.Lock(), "pd": pd, "np": np, **names}
    exec(source, namespace)
    return namespace


# ---- the path

CLASS = """
class Model:
    {0}
model = Model()
def g(): return model
"""
PATHS = {
    # Names that functions use.
    "g → lock": "def g(): return lock",
    "g → f → lock": "def g(): return f()\ndef f(): return lock",
    'g → f → cfg["db"]': "cfg = {'db': lock}\ndef f(): return cfg['db']\ndef g(): return f()",
    "g → f → h → lock": "def f(): return g() + h()\ndef h(): return lock\ndef g(): return f()",
    "g → used_inside": "used_inside = lock\ndef g(): return [lambda: used_inside for _ in ()]",
    "g → inner → box[0]": "def outer():\n box = [lock]\n def inner(): return box\n return lambda: inner\ng = outer()",
    # Defaults, decorators.
    "g → default x": "def g(a, x=lock, y=1): pass",
    "g → default x[1].lock": "class Box: pass\nbox = Box()\nbox.lock = lock\ndef g(*, x=[1, box]): pass",
    "g → fn → lock": "def deco(fn): return lambda: fn()\n@deco\ndef g(): return lock",
    "g.cache": "def g(): pass\ng.cache = lock",
    'g → f → table["db"]': """
import functools
def deco(fn): return functools.wraps(fn)(lambda: fn())
table = {'db': lock}
@deco
def f(): return table
def g(): return f()""",
    # Containers.
    "g → box[2][0]": "box = [1, 2, (lock,)]\ndef g(): return box",
    'g → box["a"][3]': "box = {'a': {3: lock}}\ndef g(): return box",
    "g → box[(1, 2)]": "box = {(1, 2): lock}\ndef g(): return box",
    "g → box → a key": "box = {lock: 1}\ndef g(): return box",
    "g → box → an element": "box = {lock}\ndef g(): return box",
    "g → box[1]": "import collections\nbox = collections.deque([1, lock])\ndef g(): return box",
    'g → box["x"]': "import collections\nbox = collections.OrderedDict(x=lock)\ndef g(): return box",
    "g → box.default_factory → lock": "import collections\nbox = collections.defaultdict(lambda: lock)\ndef g(): return box",
    "g → pair.b": "import collections\npair = collections.namedtuple('Pair', 'a b')(1, lock)\ndef g(): return pair",
    'g → view["x"]': "import types\nview = types.MappingProxyType({'x': lock})\ndef g(): return view",
    "g → column → a part": "column = pd.Series([1, lock])\ndef g(): return column",
    "g → values → a part": "values = np.array([1, lock])\ndef g(): return values",
    # Instances and classes.
    "g → model.lock": CLASS.format("def __init__(self): self.lock = _l()\nimport threading as _t\n_l = _t.Lock"),
    "g → model.slot": CLASS.format("__slots__ = ('slot',)") + "model.slot = lock",
    "g → model → Model.lock": CLASS.format("lock = lock"),
    "g → model → Model.fit → lock": CLASS.format("def fit(self): return lock"),
    "g → Model.fit → default x": "class Model:\n def fit(self, x=lock): pass\ndef g(): return Model",
    "g → Model → Base.lock": "class Base: lock = lock\nclass Model(Base): pass\ndef g(): return Model",
    "g → Model.make → lock": "class Model:\n @classmethod\n def make(cls): return lock\ndef g(): return Model",
    "g → Model.size → lock": "class Model:\n @property\n def size(self): return lock\ndef g(): return Model",
    "g → note.conn": "from dataclasses import dataclass\n@dataclass\nclass Note: conn: object\nnote = Note(lock)\ndef g(): return note",
    "g → model.handle": CLASS.format("def __getstate__(self): return {'handle': _t.Lock()}\n    import threading as _t")
    .replace("_t.L", "self._t.L"),
    "g → model → a part": CLASS.format("def __reduce__(self): return Model, (made(),)") + "import threading\nmade = threading.Lock",
    "g → space.x": "import types\nspace = types.SimpleNamespace(x=lock)\ndef g(): return space",
    "g → error.args[0]": "error = ValueError(lock)\ndef g(): return error",
    # Callables that are no functions.
    "g → p.args[1]": "import functools\np = functools.partial(print, 1, lock)\ndef g(): return p",
    'g → p.keywords["x"]': "import functools\np = functools.partial(print, x=lock)\ndef g(): return p",
    "g → p.func → lock": "import functools\np = functools.partial(lambda: lock)\ndef g(): return p",
    "g → fit → self.lock": CLASS.format("def fit(self): pass").replace("return model", "return fit")
    + "model.lock = lock\nfit = model.fit",
    "g → remote → lock": "from jray.api import remote as make\nremote = make(lambda: lock)\ndef g(): return remote",
    # Modules that are made on the spot.
    "g → module.lock": "import types\nmodule = types.ModuleType('made')\nmodule.lock = lock\ndef g(): return module",
}  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_the_path_leads_to_what_cannot_travel(path):
    error = refusal(notebook(PATHS[path])["g"])
    assert error.path == path
    assert str(error).startswith(f"Function g can't be sent to a worker: {path} is a lock. ")


LOCK = threading.Lock()


def call(*args, **kwargs):
    return args, kwargs


@pytest.mark.parametrize(
    ("value", "what", "begin"),
    [
        (LOCK, "The value given to put", "The value given to put can't be stored: it is a lock."),
        ([LOCK], "The value given to put", "The value given to put can't be stored: value[0] is a lock."),
        ({"a": LOCK}, "The result of f", 'The result of f can\'t be stored: result["a"] is a lock.'),
        ([LOCK], "Result 1 of f", "Result 1 of f can't be stored: result[0] is a lock."),
        (LOCK, "x, a result of In[3],", "x, a result of In[3], can't be stored: x is a lock."),
        ([LOCK], "x, a result of In[3],", "x, a result of In[3], can't be stored: x[0] is a lock."),
        (LOCK.acquire, "Function acquire", "Function acquire can't be sent to a worker: acquire → self is a lock."),
        (call(1, LOCK), "An argument of f", "An argument of f can't be sent to a worker: args[1] is a lock."),
        (call(x=LOCK), "An argument of f", "An argument of f can't be sent to a worker: x is a lock."),
        (call(x=[LOCK]), "An argument of f", "An argument of f can't be sent to a worker: x[0] is a lock."),
        (
            call(1, options={"db": LOCK}),
            "An argument of f",
            'An argument of f can\'t be sent to a worker: options["db"] is a lock.',
        ),
    ],
)
def test_the_path_begins_with_what_its_user_knows(value, what, begin):
    assert str(refusal(value, what)).startswith(begin)


def test_positional_arguments_are_called_by_their_parameters():
    error = refusal(call([1], {"db": LOCK}), "An argument of f")
    error.name_arguments(["rows", "options"])
    assert error.path == 'options["db"]'
    error = refusal(call([1], {"db": LOCK}), "An argument of f")
    error.name_arguments(["rows"])  # the rest goes into *args
    assert error.path == 'args[1]["db"]'


class Node:
    def __init__(self, next_one):
        self.next = next_one


def test_of_a_long_path_both_ends_are_told():
    end = LOCK
    for _ in range(20_000):
        end = Node(end)
    error = refusal(call(first=end), "An argument of f")
    assert error.path == "first.next.next.next.next.next … .next.next.next.next.next"


def test_keys_are_told_shortly():
    for key, told in {
        "x" * 50: "['xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…]",
        'say "hi"': "['say \"hi\"']",
        None: "[None]",
        Node(1): "[a Node]",
    }.items():
        assert refusal({key: LOCK}, "it").path == f"it{told}"


def refuse(*_):
    raise AssertionError("the user's code was asked")


class Loud:
    """Does not want to be looked at."""

    def __init__(self):
        self.lock = LOCK

    __eq__ = __repr__ = __str__ = __bool__ = __getattr__ = refuse
    __hash__ = object.__hash__
    value = property(refuse)


class LoudList(list):
    __iter__ = __len__ = __getitem__ = __contains__ = __eq__ = __repr__ = refuse
    __hash__ = object.__hash__


class LoudDict(dict):
    __iter__ = __len__ = __getitem__ = __contains__ = __eq__ = __repr__ = keys = refuse


def test_looking_for_the_path_runs_no_code_of_the_users():
    assert refusal({Loud(): 1}, "it").path == "it → a key.lock"
    assert refusal([LoudDict(a=LoudDict(b=LOCK))], "it").path == 'it[0]["a"]["b"]'
    assert refusal((1, {2: Loud()}), "it").path == "it[1][2].lock"


# ---- what it is, why, what to do


def of(make):
    """Makes a thing that needs no closing."""
    return lambda: nullcontext(make())


@contextmanager
def thread_pool():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        yield pool


@contextmanager
def child():
    with subprocess.Popen(["true"]) as process:
        yield process


@contextmanager
def coroutine():
    async def waits():
        pass

    made = waits()
    yield made
    made.close()


async def _async_generator():
    yield 1


@contextmanager
def asyncio_task():
    with closing(asyncio.new_event_loop()) as loop:
        task = loop.create_task(asyncio.sleep(0))
        yield task
        loop.run_until_complete(task)


@contextmanager
def multiprocessing_queue():
    made = multiprocessing.Queue()
    yield made
    made.close()
    made.join_thread()


@contextmanager
def an_end_of_a_pipe():
    one, other = multiprocessing.Pipe()
    with one, other:
        yield one


def a_traceback():
    try:
        raise ValueError
    except ValueError as error:
        return error.__traceback__


BETWEEN_THREADS = (
    "It works between the threads of one process, and tasks run in others. Make it in the task that needs it, or "
    "leave it out: tasks share no memory."
)
HALF_WAY = "It is a function that has stopped half-way, which can go on only where it began."
FILE = "It is open in this process only. Open it in the task that needs it: give it the name."
MULTIPROCESSING = "multiprocessing passes it on only to processes that it starts itself."
OWN_RESULTS = "Return results from the task, or give it references: jray.put(value)."
DATABASE = "It is open in this process only. Connect in the task that needs it: give it the path or the address."
TEMPORARY = (
    "It is open in this process only, and deleted when it is closed. Give its name, and keep it open until the task "
    "that reads it is done."
)
KINDS = {
    "a lock": (of(threading.Lock), f"a lock. {BETWEEN_THREADS}"),
    "a reentrant lock": (of(threading.RLock), f"a lock (_thread.RLock). {BETWEEN_THREADS}"),
    "a condition": (of(threading.Condition), f"a condition. {BETWEEN_THREADS}"),
    "an event": (of(threading.Event), f"an event. {BETWEEN_THREADS}"),
    "a semaphore": (of(lambda: threading.BoundedSemaphore(2)), f"a semaphore (threading.BoundedSemaphore). {BETWEEN_THREADS}"),
    "a barrier": (of(lambda: threading.Barrier(2)), f"a barrier. {BETWEEN_THREADS}"),
    "a thread": (
        of(lambda: threading.Timer(1, print)),
        "a thread (threading.Timer). It runs in this process only. Start it in the task that needs it, or make a task of what it does.",
    ),
    "a threading.local": (
        of(threading.local),
        "a threading.local (_thread._local). It holds one value for each thread of this process. Make it in the task that needs it.",
    ),
    "a queue": (
        of(queue.Queue),
        "a queue. It works between the threads of one process, and tasks run in others. Give a list of what is in it.",
    ),
    "a text file to read": (lambda: open(__file__), f"a file object (_io.TextIOWrapper). {FILE}"),
    "a text file to write": (lambda: open(os.devnull, "w"), f"a file object (_io.TextIOWrapper). {FILE}"),
    "a binary file": (lambda: open(__file__, "rb"), f"a file object (_io.BufferedReader). {FILE}"),
    "a raw file": (lambda: open(__file__, "rb", 0), f"a file object (_io.FileIO). {FILE}"),
    "a compressed file": (lambda: gzip.open(os.devnull, "w"), f"a file object (gzip.GzipFile). {FILE}"),
    "an archive": (lambda: zipfile.ZipFile(io.BytesIO(), "w"), f"a file object (zipfile.ZipFile). {FILE}"),
    "a temporary file": (
        lambda: tempfile.NamedTemporaryFile("r"), f"a temporary file (tempfile._TemporaryFileWrapper). {TEMPORARY}"
    ),
    "the standard input": (
        lambda: nullcontext(sys.__stdin__),
        "the standard input (_io.TextIOWrapper). Nobody types into a task. Ask here, and give the task the answer.",
    ),
    "a listing": (
        lambda: os.scandir("/"),
        "a listing of a directory (posix.ScandirIterator). It is open in this process only. Give a list of the names in it.",
    ),
    "a memory map": (
        lambda: mmap.mmap(-1, 10),
        "a memory map (mmap.mmap). It lies in the memory of this process. Map the file in the task that needs it, or give bytes(it).",
    ),
    "a socket": (socket.socket, "a socket. It is open in this process only. Connect in the task that needs it: give it the address."),
    "an SSL context": (
        of(ssl.create_default_context),
        "an SSL context (ssl.SSLContext). It lives in a library of this process. Make it in the task that needs it.",
    ),
    "a selector": (
        selectors.DefaultSelector,
        "a selector (selectors.EpollSelector). It watches files that are open in this process. Make it in the task that needs it.",
    ),
    "a poll": (
        of(select.poll),
        "a selector (select.poll). It watches files that are open in this process. Make it in the task that needs it.",
    ),
    "a database": (lambda: closing(sqlite3.connect(":memory:")), f"a database connection. {DATABASE}"),
    "a child process": (
        child,
        "a child process (subprocess.Popen). It is a child of this process, and only its parent can wait for it. "
        "Start it in the task that needs it, or give what is needed of it: its pid, its output.",
    ),
    "a multiprocessing queue": (multiprocessing_queue, f"a multiprocessing queue. {MULTIPROCESSING} {OWN_RESULTS}"),
    "a multiprocessing lock": (
        of(multiprocessing.Lock),
        f"a multiprocessing lock. {MULTIPROCESSING} Leave it out, and let the tasks return what you put together here.",
    ),
    "an end of a pipe": (
        an_end_of_a_pipe,
        f"an end of a pipe (multiprocessing.connection.Connection). {MULTIPROCESSING} {OWN_RESULTS}",
    ),
    "a pool": (
        thread_pool,
        "a pool of workers (concurrent.futures.thread.ThreadPoolExecutor). Its workers take orders from this process only. "
        "Call f.remote(...) or f.map(...) in its place, here or in the task.",
    ),
    "a future": (
        of(concurrent.futures.Future),
        "a future. Its result comes to this process only. Wait for it here, and give its result().",
    ),
    "an event loop": (
        lambda: closing(asyncio.new_event_loop()),
        "an event loop (asyncio.unix_events._UnixSelectorEventLoop). It runs in one thread of this process. Make one in "
        "the task that needs it: asyncio.run(main()).",
    ),
    "an asyncio task": (
        asyncio_task,
        "an asyncio future or task. Its result comes to the event loop of this process only. Give what await gives.",
    ),
    "a generator": (
        of(lambda: (i for i in "ab")),
        f"a generator. {HALF_WAY} Give a list of what it yields, or the function that makes it.",
    ),
    "a coroutine": (coroutine, f"a coroutine. {HALF_WAY} Await it here, and give the result."),
    "an async generator": (
        of(_async_generator),
        f"an async generator. {HALF_WAY} Give a list of what it yields, or the function that makes it.",
    ),
    "a frame": (
        of(lambda: sys._getframe()),
        "a running frame. It is a place on the stack of this process. Give the values that are needed of it.",
    ),
    "a traceback": (
        of(a_traceback),
        "a traceback. It holds places on the stack of this process. Give its text: traceback.format_exc().",
    ),
    "a weak reference": (
        of(lambda: weakref.ref(Node)),
        "a weak reference (weakref.ReferenceType). It points into the memory of this process. Give the object itself: "
        "reference().",
    ),
    "weak keys": (
        of(lambda: weakref.WeakKeyDictionary({Node: 1})),
        "a dictionary of weak references (weakref.WeakKeyDictionary). They point into the memory of this process. Give a "
        "plain one: dict(it).",
    ),
    "a pointer": (
        of(lambda: ctypes.pointer(ctypes.c_int(3))),
        "a pointer or function of C (tests.serde.test_unpicklable.LP_c_int). It is an address in the memory of this process. Make it in the task that needs it, or "
        "give the value that it points to.",
    ),
    "an array of C": (
        of(lambda: (ctypes.c_int * 3)()),
        "an array of ctypes (tests.serde.test_unpicklable.c_int_Array_3). Its class was made on the spot, and no other process has it. Give list(it), "
        "or an array of numpy: np.ctypeslib.as_array(it).",
    ),
    "a library": (
        of(lambda: ctypes.CDLL(None)),
        "a library loaded with ctypes (ctypes.CDLL). It is loaded in this process only. Load it in the task that needs it: give it "
        "the name.",
    ),
    "a context variable": (
        of(lambda: contextvars.ContextVar("user")),
        "a context variable (_contextvars.ContextVar). It holds a value in this process only. Give its value.",
    ),
    "a match": (
        of(lambda: re.match("a", "a")),
        "a match. Python can't pickle it. Give what it found: match.group(), match.groupdict().",
    ),
    "a logging handler": (
        of(logging.Handler),
        "a logging handler. It writes to something that is open in this process only. Set up logging in "
        "the task, or in all workers with jray.run_on_all; loggers themselves travel, by name.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_reason_and_its_advice(kind):
    make, said = KINDS[kind]
    with make() as thing:
        assert (
            str(refusal({"a": [thing]}, "The result of f"))
            == f'The result of f can\'t be stored: result["a"][0] is {said}'
        )


def named_like(name, *bases):
    """A class of a library that is not installed here."""
    module, _, name = name.rpartition(".")
    return type(name, bases, {"__module__": module, "__reduce__": lambda self: (print, (LOCK,))})


SHELL = "A task runs in a worker, which has no notebook. Ask the shell here, and give the task what it says."
LIBRARIES = {
    "IPython.core.interactiveshell.InteractiveShell": f"the notebook's shell, get_ipython() ({{}}). {SHELL}",
    "ipywidgets.widgets.widget.Widget": "a widget. It is tied to the page of this notebook. Give what is needed of it, "
    "such as widget.value.",
    "h5py._hl.files.File": f"a file object. {FILE}",
    "psycopg2.extensions.connection": f"a database connection. {DATABASE}",
    "sqlalchemy.engine.base.Engine": f"a database connection (sqlalchemy.engine.base.Engine). {DATABASE}",
    "pymongo.synchronous.mongo_client.MongoClient": f"a database connection "
    f"(pymongo.synchronous.mongo_client.MongoClient). {DATABASE}",
    "redis.client.Redis": f"a database connection (redis.client.Redis). {DATABASE}",
    "duckdb.DuckDBPyConnection": f"a database connection (duckdb.DuckDBPyConnection). {DATABASE}",
}


@pytest.mark.parametrize("name", LIBRARIES)
def test_things_of_libraries_are_known_by_the_names_of_their_classes(name):
    said = LIBRARIES[name].format(name)
    assert str(refusal([named_like(name)()], "it")) == f"it can't be stored: it[0] is {said}"


def test_a_subclass_is_of_the_kind_of_its_base():
    class Worker(threading.Thread):
        pass

    assert refusal(Worker(), "it").kind.startswith("a thread (")


def test_a_subclass_that_says_how_it_is_pickled_is_no_such_thing():
    class Named(threading.Thread):
        def __reduce__(self):
            return Named, (), {"connection": threading.Lock()}

    error = refusal(Named(), "it")
    assert (error.path, error.kind) == ("it.connection", "a lock")


class Failing:
    def __getstate__(self):
        raise ValueError("It is being written. ")


def test_an_error_of_the_users_own_is_told_and_is_the_cause():
    error = refusal([Failing()], "The value given to put")
    assert str(error) == (
        f"The value given to put can't be stored: value[0] is of type {__name__}.Failing. Pickling it fails: ValueError: "
        "It is being written. Make it in the task that needs it, or give what it is made from."
    )
    assert repr(error.__cause__) == "ValueError('It is being written. ')"


def test_what_python_says_of_an_unknown_kind_is_told():
    assert str(refusal([zlib.decompressobj()], "it")) == (
        "it can't be stored: it[0] is of type zlib.Decompress. Pickling it fails: cannot pickle 'zlib.Decompress' object. "
        "Make it in the task that needs it, or give what it is made from."
    )


def test_the_error_itself_travels():
    error = refusal([LOCK], "it")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path, type(again)) == (str(error), error.path, NotPicklable)
    assert isinstance(error, TypeError)


class Recounting:
    def recount(self, object_id):
        return False

    def release(self, object_id):
        pass


def test_of_a_reference_whose_object_was_freed_the_place_is_told():
    freed = uncounted(ObjectId(7), Recounting(), "It was freed. Run In[3] again.")
    with pytest.raises(ObjectLostError) as caught:
        pack({"a": [freed]}, "The value given to put")
    assert str(caught.value) == "It was freed. Run In[3] again."
    assert caught.value.__notes__ == ['The reference is value["a"][0].']


# ---- what travels all the same


def test_standard_streams_are_those_of_the_process_that_uses_them(monkeypatch):
    out, err = there_and_back([sys.stdout, sys.stderr])
    assert (out, err) == (sys.stdout, sys.stderr)
    function = notebook("def g(file=out): return file, out", out=sys.stdout)["g"]
    packed = pack(function, "it")
    monkeypatch.setattr(sys, "stdout", io.StringIO())  # in another process
    assert unpack(packed.head, ())() == (sys.stdout, sys.stdout)


class Tee:
    """Stands for the standard output, and can't be pickled, as that of a notebook."""

    def __init__(self):
        self.lock = LOCK

    def write(self, text):
        return len(text)

    def flush(self):
        pass


def test_also_where_something_else_stands_for_them(monkeypatch):
    tee, other = Tee(), Tee()
    monkeypatch.setattr(sys, "stdout", tee)
    packed = pack([tee], "it")
    with pytest.raises(NotPicklable):
        pack([other], "it")
    monkeypatch.undo()
    assert unpack(packed.head, ()) == [sys.stdout]


def test_the_streams_of_a_notebook_are_known_while_something_else_stands_for_them(monkeypatch):
    iostream = pytest.importorskip("ipykernel.iostream")
    stream = iostream.OutStream.__new__(iostream.OutStream)
    stream.name, stream.lock = "stderr", LOCK
    assert there_and_back([stream]) == [sys.stderr]


def test_a_buffer_that_stands_for_the_standard_output_is_the_users_own(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.StringIO("seen"))
    assert there_and_back([sys.stdout])[0].getvalue() == "seen"


VIEWS = {
    "bytes": memoryview(b"abc"),
    "bytearray": memoryview(bytearray(b"abc")),
    "part": memoryview(b"abcdef")[2:4],
    "every second one": memoryview(b"abcdef")[::2],
    "numbers": memoryview(array.array("d", [1.5, 2.5])),
    "table": memoryview(np.arange(6).reshape(2, 3)),
    "table by columns": memoryview(np.asfortranarray(np.arange(6).reshape(2, 3))),
    "one number": memoryview(np.array(3)),
    "nothing": memoryview(b""),
    "no numbers": memoryview(array.array("d")),
}


@pytest.mark.parametrize("kind", VIEWS)
def test_a_view_of_memory_stays_one(kind):
    view = VIEWS[kind]
    back = there_and_back({"view": view})["view"]
    assert type(back) is memoryview
    assert (back.format, back.shape, back.tolist()) == (view.format, view.shape, view.tolist())
    assert back.readonly == view.readonly or not view.contiguous


def test_a_large_view_goes_out_of_band():
    packed = pack([memoryview(np.zeros(100_000))], "it")
    assert [buffer.nbytes for buffer in packed.buffers] == [800_000]
    assert unpack(packed.head, packed.buffers)[0].format == "d"


def test_a_view_of_records_is_refused():
    view = memoryview(np.zeros(3, [("a", "i4"), ("b", "f8")]))
    assert str(refusal([view], "it")) == (
        "it can't be stored: it[0] is of type memoryview. Pickling it fails: it is a view of elements of the format "
        f"{view.format!r}. Make it in the task that needs it, or give what it is made from."
    )


def test_what_only_looks_like_it_travels():
    logger = logging.getLogger("there")
    logger.addHandler(logging.NullHandler())
    text = "ipywidgets.widgets.widget and multiprocessing.connection, _ctypes"
    back = there_and_back([logger, io.StringIO("a"), io.BytesIO(b"b"), ctypes.c_int(3), functools.partial(print), text])
    assert back[0] is logger
    assert back[1].getvalue() + back[5] == f"a{text}"
    assert (back[2].getvalue(), back[3].value) == (b"b", 3)


def test_a_figure_travels():
    figures = pytest.importorskip("matplotlib.figure")
    figure = figures.Figure()
    figure.subplots().plot([1, 2])
    assert len(there_and_back(figure).axes[0].lines) == 1


def test_a_widget_is_refused_though_pickle_would_take_it():
    widgets = pytest.importorskip("ipywidgets")
    slider = widgets.IntSlider()
    pickle.dumps(slider)
    for value in ([slider], lambda: slider):
        assert refusal(value, "it").kind == "a widget (ipywidgets.widgets.widget_int.IntSlider)"
    slider.close()
