"""A Jupyter server of its own for tests: JupyterLab at /lab, Notebook 7 at /tree, nothing of the user's in it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Self
from urllib.error import URLError

import psutil

from tests.support.waiting import wait_until

_PATIENCE_S = 60


class JupyterServer:
    """Use it with `with`. It serves the folder `root` on the loopback interface, without a password."""

    def __init__(self, scratch: Path) -> None:
        self.root = scratch / "notebooks"
        self._scratch = scratch
        self._log = scratch / "server.log"

    def __enter__(self) -> Self:
        self.root.mkdir(parents=True)
        self._write_settings()
        port = _free_port()
        self.url = f"http://127.0.0.1:{port}"
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.root,
            "ServerApp.open_browser": False,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": "",
            "LabApp.expose_app_in_browser": True,
            "JupyterNotebookApp.expose_app_in_browser": True,
        }
        command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())]
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                command, env=self._environment(), cwd=self.root, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_until(self._answers, _PATIENCE_S, f"the Jupyter server answers; its log is {self._log}")
        return self

    def __exit__(self, *error: object) -> None:
        family = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        self._process.terminate()  # politely: it shuts its kernels down
        _, alive = psutil.wait_procs(family[1:], timeout=_PATIENCE_S / 2)
        for process in (*alive, self._process):
            process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"The Jupyter server ended at once. It said:\n{self._log.read_text()[-3000:]}")
        try:
            with urllib.request.urlopen(f"{self.url}/api/status", timeout=5):
                return True
        except (URLError, ConnectionError):
            return False

    def _write_settings(self) -> None:
        """So that nothing is asked, and nothing fetched from the network."""
        folder = self._scratch / "settings" / "@jupyterlab" / "apputils-extension"
        folder.mkdir(parents=True)
        settings = json.dumps({"fetchNews": "false", "checkForUpdates": False})
        (folder / "notification.jupyterlab-settings").write_text(settings)

    def _environment(self) -> dict[str, str]:
        unwanted = ("JUPYTER", "JRAY", "IPYTHON", "COV")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
        folders = {
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
        }
        return kept | {name: str(self._scratch / folder) for name, folder in folders.items()}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
