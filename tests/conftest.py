"""What every test can use, and the guards that fail a test which leaves something behind.

Pure tests pay some 50 µs for the guard (children, threads). Tests that use `runtime` or `runtime_with`
are also held to their file descriptors, to their shared memory, and to every process below this one.
"""

from __future__ import annotations

import os

import hypothesis
import pytest

from tests.support.leaks import Footprint, descendants, find_leaks, survivors

# No deadline: how long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("jray", deadline=None, print_blob=True)
hypothesis.settings.load_profile("jray")

_HAS_FAILED = pytest.StashKey[bool]()


def pytest_collection_modifyitems(items):
    """Cells of a notebook run in their order, after the tests: pytest-randomly would shuffle them."""
    cells = [item for item in items if type(item).__name__ == "IPyNbCell"]
    if cells:
        tests = [item for item in items if type(item).__name__ != "IPyNbCell"]
        items[:] = [*tests, *sorted(cells, key=lambda cell: (str(cell.path), cell.cell_num))]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    item.stash[_HAS_FAILED] = item.stash.get(_HAS_FAILED, False) or report.failed
    return report


@pytest.fixture(autouse=True)
def _same_surroundings_everywhere():
    """`make test` sets JRAY_NONINTERACTIVE for the notebooks; a test that wants it says so itself."""
    value = os.environ.pop("JRAY_NONINTERACTIVE", None)
    yield
    if value is not None:
        os.environ["JRAY_NONINTERACTIVE"] = value


@pytest.fixture(autouse=True)
def _leaves_nothing_behind(request):
    is_deep = "runtime_with" in request.fixturenames
    before = Footprint.take(deep=is_deep)
    yield
    # The traceback of a failed test keeps its locals alive, and with them memory and descriptors.
    has_failed = request.node.stash.get(_HAS_FAILED, False)
    leaked = find_leaks(before, deep=is_deep and not has_failed)
    if leaked:
        pytest.fail("This test left behind:\n- " + "\n- ".join(leaked), pytrace=False)


@pytest.fixture
def runtime_with():
    """Starts a runtime as the test wants it: `jray = runtime_with(num_cpus=1, resources={"gpu": 2})`.

    Called again, it shuts the first one down. After the test nothing of it may be alive.
    """
    import jray

    def shut_down() -> list[str]:
        processes = descendants()
        jray.shutdown()
        return survivors(processes)

    outlived: list[str] = []

    def start(**options):
        if jray.is_initialized():
            outlived.extend(shut_down())
        jray.init(**options)
        return jray

    yield start
    outlived.extend(shut_down())
    if outlived:
        pytest.fail("These outlived jray.shutdown():\n- " + "\n- ".join(outlived), pytrace=False)


@pytest.fixture
def runtime(runtime_with):
    """The module `jray`, with two CPUs."""
    return runtime_with(num_cpus=2)


@pytest.fixture(params=["memfd", "file"])
def memory_kind(request, monkeypatch):
    """Both kinds of memory: the test runs once in each, and so do all processes that it starts."""
    monkeypatch.setenv("JRAY_NO_MEMFD", "1" if request.param == "file" else "0")
    return request.param
