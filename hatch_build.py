"""Builds the front end, `labextension/` -> `jray/widgets/static/`, before jray is packed or installed from its sources.

Only when it is missing or older than its sources: a source distribution brings it along, and installs without Node.js.
Where it can't be built, jray is installed without it and says so; JRAY_REQUIRE_FRONTEND=1 makes that an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMMANDS = (("ci",), ("run", "build"))


class FrontEndMissingError(Exception):
    """There is no front end, and none could be built."""


class FrontEndHook(BuildHookInterface[Any]):
    """What hatchling calls, for each target."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Warn, or raise when the front end is required, if there is none in the end."""
        try:
            build_if_stale(Path(self.root))
        except FrontEndMissingError as error:
            if os.environ.get("JRAY_REQUIRE_FRONTEND") == "1":
                raise
            self.app.display_warning(str(error))


def build_if_stale(root: Path) -> None:
    """Build the front end below `root` unless what is there is as new as its sources."""
    if not is_stale(root):
        return
    npm = shutil.which("npm")
    if npm is None:
        raise FrontEndMissingError(
            "jray's live widgets are not built: npm was not found. Everything else works without them. "
            "Install Node.js 18 or newer with npm, and install jray again."
        )
    for arguments in COMMANDS:
        done = subprocess.run(
            [npm, *arguments],
            cwd=root / "labextension",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise FrontEndMissingError(
                f"jray's live widgets are not built: `npm {' '.join(arguments)}` in labextension/ failed, see below. "
                "Everything else works without them. Mend what it says, and install jray again.\n"
                + "\n".join((done.stdout + done.stderr).splitlines()[-20:])
            )
    for path in outputs(root):
        path.touch()


def is_stale(root: Path) -> bool:
    """Whether a part of the front end is missing or older than a source. Equal times are those of an archive."""
    if not all(path.is_file() for path in outputs(root)):
        return True
    return min(_times(outputs(root))) < max(_times(sources(root)))


def outputs(root: Path) -> list[Path]:
    """What the build makes."""
    return [root / "jray" / "widgets" / "static" / name for name in ("widget.css", "widget.js")]


def sources(root: Path) -> list[Path]:
    """What the build reads."""
    folder = root / "labextension"
    files = [folder / name for name in ("package.json", "package-lock.json", "tsconfig.json")]
    return [*files, *(path for path in (folder / "src").rglob("*") if path.is_file())]


def _times(paths: list[Path]) -> list[float]:
    return [path.stat().st_mtime for path in paths]
