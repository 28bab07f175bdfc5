"""A real ipykernel: execute cells, see which message belongs to which cell."""

from __future__ import annotations

import queue
import sys
from dataclasses import dataclass, field

from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

_PATIENCE_S = 60


@dataclass
class Cell:
    """What one execution published, wherever it was parented to it."""

    message_id: str
    stdout: str = ""
    stderr: str = ""
    displays: list = field(default_factory=list)  # text/plain of display_data and execute_result
    error: str = ""  # "Name: value"


class Kernel:
    """One kernel process. Use it with `with`."""

    def __init__(self, **environment) -> None:
        self._manager = KernelManager()
        self._manager._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="test",
            language="python",
            metadata={"debugger": False},
        )
        self._environment = environment
        self.cells: dict[str, Cell] = {}

    def __enter__(self):
        import os

        self._manager.start_kernel(env={**os.environ, **self._environment}, stderr=-3, stdout=-3)
        self.client = self._manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=_PATIENCE_S)
        return self

    def __exit__(self, *error):
        self.client.stop_channels()
        if self._manager.has_kernel:
            self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    @property
    def pid(self):
        return self._manager.provisioner.process.pid

    def start(self, code: str) -> Cell:
        """Send a cell; do not wait."""
        cell = Cell(self.client.execute(code, store_history=True))
        self.cells[cell.message_id] = cell
        return cell

    def finish(self, cell: Cell) -> Cell:
        """Wait until the kernel is idle after the cell."""
        self.read_until(lambda message: _is_idle(message) and _parent(message) == cell.message_id)
        return cell

    def run(self, code: str) -> Cell:
        return self.finish(self.start(code))

    def read_until(self, is_it) -> None:
        """Note down messages until one is the one we wait for."""
        while True:
            message = self.client.get_iopub_msg(timeout=_PATIENCE_S)
            self._note(message)
            if is_it(message):
                return

    def read_until_stdout(self, cell: Cell, text: str) -> None:
        if text not in cell.stdout:
            self.read_until(lambda _: text in cell.stdout)

    def read_until_stderr(self, cell: Cell, text: str) -> None:
        if text not in cell.stderr:
            self.read_until(lambda _: text in cell.stderr)

    def drain(self) -> None:
        """Take what is there already."""
        try:
            while True:
                self._note(self.client.get_iopub_msg(timeout=0))
        except queue.Empty:
            pass

    def interrupt(self) -> None:
        self._manager.interrupt_kernel()

    def _note(self, message) -> None:
        cell = self.cells.get(_parent(message))
        content = message["content"]
        if cell is None:
            return
        match message["msg_type"]:
            case "stream" if content["name"] == "stdout":
                cell.stdout += content["text"]
            case "stream":
                cell.stderr += content["text"]
            case "display_data" | "execute_result":
                cell.displays.append(content["data"]["text/plain"])
            case "error":
                cell.error = f"{content['ename']}: {content['evalue']}"


def _parent(message):
    return message["parent_header"].get("msg_id")


def _is_idle(message):
    return message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
