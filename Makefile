# Two commands: `make demo` shows the job on the sample cards, `make test` checks everything.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_RUN := build/demo
# Whole files to each process: a file's tests share models, runs and servers. Slow files come
# first (tests/conftest.py), so that no process is left with one at the end.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile \
  --no-loadscope-reorder
# Tests start the program by the hundred: without bytecode each one would compile it anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup demo test test-fast lint types format wheel clean

help:
	@echo 'make demo       set up .venv and read the sample cards'
	@echo 'make test       set up .venv, then lint, types and all tests'
	@echo 'make test-fast  the tests without the slow ones'
	@echo 'make lint       ruff and mypy --strict'
	@echo 'make format     let ruff format and fix'
	@echo 'make wheel      build an installable wheel in dist/'
	@echo 'make clean      remove build products (keeps .venv)'

setup: $(STAMP)

$(STAMP): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo 'vin_batch needs Python 3.11 to 3.13; say which: make PYTHON=python3.12 ...' >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: $(STAMP)
	@rm -rf $(DEMO_RUN)
	$(BIN)/vin-batch run sample_cards -o $(DEMO_RUN); code=$$?; [ $$code -eq 0 ] || [ $$code -eq 3 ] || exit $$code
	@$(BIN)/python jobs/show_demo.py $(DEMO_RUN) sample_cards/truth.csv

test: lint
	$(PYTEST)

test-fast: $(STAMP)
	$(PYTEST) -m 'not slow'

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

types: $(STAMP)
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(STAMP)
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
