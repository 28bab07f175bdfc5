# One command each; `make help` lists them. Everything is installed into .venv, from PyPI.
# Needs Python 3.11 or newer with venv. Another Python: make lab PYTHON=python3.13

VENV ?= .venv
TOUR := notebooks/tour.ipynb
NOTEBOOKS := $(TOUR) notebooks/objects.ipynb notebooks/definitions.ipynb
BIN := $(VENV)/bin

# The front end: built where there is Node.js, and done without elsewhere. Looked up only when it is asked for.
FRONTEND := jray/widgets/static/widget.js
FRONTEND_SOURCES = $(addprefix labextension/,package.json package-lock.json tsconfig.json) $(shell find labextension/src -type f)
NODE_MODULES := labextension/node_modules/.installed
HAS_NODE = $(shell command -v npm >/dev/null && node -e 'process.exit(parseInt(process.versions.node) < 18 ? 1 : 0)' && echo yes)
NO_NODE := No front end: Node.js 18 or newer with npm is missing. Everything but live widgets works without it.

# On a machine of continuous integration a missing browser is an error, and the tests say so.
HAS_CHROMIUM = $(CI)$(shell command -v chromium chromium-browser google-chrome)
NO_CHROMIUM := The tests in a browser are left out: no Chromium. To run them: apt-get install chromium

IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
# The first of the usual names that is new enough; looked up only when .venv is made.
PYTHON ?= $(or $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$p && break; done),python3)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help lab test pictures tour check lint format frontend bench bench-check wheel clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

lab: $(VENV)/.installed-lab ## set everything up, open JupyterLab on the tour (LAB_ARGS="--port=9000" passes more)
	@$(MAKE) --no-print-directory frontend || echo "No front end: see above. Everything but live widgets works without it."
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/$(TOUR) $(if $(filter 0,$(shell id -u)),--allow-root) $(LAB_ARGS)

test: $(VENV)/.installed-test frontend ## set up what the tests need; run all of them and the notebooks (TEST_ARGS="-k ref" passes more)
	$(if $(HAS_NODE),npm --prefix labextension test)
	@$(if $(HAS_CHROMIUM),,echo "$(NO_CHROMIUM)")
	JRAY_NONINTERACTIVE=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval --nbval-current-env tests $(NOTEBOOKS) \
		$(if $(HAS_CHROMIUM),,--ignore=tests/browser) $(TEST_ARGS)

pictures: $(VENV)/.installed-test frontend ## renew the README's pictures in docs/images, in a real browser
	JRAY_SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/browser/test_readme.py

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
	@$(if $(HAS_NODE),$(MAKE) --no-print-directory lint-frontend,echo "$(NO_NODE)")

.PHONY: lint-frontend
lint-frontend: $(NODE_MODULES)
	npm --prefix labextension run check

format: $(VENV)/.installed-test ## format the code and mend what the linter can mend by itself
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .
	@$(if $(HAS_NODE),$(MAKE) --no-print-directory format-frontend,echo "$(NO_NODE)")

.PHONY: format-frontend
format-frontend: $(NODE_MODULES)
	npm --prefix labextension run format

frontend: ## build the live widgets, where there is Node.js
	@$(if $(HAS_NODE),$(MAKE) --no-print-directory $(FRONTEND),echo "$(NO_NODE)")

bench: $(VENV)/.installed-bench ## jray's speed beside Ray's, loky's, Dask's and the standard library's (BENCH_ARGS="--help")
	$(BIN)/python benchmarks/bench.py $(BENCH_ARGS)

bench-check: $(VENV)/.installed-bench ## name what fell by more than a fifth beside its peers since the kept run
	$(BIN)/python benchmarks/bench.py --check --rounds 1 $(BENCH_ARGS)

wheel: $(BIN)/python ## build dist/jray-*.whl
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/jray-*.whl

clean: ## remove .venv and everything that was built or cached
	rm -rf $(VENV) build dist jray/widgets/static labextension/build labextension/node_modules .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- the front end -----------------------------------------------------------------------------------------

$(FRONTEND): $(NODE_MODULES) $(FRONTEND_SOURCES)
	npm --prefix labextension run build
	@touch $@ jray/widgets/static/widget.css

$(NODE_MODULES): labextension/package.json labextension/package-lock.json
	npm --prefix labextension ci
	@touch $@

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
