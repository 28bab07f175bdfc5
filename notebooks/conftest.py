"""Cells run in their order also when a notebook is tested alone: `pytest --nbval notebooks/tour.ipynb`."""

# ruff: noqa: INP001 - a folder of notebooks, no package
from tests.conftest import pytest_collection_modifyitems  # noqa: F401 - a hook
