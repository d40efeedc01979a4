# Every target sets up what it needs; the second time that costs nothing.
SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= 2

.PHONY: help setup demo test coverage lint types floors docs bench bench-smoke clean

help:
	@echo "make demo    three recorded runs on real images, traced to the raw data"
	@echo "make test    all tests"
	@echo "make bench   speed, each figure beside its floor      make docs   the documentation site"
	@echo "make lint    ruff                                     make types  mypy --strict"

setup: $(READY)

$(READY): pyproject.toml
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "deriva-ml needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@test -x $(BIN)/python || "$(PYTHON)" -m venv $(VENV) || { "$(PYTHON)" -m pip install --quiet --user virtualenv && "$(PYTHON)" -m virtualenv --quiet $(VENV); }
	@echo "Setting up $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev,docs]'
	@touch $(READY)

demo: setup
	@$(BIN)/deriva-ml demo

test: setup
	@$(BIN)/python -m pytest -n $(WORKERS) -q $(PYTEST_ARGS)

coverage:
	@$(MAKE) test PYTEST_ARGS='--cov --cov-report=term'

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: setup
	@$(BIN)/mypy

floors: setup
	@$(BIN)/python -m pytest -q tests/test_floors.py

docs: setup
	@$(BIN)/mkdocs build --strict --quiet

bench: setup
	@$(BIN)/python -m benchmarks

bench-smoke: setup
	@$(BIN)/python -m benchmarks --smoke

clean:
	rm -rf $(VENV) build dist site demo *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
