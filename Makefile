# One command each; `make help` lists them. Everything is installed into .venv, from PyPI.
# Needs Python 3.11 or newer with venv. Another Python: make lab PYTHON=python3.13

VENV ?= .venv
TOUR := notebooks/tour.ipynb
NOTEBOOKS := $(TOUR) notebooks/objects.ipynb
BIN := $(VENV)/bin

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# The first of the usual names that is new enough; looked up only when .venv is made.
PYTHON ?= $(or $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done),python3)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab test tour check lint format bench wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

lab: $(VENV)/.installed-lab ## set everything up, open JupyterLab on the tour (LAB_ARGS="--port=9000" passes more)
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/$(TOUR) $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

test: $(VENV)/.installed-test ## set up what the tests need; run all of them and the notebooks (TEST_ARGS="-k ref" passes more)
	JRAY_NONINTERACTIVE=1 $(BIN)/python -m pytest --nbval --nbval-current-env tests $(NOTEBOOKS) $(TEST_ARGS)

tour: $(VENV)/.installed-lab ## run the tour without a browser and print what it did
	@JRAY_NONINTERACTIVE=1 $(BIN)/jupyter nbconvert --log-level=WARN --to markdown --execute --stdout \
		--NbConvertBase.display_data_priority='["text/plain"]' $(TOUR)

check: lint ## format, lint, types, layers, and the fast tests
	$(BIN)/python -m pytest -q -m "not slow" tests

lint: $(VENV)/.installed-test ## the part of `make check` that runs nothing: format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.installed-test ## format the code and mend what the linter can mend by itself
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-bench ## jray's speed beside Ray's and the standard library's (BENCH_ARGS="--only put --no-ray")
	$(BIN)/python benchmarks/bench.py $(BENCH_ARGS)

wheel: $(BIN)/python ## build dist/jray-*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/jray-*.whl

clean: ## remove .venv and everything that was built or cached
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- .venv ----------------------------------------------------------------------------------------------
# A stamp file for each set of packages: installed again when pyproject.toml is newer, else not touched.

$(VENV)/.installed-bench: EXTRAS := [bench]
$(VENV)/.installed-lab: EXTRAS := [lab]
$(VENV)/.installed-test: EXTRAS := [test,check]

$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@echo "Installing jray$(EXTRAS) into $(VENV); the first time this takes a minute or two."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.$(EXTRAS)'
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c '$(IS_NEW_ENOUGH)' || { \
		echo "jray needs Python 3.11 or newer, but '$(PYTHON)' is: $$($(PYTHON) --version 2>&1 | head -n 1)."; \
		echo "Name another one: make $(or $(MAKECMDGOALS),lab) PYTHON=/path/to/python3.11"; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		rm -rf $(VENV); \
		echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; \
		exit 1; }
