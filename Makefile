# The two commands a newcomer needs are `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint screenshots faults fuzz mutants clean

run: $(VENV)/.installed
	$(BIN)/sluice demo

test: $(VENV)/.installed-dev
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || { \
	  echo "The console's tests need a browser; installing chromium with apt"; \
	  apt-get update -q && apt-get install -qy chromium fonts-noto-cjk; }
	@tests/interop/install.sh
	$(BIN)/ruff check .
	$(BIN)/python -m pytest

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Every page in both languages, wide and narrow, to be looked at.
screenshots: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -q -o faulthandler_timeout=600 tests/browser/page_shots.py
	@echo "build/screenshots/ has every page, and sheets with several."

faults: $(VENV)/.installed-dev
	$(BIN)/python -m tests.faults

# An hour in all, or `make fuzz SECONDS=600`.
fuzz: SECONDS ?= 3600
fuzz: $(VENV)/.installed-dev
	$(BIN)/pip install --quiet --disable-pip-version-check --group fuzz
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

mutants: $(VENV)/.installed-dev
	$(BIN)/python -m tests.mutants

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Sluice needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { \
	  echo "python3-venv is missing; installing it with apt"; \
	  rm -rf $(VENV); (apt-get update -q && apt-get install -qy python3-venv) && $(PYTHON) -m venv $(VENV); }

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	$(BIN)/pip install --quiet --disable-pip-version-check --group dev
	@touch $@

clean:
	rm -rf $(VENV) .interop .fuzz build *.egg-info
