"""The contracts in pyproject.toml hold, and no room escapes them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
CONTRACTS = {contract["id"]: contract for contract in CONFIG["contracts"]}
# jray.runtime is the sum of its rooms; the package itself only holds a docstring.
PACKAGES_OF_ROOMS = {"jray.runtime"}


def test_import_contracts_are_kept():
    # In a process of its own: the linter configures logging, and thereby switches off every logger that exists.
    linter = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    checked = subprocess.run(
        [*linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_room_has_its_floor_or_is_a_leaf():
    layers = re.findall(r"jray[\w.]+", " ".join(CONTRACTS["layers"]["layers"]))
    known = {*layers, *CONTRACTS["leaves"]["source_modules"], *PACKAGES_OF_ROOMS}

    assert rooms() - known == set(), "Say in pyproject.toml, [tool.importlinter], on which floor they live."


def rooms() -> set[str]:
    """Modules and packages right below jray and jray.runtime."""
    found = set()
    for package in (ROOT / "jray", ROOT / "jray" / "runtime"):
        name = ".".join(package.relative_to(ROOT).parts)
        for path in package.iterdir():
            is_module = path.suffix == ".py" and path.stem != "__init__"
            is_package = path.is_dir() and any(path.rglob("*.py"))
            if is_module or is_package:
                found.add(f"{name}.{path.stem}")
    return found
