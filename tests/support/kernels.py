"""A real ipykernel: execute cells, see which message belongs to which cell."""

from __future__ import annotations

import itertools
import os
import queue
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

import psutil
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from tests.support.waiting import wait_until

_PATIENCE_S = 60
_NO_HISTORY = "--HistoryManager.enabled=False"  # the user's own is not for tests


@dataclass
class Cell:
    """What one execution published, wherever it was parented to it."""

    message_id: str
    stdout: str = ""
    stderr: str = ""
    displays: list = field(default_factory=list)  # text/plain of display_data and execute_result
    bundles: list = field(default_factory=list)  # all of their data, by mimetype
    views: list = field(default_factory=list)  # of jray: the data of each picture, in the order of their updates
    error: str = ""  # "Name: value"
    traceback: str = ""  # of the error, as shown but for colours
    label: str = ""  # "In[5]"


@dataclass
class Comm:
    """A line to a widget in the page."""

    states: list = field(default_factory=list)  # what was set, update by update
    is_closed: bool = False

    @property
    def views(self):
        return [state["view"] for state in self.states if "view" in state]


class Kernel:
    """One kernel process. Use it with `with`.

    Cells are sent as JupyterLab sends them, with the id of the cell; `names_its_cells=False` sends them as nbclient does.
    """

    def __init__(self, *, names_its_cells: bool = True, **environment) -> None:
        self._manager = KernelManager()
        self._manager._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", _NO_HISTORY],
            display_name="test",
            language="python",
            metadata={"debugger": False},
        )
        self._names_its_cells = names_its_cells
        self._environment = environment
        self._numbers = itertools.count()
        self.cells: dict[str, Cell] = {}
        self.comms: dict[str, Comm] = {}
        self._viewed: dict[str, Cell] = {}  # by display id

    def __enter__(self):
        # A kernel that a whole module shares starts before the fixture that takes `make test`'s setting away.
        surroundings = {name: value for name, value in os.environ.items() if name != "JRAY_NONINTERACTIVE"}
        environment = surroundings | self._environment
        self._manager.start_kernel(env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self._connect()
        return self

    def __exit__(self, *error):
        self.client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def _connect(self):
        self.client = self._manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=_PATIENCE_S)

    # ---- the process

    @property
    def pid(self):
        return self._manager.provisioner.process.pid

    def family(self):
        """The processes below the kernel, now: zygote and workers."""
        return psutil.Process(self.pid).children(recursive=True)

    def interrupt(self) -> None:
        """The stop button."""
        self._manager.interrupt_kernel()

    def shut_down(self) -> None:
        """Politely, as closing a notebook does."""
        self._manager.shutdown_kernel()

    def restart(self) -> None:
        """As the restart button does: politely, then a new process."""
        self.client.stop_channels()
        self._manager.restart_kernel()
        self._connect()

    # ---- cells

    def new_subshell(self) -> str:
        """The id of another thread that runs cells beside the main one."""
        asked = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(asked)
        while True:
            reply = self.client.get_control_msg(timeout=_PATIENCE_S)
            if _parent(reply) == asked["header"]["msg_id"]:
                return reply["content"]["subshell_id"]

    def start(self, code: str, *, cell_id: str | None = None, subshell: str | None = None) -> Cell:
        """Send a cell; do not wait."""
        content = {
            "code": code,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": False,
            "stop_on_error": True,
        }
        metadata = {"cellId": cell_id or f"cell-{next(self._numbers)}"} if self._names_its_cells else {}
        message = self.client.session.msg("execute_request", content, metadata=metadata)
        if subshell is not None:
            message["header"]["subshell_id"] = subshell
        self.client.shell_channel.send(message)
        cell = Cell(message["header"]["msg_id"])
        self.cells[cell.message_id] = cell
        return cell

    def finish(self, cell: Cell) -> Cell:
        """Wait until the kernel is idle after the cell. What is published later is not seen by this."""
        self.read_until(lambda message: _is_idle(message) and _parent(message) == cell.message_id)
        return cell

    def run(self, code: str, *, cell_id: str | None = None) -> Cell:
        return self.finish(self.start(code, cell_id=cell_id))

    def value(self, expression: str) -> str:
        """What `print(expression)` prints."""
        cell = self.run(f"print({expression})")
        assert cell.error == "", cell.error
        return cell.stdout.removesuffix("\n")

    def send_comm(self, target: str, text: str) -> None:
        """What a widget in the browser sends; waits until the kernel has handled both messages."""
        for kind, content in (
            ("comm_open", {"comm_id": target, "target_name": target, "data": {}}),
            ("comm_msg", {"comm_id": target, "data": text}),
        ):
            message = self.client.session.msg(kind, content)
            self.client.shell_channel.send(message)
            sent = message["header"]["msg_id"]
            self.read_until(lambda seen, sent=sent: _is_idle(seen) and _parent(seen) == sent)

    def say(self, comm_id: str, content: object, *, waits: bool = True) -> None:
        """What a page says to a widget; waits until the kernel has heard it."""
        data = {"method": "custom", "content": content}
        message = self.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
        self.client.shell_channel.send(message)
        sent = message["header"]["msg_id"]
        if waits:
            self.read_until(lambda seen: _is_idle(seen) and _parent(seen) == sent)

    # ---- messages

    def read_until(self, is_it) -> None:
        """Note down messages until one is the one we wait for."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"Waited {_PATIENCE_S} s for a message in vain; cells: {self.cells}") from None
            self._note(message)
            if is_it(message):
                return

    def read_until_true(self, condition) -> None:
        """Note down messages until `condition()` holds of what the cells have got."""
        if not condition():
            self.read_until(lambda _: condition())

    def read_until_stdout(self, cell: Cell, text: str) -> None:
        self.read_until_true(lambda: text in cell.stdout)

    def read_until_stderr(self, cell: Cell, text: str) -> None:
        self.read_until_true(lambda: text in cell.stderr)

    def _note(self, message) -> None:
        content = message["content"]
        self._note_comm(message["msg_type"], content)
        cell = self.cells.get(_parent(message))
        shown = content.get("transient", {}).get("display_id")
        if content.get("metadata", {}).get("jray", {}).get("view"):
            if message["msg_type"] == "display_data" and cell is not None:
                self._viewed[shown] = cell
            if shown in self._viewed:
                self._viewed[shown].views.append(content["data"])
            return
        if cell is None:
            return
        match message["msg_type"]:
            case "execute_input":
                cell.label = f"In[{content['execution_count']}]"
            case "stream" if content["name"] == "stdout":
                cell.stdout += content["text"]
            case "stream":
                cell.stderr += content["text"]
            case "display_data" | "execute_result":
                cell.displays.append(content["data"]["text/plain"])
                cell.bundles.append(content["data"])
            case "error":
                cell.error = f"{content['ename']}: {content['evalue']}"
                cell.traceback = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(content["traceback"]))

    def _note_comm(self, kind: str, content) -> None:
        match kind:
            case "comm_open":
                self.comms[content["comm_id"]] = Comm([content["data"].get("state", {})])
            case "comm_msg" if content["data"].get("method") == "update":
                self.comms[content["comm_id"]].states.append(content["data"]["state"])
            case "comm_close":
                self.comms[content["comm_id"]].is_closed = True


def wait_until_gone(processes, timeout_s: float = 20) -> None:
    """None of them is left but as a zombie that its new parent has not collected yet."""
    wait_until(lambda: not any(_is_alive(process) for process in processes), timeout_s, "processes outlived the kernel")


def _is_alive(process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _parent(message):
    return message["parent_header"].get("msg_id")


def _is_idle(message):
    return message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
