# Two commands do everything on a fresh machine: `make chat` and `make test`.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help chat install test lint models screenshots recordings clean

help:
	@echo "make chat     install what the app needs into .venv and open it"
	@echo "make test     install the development tools too and run every test"
	@echo "make install  the runtime alone"
	@echo "make lint     ruff, mypy and the import contracts"
	@echo "make models DATA=FOLDER  make both models anew (hours; FOLDER holds the mail corpora)"
	@echo "make screenshots  pictures of the app's main states into docs/screenshots"
	@echo "make recordings   sessions in tmux as plain text into docs/recordings"
	@echo "make clean    remove .venv and caches"

# The stamps depend on pyproject.toml alone: nothing is installed twice while it stays as it is.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Frontdesk needs Python 3.11 or newer, this is %s. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" % sys.version.split()[0])'
	@# Debian keeps ensurepip in a package of its own; pip itself can fill the environment then.
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 \
	  || { rm -rf $(VENV); $(PYTHON) -m venv --without-pip $(VENV) \
	       && $(PYTHON) -m pip --quiet --python $@ install pip; } \
	  || { rm -rf $(VENV); echo "No virtual environment could be made: install python3-venv (Debian, Ubuntu) or another Python, then try again." >&2; exit 1; }

$(VENV)/.runtime: pyproject.toml | $(BIN)/python
	@echo "Installing what the app needs into $(VENV) (once) ..."
	@$(PIP) install --quiet --editable . \
	  || { echo "The installation did not finish: see the lines above; without a network it needs the packages in pip's cache." >&2; exit 1; }
	@touch $@

$(VENV)/.development: pyproject.toml | $(BIN)/python
	@echo "Installing the training and development tools into $(VENV) (once; PyTorch is large) ..."
	@$(PIP) install --quiet --editable '.[train,dev]'
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

recordings: $(VENV)/.development
	$(BIN)/python -m assistant.tui.recordings docs/recordings

screenshots: $(VENV)/.development
	$(BIN)/python -m assistant.tui.screenshots docs/screenshots

models: $(VENV)/.development
	@test -n "$(DATA)" || { echo "Give the folder with the mail corpora: make models DATA=FOLDER" >&2; exit 2; }
	$(BIN)/training import
	$(BIN)/training import --model minilm
	$(BIN)/training finetune encoder --preset handbook --output runs/encoder
	$(BIN)/training handbook build runs/encoder/checkpoint -o runs/handbook --entries 1
	$(BIN)/training handbook judge runs/handbook
	$(BIN)/training finetune chat --preset support-chat --output runs/support-chat
	$(BIN)/training finetune chat --preset four-bit --output runs/four-bit
	$(BIN)/training export runs/four-bit/checkpoint -o models/support-chat --quantization int4-symmetric
	$(BIN)/training handbook attach runs/handbook models/support-chat
	$(BIN)/training finetune classifier --preset email-spam --output runs/email-spam \
	  --set 'data.files=["$(DATA)", "training/datasets/mail.jsonl", "training/datasets/mail2.jsonl"]'
	$(BIN)/training export runs/email-spam/checkpoint -o models/email-spam

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
