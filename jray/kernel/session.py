"""One IPython shell with jray loaded: which cell submits, and who watches the cells that run as tasks."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from IPython.core.interactiveshell import InteractiveShell

from jray import api
from jray.exceptions import JrayError
from jray.kernel import rich
from jray.kernel.autoreload import stamps_of_autoreload
from jray.kernel.out import OutKeeper
from jray.kernel.output import NotebookSink, Parent, say
from jray.runtime.embedded import EmbeddedBackend
from jray.runtime.ids import ObjectId
from jray.runtime.object_ref import ObjectRef
from jray.runtime.own_modules import OwnModules
from jray.runtime.serde.errors import name_files_with
from jray.runtime.serde.kept import forget_all

_CELLS_KEPT = 10_000  # cells whose late output still finds its way


@dataclass(frozen=True, slots=True)
class CellRun:
    """One execution of a cell."""

    label: str  # "In[5]"
    parent: Parent | None
    cell_id: str | None = None  # the cell's own, the same when it runs again; not every front end tells


@dataclass(frozen=True, slots=True, kw_only=True)
class CellTask:
    """A cell was submitted as a task."""

    label: str
    origin: int
    began: float  # time.monotonic()
    done: ObjectRef[Any]  # is there when the cell has ended
    outputs: Mapping[ObjectId, str]  # the names that it binds


@dataclass(frozen=True, slots=True, kw_only=True)
class MapTasks:
    """A remote function was mapped over many items."""

    name: str
    origin: int
    refs: Sequence[Any]  # what `map` gave


class Watcher(Protocol):
    """Who shows what goes on. Called by the running cell, and must be quick."""

    def show_cell(self, task: CellTask) -> None:
        """A cell runs as a task."""

    def show_map(self, tasks: MapTasks) -> None:
        """Many tasks were submitted at once."""

    def end_cell(self) -> None:
        """The running cell ends."""

    def forget_cell(self, cell_id: str) -> None:
        """A cell runs again: what was shown under it is gone."""


class Session:
    """What jray knows of one shell. Made by `%load_ext jray`, closed by `%unload_ext jray`."""

    def __init__(self, shell: InteractiveShell) -> None:
        """Follow every runtime that starts in this process."""
        self.shell = shell
        self._origins: dict[str, int] = {}  # message id (or label, in a terminal) of an execution -> its number
        self._runs: dict[int, CellRun] = {}
        self._last = 0
        self._running_cells = int(getattr(shell.displayhook, "exec_result", None) is not None)  # one loads us, perhaps
        self.watcher: Watcher | None = None  # set by who has one
        self._watched: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._watcher: threading.Thread | None = None
        self._modules = OwnModules(stamps_of_autoreload(shell))
        self._stop_following = api.on_init(self._follow)
        shell.events.register("pre_run_cell", self._before_cell)
        shell.events.register("post_run_cell", self._after_cell)
        self._out = OutKeeper(shell, self.cell_of)
        name_files_with(self._name_of_file)

    @property
    def is_interactive(self) -> bool:
        """Whether texts may say what differs from run to run."""
        return not os.environ.get("JRAY_NONINTERACTIVE")

    @property
    def shows_late_output(self) -> bool:
        """Whether what appears after a cell has ended is seen.

        nbclient, and with it nbconvert and papermill, drops it. It is known by what it leaves out: front ends in which
        somebody looks on name the cell that they execute.
        """
        parent = self._parent()
        return self.is_interactive and (parent is None or "cellId" in parent.get("metadata", {}))

    def _parent(self) -> Parent | None:
        """The request that is being executed; None in a terminal."""
        parent: Parent | None = self.shell.get_parent() if hasattr(self.shell, "get_parent") else None
        return parent if parent and parent.get("header") else None

    @property
    def prompt_number(self) -> int:
        """The number that the user sees beside the running cell; IPython counts on before it runs a cell."""
        result = getattr(self.shell.displayhook, "exec_result", None)
        number = result.execution_count if result is not None else None
        return number if number is not None else self.shell.execution_count

    def run_of(self, origin: int) -> CellRun | None:
        """The execution that a number stands for."""
        return self._runs.get(origin)

    def current_run(self) -> CellRun:
        """The execution that runs in this thread now."""
        return self._runs[self.current_origin()]

    def current_origin(self) -> int:
        """The number of the execution that runs in this thread now."""
        parent = self._parent()
        label = f"In[{self.prompt_number}]"
        key = parent["header"]["msg_id"] if parent else label
        origin = self._origins.get(key)
        if origin is None:
            self._last += 1
            origin = self._origins[key] = self._last
            cell_id = parent.get("metadata", {}).get("cellId") if parent else None
            self._runs[origin] = CellRun(label, {"header": parent["header"]} if parent else None, cell_id)
            self._forget_oldest()
        return origin

    def label_of(self, origin: int) -> str | None:
        """The prompt of the execution that a number stands for: "In[5]"."""
        run = self._runs.get(origin)
        return run.label if run is not None else None

    def cell_of(self, ref: ObjectRef[Any]) -> str | None:
        """Which cell made the ref's object ("In[5]"), if that is known."""
        runtime = api.running()
        maker = runtime.maker_of(ref) if runtime is not None else None
        run = self.run_of(maker.origin) if maker is not None else None
        return run.label if run is not None else None

    def _forget_oldest(self) -> None:
        if len(self._runs) > _CELLS_KEPT:
            del self._runs[next(iter(self._runs))]
            del self._origins[next(iter(self._origins))]

    def _follow(self, runtime: EmbeddedBackend) -> None:
        runtime.current_origin = self.current_origin
        runtime.here.modules = self._modules
        runtime.show_output_with(NotebookSink(self.shell, self._parent_of))
        runtime.on_map = self._note_map
        runtime.prepare_workers(rich.install)

    def _parent_of(self, origin: int) -> Parent | None:
        run = self._runs.get(origin)
        return run.parent if run is not None else None

    @property
    def is_busy(self) -> bool:
        """Whether a cell runs: then the kernel may be unable to hear what pages say."""
        return self._running_cells > 0

    def note_cell_task(self, task: CellTask) -> None:
        """A cell was submitted as a task."""
        if self.watcher is not None:
            self.watcher.show_cell(task)

    def _note_map(self, name: str, refs: Sequence[Any]) -> None:
        if self.watcher is not None:
            self.watcher.show_map(MapTasks(name=name, origin=self.current_origin(), refs=refs))

    def _after_cell(self, _result: Any = None) -> None:
        self._running_cells = max(0, self._running_cells - 1)
        self._note_changes()
        forget_all()
        self._modules.note_imports()
        if self.watcher is not None:
            self.watcher.end_cell()

    def _note_changes(self) -> None:
        """Semantics 22: a large value that tasks of the cell captured was changed in place between two of them."""
        runtime = api.running()
        for value in runtime.large.changed_in_cell() if runtime is not None else ():
            names = (name for name, bound in self.shell.user_ns.items() if bound is value and not name.startswith("_"))
            name = next(names, f"a captured {type(value).__name__}")
            sys.stdout.write(
                f"{name} was changed in place while this cell started tasks. Tasks that were started in it after the "
                "change may still have seen the value from before it: large values are looked at once in a cell. "
                "Start those in another cell.\n"
            )

    def _before_cell(self, _info: Any = None) -> None:
        self._running_cells += 1
        self._modules.begin_cell()
        cell_id = getattr(_info, "cell_id", None)
        if cell_id is not None and self.watcher is not None:
            self.watcher.forget_cell(cell_id)
        runtime = api.running()
        if runtime is not None:
            runtime.guard_interrupts()  # ipykernel installs its own handler at the start of each cell

    # ---- cells that run as tasks

    def watch(self, done: ObjectRef[Any]) -> None:
        """When the task behind this ref fails, show the error under the cell that runs now."""
        run = self.current_run()
        runtime = api.running()
        if runtime is None:
            return
        if self._watcher is None:
            self._watcher = threading.Thread(target=self._serve, name="jray-cells", daemon=True)
            self._watcher.start()
        runtime.when_ready(done, lambda: self._watched.put(lambda: self._show_failure(runtime, done, run)))

    def _serve(self) -> None:
        while True:
            show = self._watched.get()
            if show is None:
                return
            show()
            del show  # with the reference that it holds

    def wait_and_show(self, done: ObjectRef[Any]) -> None:
        """Wait for the task behind this ref; when it fails, show the error under the cell that runs now."""
        runtime = api.running()
        if runtime is not None:
            runtime.wait([done], 1, None)
            self._show_failure(runtime, done, self.current_run())

    def _show_failure(self, runtime: EmbeddedBackend, done: ObjectRef[Any], run: CellRun) -> None:
        if not runtime.has_come(done):
            return  # the user has stopped jray: that is no news
        try:
            runtime.fetch([done], None)
        except JrayError as error:
            say(self.shell, run.parent, f"{type(error).__name__}: {error}\n")

    def _name_of_file(self, file: str) -> str:
        """`Cell In[5]` for the code of a cell; without the number where the text must be the same at each run."""
        name = self.shell.compile.format_code_name(file)
        if name is None:
            return f'File "{file}"'
        return f"{name[0]} {name[1]}" if self.is_interactive else name[0]

    def close(self) -> None:
        """Leave nothing behind in the shell."""
        name_files_with(None)
        self._stop_following()
        self.shell.events.unregister("pre_run_cell", self._before_cell)
        self.shell.events.unregister("post_run_cell", self._after_cell)
        self._out.close()
        if self._watcher is not None:
            self._watched.put(None)
            self._watcher.join()
