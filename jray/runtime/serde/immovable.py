"""What belongs to the process that made it, why, and what to do instead.

By the names of classes, so that nothing is imported for it. A subclass is of the kind of its base, unless it says
itself how it is pickled.
"""

from __future__ import annotations

import sys
from types import FunctionType
from typing import NamedTuple

from jray.runtime.serde.kinds import package_of


class Immovable(NamedTuple):
    """A kind of things that can't travel."""

    named: str  # what it is: "a lock"
    why: str  # a sentence
    advice: str  # a sentence: what to do
    is_taken_by_pickle: bool = False  # which would make something of it that is of no use


def _of_threads(named: str) -> Immovable:
    return Immovable(
        named,
        "It works between the threads of one process, and tasks run in others.",
        "Make it in the task that needs it, or leave it out: tasks share no memory.",
    )


def _of_multiprocessing(named: str, advice: str) -> Immovable:
    return Immovable(named, "multiprocessing passes it on only to processes that it starts itself.", advice)


_OWN_RESULTS = "Return results from the task, or give it references: jray.put(value)."
_TASKS_INSTEAD = "Call f.remote(...) or f.map(...) in its place, here or in the task."

_FILE = Immovable(
    "a file object", "It is open in this process only.", "Open it in the task that needs it: give it the name."
)
_TEMPORARY_FILE = Immovable(
    "a temporary file",
    "It is open in this process only, and deleted when it is closed.",
    "Give its name, and keep it open until the task that reads it is done.",
)
_SOCKET = Immovable(
    "a socket", "It is open in this process only.", "Connect in the task that needs it: give it the address."
)
_DATABASE = Immovable(
    "a database connection",
    "It is open in this process only.",
    "Connect in the task that needs it: give it the path or the address.",
)
_PROCESS = Immovable(
    "a child process",
    "It is a child of this process, and only its parent can wait for it.",
    "Start it in the task that needs it, or give what is needed of it: its pid, its output.",
)
_POOL = Immovable("a pool of workers", "Its workers take orders from this process only.", _TASKS_INSTEAD)
_FUTURE = Immovable("a future", "Its result comes to this process only.", "Wait for it here, and give its result().")
_AWAITED = Immovable(
    "an asyncio future or task", "Its result comes to the event loop of this process only.", "Give what await gives."
)
_LOOP = Immovable(
    "an event loop",
    "It runs in one thread of this process.",
    "Make one in the task that needs it: asyncio.run(main()).",
)
_THREAD = Immovable(
    "a thread", "It runs in this process only.", "Start it in the task that needs it, or make a task of what it does."
)
_QUEUE = Immovable(
    "a queue", "It works between the threads of one process, and tasks run in others.", "Give a list of what is in it."
)
_GENERATOR = Immovable(
    "a generator",
    "It is a function that has stopped half-way, which can go on only where it began.",
    "Give a list of what it yields, or the function that makes it.",
)
_COROUTINE = Immovable(
    "a coroutine",
    "It is a function that has stopped half-way, which can go on only where it began.",
    "Await it here, and give the result.",
)
_ASYNC_GENERATOR = _GENERATOR._replace(named="an async generator")
_FRAME = Immovable(
    "a running frame", "It is a place on the stack of this process.", "Give the values that are needed of it."
)
_TRACEBACK = Immovable(
    "a traceback", "It holds places on the stack of this process.", "Give its text: traceback.format_exc()."
)
_WEAKREF = Immovable(
    "a weak reference", "It points into the memory of this process.", "Give the object itself: reference()."
)
_WEAK_DICT = Immovable(
    "a dictionary of weak references", "They point into the memory of this process.", "Give a plain one: dict(it)."
)
_POINTER = Immovable(
    "a pointer or function of C",
    "It is an address in the memory of this process.",
    "Make it in the task that needs it, or give the value that it points to.",
)
_LIBRARY = Immovable(
    "a library loaded with ctypes",
    "It is loaded in this process only.",
    "Load it in the task that needs it: give it the name.",
    is_taken_by_pickle=True,
)
_CONTEXT = Immovable("a context variable", "It holds a value in this process only.", "Give its value.")
_MATCH = Immovable("a match", "Python can't pickle it.", "Give what it found: match.group(), match.groupdict().")
_MAP = Immovable(
    "a memory map",
    "It lies in the memory of this process.",
    "Map the file in the task that needs it, or give bytes(it).",
)
_SELECTOR = Immovable(
    "a selector", "It watches files that are open in this process.", "Make it in the task that needs it."
)
_SSL = Immovable("an SSL context", "It lives in a library of this process.", "Make it in the task that needs it.")
_HANDLER = Immovable(
    "a logging handler",
    "It writes to something that is open in this process only.",
    "Set up logging in the task, or in all workers with jray.run_on_all; loggers themselves travel, by name.",
)
_SCAN = Immovable("a listing of a directory", "It is open in this process only.", "Give a list of the names in it.")
_SHELL = Immovable(
    "the notebook's shell, get_ipython()",
    "A task runs in a worker, which has no notebook.",
    "Ask the shell here, and give the task what it says.",
)
_WIDGET = Immovable(
    "a widget",
    "It is tied to the page of this notebook.",
    "Give what is needed of it, such as widget.value.",
    is_taken_by_pickle=True,
)
_STDIN = Immovable("the standard input", "Nobody types into a task.", "Ask here, and give the task the answer.")
_ARRAY_OF_C = Immovable(
    "an array of ctypes",
    "Its class was made on the spot, and no other process has it.",
    "Give list(it), or an array of numpy: np.ctypeslib.as_array(it).",
    is_taken_by_pickle=True,
)
_FIELD_OF_C = Immovable(
    "a field of a C structure",
    "A class of ctypes can't be taken apart and made again elsewhere.",
    "Define the class in a module, or in the task.",
)

