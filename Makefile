# Two commands do everything on a fresh machine: `make chat` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help chat install test lint clean

help:
	@echo "make chat     install what the app needs into .venv and open it"
	@echo "make test     install the development tools too and run every test"
	@echo "make install  the runtime alone"
	@echo "make lint     ruff, mypy and the import contracts"
	@echo "make clean    remove .venv and caches"

# The stamps depend on pyproject.toml alone: nothing is installed twice while it stays as it is.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Frontdesk needs Python 3.11 or newer, this is %s. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" % sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable .
	@touch $@

$(VENV)/.development: pyproject.toml | $(BIN)/python
	$(PIP) install --quiet --editable '.[train,dev]'
	@touch $@ $(VENV)/.runtime

install: $(VENV)/.runtime

chat: $(VENV)/.runtime
	@$(BIN)/assistant

test: $(VENV)/.development
	$(BIN)/python -m pytest

lint: $(VENV)/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
