"""What other libraries call what jray has: Dask, joblib, concurrent.futures, multiprocessing.

For the errors: whoever types a name that he knows from there is told what to write here. `{it}` is what the user calls
the thing that he asked.
"""

from __future__ import annotations

_GET = "jray.get({it}) waits for the value."
_IS_THERE = "jray.wait([{it}], timeout=0) tells whether it is there."
_NO_CANCEL = "jray can't cancel one task yet; jray.shutdown() ends them all."
_CALL = "{it}.remote(...) starts it in a worker, and returns a reference for jray.get."
_LOOP = "Write refs = [{it}.remote(x) for x in xs], then jray.get(refs)."
_INIT = "jray.init(num_cpus=4) starts worker processes; without it, the first use does."
_REMOTE = "Write @jray.remote above a function f, start it with ref = f.remote(x), and wait with jray.get(ref)."
_GET_ALL = "jray.get(refs) waits for the values of a list of references."
_EACH = "How many run at once is set by jray.init(num_cpus=...); num_cpus of a task is what it takes itself."

OF_REFS = {
    **dict.fromkeys(("result", "results", "compute", "get", "value", "fetch"), _GET),
    **dict.fromkeys(("done", "ready", "is_ready", "status", "running"), _IS_THERE),
    **dict.fromkeys(("exception", "successful", "traceback"), "jray.get({it}) raises its task's error, if any."),
    **dict.fromkeys(("wait", "join"), "jray.wait([{it}]) waits for it, jray.get({it}) for its value."),
    **dict.fromkeys(("cancel", "cancelled"), _NO_CANCEL),
    "add_done_callback": "{it}.future() is a concurrent.futures.Future, which has it.",
    "persist": "The value stays in the store as long as there is a reference to it.",
}
OF_FUNCTIONS = {
    **dict.fromkeys(("submit", "delay", "delayed", "apply_async", "apply", "compute", "spawn", "start", "run"), _CALL),
    **dict.fromkeys(("starmap", "imap", "imap_unordered", "map_async"), _LOOP),
    **dict.fromkeys(("result", "get"), "{it}.remote(...) returns a reference; jray.get of that waits for the value."),
    "func": "{it}.function is the function itself.",
}
OF_JRAY = {
    **dict.fromkeys(("delayed", "submit", "task", "Parallel", "apply_async", "map", "starmap", "run"), _REMOTE),
    **dict.fromkeys(("compute", "gather", "result", "collect"), _GET_ALL),
    **dict.fromkeys(("Client", "Cluster", "LocalCluster", "Executor", "ProcessPoolExecutor", "Pool"), _INIT),
    **dict.fromkeys(("start", "connect"), _INIT),
    **dict.fromkeys(("as_completed", "iter_results"), "jray.wait(refs) gives what is there first, and the rest."),
    **dict.fromkeys(("stop", "close"), "jray.shutdown() ends all tasks and workers."),
}
_MANY = ("n_jobs", "n_workers", "num_workers", "max_workers", "workers", "processes", "n_processes", "nthreads")
_SIZE = ("threads_per_worker", "cores", "ncores", "n_cores", "n_cpus", "ncpus", "cpus", "threads")
OF_OPTIONS = {
    **dict.fromkeys(_MANY, _EACH),
    **dict.fromkeys(_SIZE, "Did you mean 'num_cpus'?"),
    **dict.fromkeys(("retries", "num_retries", "n_retries"), "Did you mean 'max_retries'?"),
    **dict.fromkeys(("nout", "n_returns", "n_outputs"), "Did you mean 'num_returns'?"),
}
OF_INIT = {
    **dict.fromkeys((*_MANY, *_SIZE), "Did you mean num_cpus?"),
    **dict.fromkeys(("n_gpus", "gpus"), "Did you mean num_gpus?"),
    **dict.fromkeys(("memory_limit", "memory", "max_memory"), "Did you mean object_store_memory?"),
    **dict.fromkeys(("local_directory", "temp_folder", "_temp_dir"), "Did you mean object_spilling_directory?"),
}