_KINDS: dict[str, Immovable | None] = {
    "_thread.lock": _of_threads("a lock"),
    "_thread.RLock": _of_threads("a lock"),
    "threading._RLock": _of_threads("a lock"),
    "threading.Condition": _of_threads("a condition"),
    "threading.Event": _of_threads("an event"),
    "threading.Semaphore": _of_threads("a semaphore"),
    "threading.Barrier": _of_threads("a barrier"),
    "_thread._local": Immovable(
        "a threading.local", "It holds one value for each thread of this process.", "Make it in the task that needs it."
    ),
    "threading.Thread": _THREAD,
    "queue.Queue": _QUEUE,
    "_queue.SimpleQueue": _QUEUE,
    "_io.StringIO": None,  # these two travel
    "_io.BytesIO": None,
    "_io._IOBase": _FILE,
    "zipfile.ZipFile": _FILE,
    "tarfile.TarFile": _FILE,
    "tempfile._TemporaryFileWrapper": _TEMPORARY_FILE,
    "tempfile.SpooledTemporaryFile": _TEMPORARY_FILE,
    "posix.ScandirIterator": _SCAN,
    "mmap.mmap": _MAP,
    "socket.socket": _SOCKET,
    "_socket.socket": _SOCKET,
    "ssl.SSLContext": _SSL,
    "select.epoll": _SELECTOR,
    "select.poll": _SELECTOR,
    "selectors.BaseSelector": _SELECTOR,
    "subprocess.Popen": _PROCESS,
    "multiprocessing.process.BaseProcess": _PROCESS,
    "multiprocessing.queues.Queue": _of_multiprocessing("a multiprocessing queue", _OWN_RESULTS),
    "multiprocessing.queues.SimpleQueue": _of_multiprocessing("a multiprocessing queue", _OWN_RESULTS),
    "multiprocessing.connection._ConnectionBase": _of_multiprocessing("an end of a pipe", _OWN_RESULTS)._replace(
        is_taken_by_pickle=True
    ),
    "multiprocessing.sharedctypes.SynchronizedBase": _of_multiprocessing("a shared value", _OWN_RESULTS),
    "multiprocessing.synchronize.SemLock": _of_multiprocessing(
        "a multiprocessing lock", "Leave it out, and let the tasks return what you put together here."
    ),
    "multiprocessing.pool.Pool": _POOL,
    "concurrent.futures._base.Executor": _POOL,
    "concurrent.futures._base.Future": _FUTURE,
    "_asyncio.Future": _AWAITED,
    "asyncio.futures.Future": _AWAITED,
    "asyncio.events.AbstractEventLoop": _LOOP,
    "builtins.generator": _GENERATOR,
    "builtins.coroutine": _COROUTINE,
    "builtins.async_generator": _ASYNC_GENERATOR,
    "builtins.frame": _FRAME,
    "builtins.traceback": _TRACEBACK,
    "weakref.ReferenceType": _WEAKREF,
    "weakref.WeakKeyDictionary": _WEAK_DICT,
    "weakref.WeakValueDictionary": _WEAK_DICT,
    "_ctypes._Pointer": _POINTER,
    "_ctypes.Array": _ARRAY_OF_C,
    "_ctypes.CField": _FIELD_OF_C,
    "_ctypes.CFuncPtr": _POINTER,
    "ctypes.c_void_p": _POINTER,
    "ctypes.c_char_p": _POINTER,
    "ctypes.CDLL": _LIBRARY,
    "_contextvars.ContextVar": _CONTEXT,
    "_contextvars.Context": _CONTEXT._replace(named="a context"),
    "re.Match": _MATCH,
    "logging.Handler": _HANDLER,
    "IPython.core.interactiveshell.InteractiveShell": _SHELL,
    "ipywidgets.widgets.widget.Widget": _WIDGET,
    "h5py._hl.files.File": _FILE,
    "sqlite3.Connection": _DATABASE,
    "sqlite3.Cursor": _DATABASE,
}

_DATABASES = frozenset(  # packages
    [
        *("_duckdb", "aiosqlite", "apsw", "asyncpg", "cassandra", "clickhouse_connect", "clickhouse_driver"),
        *("cx_Oracle", "duckdb", "MySQLdb", "mysql", "oracledb", "psycopg", "psycopg2", "psycopg_pool", "pymongo"),
        *("pymysql", "pyodbc", "redis", "snowflake", "sqlalchemy"),
    ]
)
_CONNECTED = ("client", "connection", "cursor", "engine", "pool", "redis", "session")
_OWN_WAYS = ("__getstate__", "__reduce__", "__reduce_ex__")  # those in C only refuse


def immovable_kind(value: object) -> Immovable | None:
    """What kind of thing that can't travel this is; None when it is none that we know."""
    kind = type(value)
    if value is not None and (value is sys.stdin or value is sys.__stdin__):
        return _STDIN
    for base in kind.__mro__:
        name = full_name(base)
        if name in _KINDS:
            return _KINDS[name]
        if any(isinstance(base.__dict__.get(way), FunctionType) for way in _OWN_WAYS):
            break
    if package_of(kind) in _DATABASES and any(word in full_name(kind).lower() for word in _CONNECTED):
        return _DATABASE
    return None


def full_name(kind: type) -> str:
    """The name of a class, with its module."""
    try:
        module = type.__dict__["__module__"].__get__(kind)
    except AttributeError:
        module = ""
    return f"{module}.{type.__dict__['__qualname__'].__get__(kind)}"
