"""The shell of tests/kernel serves here too."""

from tests.kernel.conftest import shell, the_shell  # noqa: F401 - fixtures
