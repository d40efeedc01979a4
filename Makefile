# Every target sets up what it needs; the second time that costs nothing.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3; do $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && command -v $$p && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := $(VENV)/.demo
WORKERS ?= 2
SECONDS_OF_TORTURE ?= 600

.PHONY: fuzz help setup demo test coverage lint types floors docs map bench bench-growth bench-smoke torture clean

help:
	@echo "make demo    three recorded runs on real images, traced to the raw data"
	@echo "make test    all tests"
	@echo "make bench   speed, each figure beside its floor      make docs   the documentation site"
	@echo "make bench-growth  a million rows with ten million versions; memory of large commits (minutes, 8 GB)"
	@echo "make fuzz    random input for every reader of text from outside (Linux)"
	@echo "make torture kills, bad disks, power cuts, a bad wire and crowds, for SECONDS_OF_TORTURE=600 seconds"
	@echo "make lint    ruff                                     make types  mypy --strict"

setup: $(READY)

# Debian's python3 may come without the means to make environments: then pip brings them.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "deriva-ml needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@"$(PYTHON)" -m venv $(VENV) || { "$(PYTHON)" -m pip install -qq --user virtualenv && "$(PYTHON)" -m virtualenv --quiet $(VENV); }

# The demo needs less than the tests: who only looks waits less.
$(DEMO): pyproject.toml | $(BIN)/python
	@echo "Setting up $(VENV) for the demo …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[demo]'
	@touch $(DEMO)

$(READY): pyproject.toml | $(BIN)/python
	@echo "Setting up $(VENV) …"
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e '.[dev,docs]'
	@touch $(DEMO) $(READY)

demo: $(DEMO)
	@$(BIN)/deriva-ml demo

test: setup
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal -q $(PYTEST_ARGS)

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
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

torture: setup
	@$(BIN)/python -m torture --seconds $(SECONDS_OF_TORTURE) $(TORTURE_ARGS)
	@$(MAKE) torture-slurm

map: setup
	@$(BIN)/python tools/code_map.py

bench: setup
	@$(BIN)/python -m benchmarks

bench-growth: setup
	@$(BIN)/python -m benchmarks growth memory

bench-smoke: setup
	@$(BIN)/python -m benchmarks --smoke

fuzz: setup
	@cd tests/fuzz && ../../$(BIN)/python fuzz_inputs.py -max_total_time=$(or $(SECONDS_OF_FUZZING),60) -max_len=300

clean:
	rm -rf $(VENV) build dist site demo *.egg-info src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*

# A sweep on a real Slurm of one node, from Debian's packages, which are unpacked and not installed.
.PHONY: torture-slurm
torture-slurm: setup
	@$(BIN)/python -m pytest -q --timeout 600 torture/test_slurm_sweep.py
