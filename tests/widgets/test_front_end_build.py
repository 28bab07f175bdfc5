"""hatch_build.py: the front end gets into what is built, and its absence hinders nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT = {"jray/widgets/static/widget.js", "jray/widgets/static/widget.css"}


@pytest.fixture(scope="module")
def hook():
    """The module hatch_build, which is in no package."""
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(tmp_path):
    """What the build looks at, and no more."""
    root = tmp_path / "project"
    (root / "labextension" / "src").mkdir(parents=True)
    (root / "jray" / "widgets" / "static").mkdir(parents=True)
    for name in ("package.json", "package-lock.json", "tsconfig.json", "src/widget.ts"):
        (root / "labextension" / name).write_text("")
    return root


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm that writes down what it is asked for, and whose build makes the two files."""
    folder = tmp_path / "bin"
    folder.mkdir()
    static = "../jray/widgets/static"
    script = f"#!/bin/sh\necho npm $* >>{tmp_path}/calls\n[ $1 = ci ] || : >{static}/widget.js >{static}/widget.css\n"
    (folder / "npm").write_text(script)
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    return folder / "npm", lambda: (tmp_path / "calls").read_text().splitlines()


def make_outputs(root: Path, *, at: float) -> None:
    for name in BUILT:
        (root / name).write_text("")
        os.utime(root / name, (at, at))


def test_a_front_end_that_is_missing_is_built(hook, project, npm):
    hook.build_if_stale(project)

    assert npm[1]() == ["npm ci", "npm run build"]
    assert not hook.is_stale(project)


def test_a_front_end_older_than_a_source_is_built_again(hook, project, npm):
    make_outputs(project, at=1e9)

    hook.build_if_stale(project)

    assert npm[1]() == ["npm ci", "npm run build"]


def test_a_front_end_as_new_as_its_sources_is_left_alone(hook, project, monkeypatch):
    monkeypatch.setenv("PATH", "")
    make_outputs(project, at=1e9)
    for path in hook.sources(project):
        os.utime(path, (1e9, 1e9))

    hook.build_if_stale(project)


def test_without_npm_the_error_says_what_is_missing(hook, project, monkeypatch):
    monkeypatch.setenv("PATH", "")

    with pytest.raises(
        hook.FrontEndMissingError, match=r"npm was not found\. Everything else works .* Install Node\.js"
    ):
        hook.build_if_stale(project)


def test_when_npm_fails_the_error_shows_what_it_said(hook, project, npm):
    npm[0].write_text("#!/bin/sh\necho no such package >&2\nexit 1\n")

    with pytest.raises(hook.FrontEndMissingError, match=r"`npm ci` in labextension/ failed.*\n.*no such package"):
        hook.build_if_stale(project)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The files of this project that hatchling looks at, without a built front end."""
    root = tmp_path_factory.mktemp("checkout")
    unwanted = shutil.ignore_patterns("static", "node_modules", "build", "__pycache__")
    for name in ("jray", "labextension"):
        shutil.copytree(ROOT / name, root / name, ignore=unwanted)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    return root


def build(root: Path, target: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """As pip does it, without Node.js."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(root / "dist")]
    environment = {"PATH": "/nowhere", "HOME": str(root), **environment}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, timeout=100, check=False)


def test_a_wheel_without_the_front_end_is_made_with_a_warning(checkout):
    built = build(checkout, "wheel")

    assert built.returncode == 0, built.stderr
    assert "live widgets are not built: npm was not found." in built.stdout + built.stderr


def test_a_wheel_that_requires_the_front_end_is_not_made_without_it(checkout):
    built = build(checkout, "wheel", JRAY_REQUIRE_FRONTEND="1")

    assert built.returncode != 0
    assert "npm was not found." in built.stderr


def test_wheel_and_sdist_contain_what_was_built_and_the_sdist_its_sources(checkout, tmp_path):
    root = tmp_path / "built"
    shutil.copytree(checkout, root)
    (root / "jray" / "widgets" / "static").mkdir()
    make_outputs(root, at=4e9)
    (root / "labextension" / "node_modules").mkdir()
    (root / "labextension" / "node_modules" / "unwanted.json").write_text("{}")

    for target in ("wheel", "sdist"):
        built = build(root, target, JRAY_REQUIRE_FRONTEND="1")
        assert built.returncode == 0, built.stderr

    wheel = set(zipfile.ZipFile(next((root / "dist").glob("*.whl"))).namelist())
    assert wheel >= BUILT
    assert not [name for name in wheel if "labextension" in name]
    with tarfile.open(next((root / "dist").glob("*.tar.gz"))) as archive:
        sdist = {name.partition("/")[2] for name in archive.getnames()}
    assert sdist >= BUILT | {"hatch_build.py", "labextension/src/widget.ts", "labextension/package-lock.json"}
    assert not [name for name in sdist if "node_modules" in name]


def test_an_unpacked_sdist_is_not_stale(checkout, tmp_path, hook):
    root = tmp_path / "built"
    shutil.copytree(checkout, root)
    (root / "jray" / "widgets" / "static").mkdir()
    make_outputs(root, at=4e9)
    assert build(root, "sdist").returncode == 0
    with tarfile.open(next((root / "dist").glob("*.tar.gz"))) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")

    assert not hook.is_stale(next((tmp_path / "unpacked").iterdir()))
