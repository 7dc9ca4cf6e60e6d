# Everything runs in .venv, made from the pinned requirements. The checkout may have spaces in its name.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: help install demo dev vendor test lint types unit unit-newest picture lock clean

help:
	@echo "make demo     a goal becomes a finished GPU job, paid over x402, on this machine"
	@echo "make test     lint, types and tests: all that CI runs"
	@echo "make dev      the API on port 3000 and the mock vendors on 4001, reloading on change"
	@echo "make vendor   the mock vendors alone, on port 4001"
	@echo "make lock     pin the newest allowed versions in requirements*.txt"
	@echo "make clean    remove what these make"

install: $(STAMP)

$(STAMP): requirements-dev.txt
	@echo "installing the pinned requirements into .venv (once) ..."
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Purser needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $(STAMP)

demo: $(STAMP)
	@./purser demo

dev: $(STAMP)
	@./purser dev

vendor: $(STAMP)
	@$(BIN)/python -m gpu_vendor_mock

test: lint types unit

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(STAMP)
	$(BIN)/python -m mypy

unit: $(STAMP)
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term
	@$(BIN)/python -m coverage json -q -o - | $(BIN)/python .ci/branch_floor.py

# The tests on another Python, in an environment of its own: make unit-newest PYTHON_NEWEST=python3.13
unit-newest:
	"$(PYTHON_NEWEST)" -m venv --clear .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	.venv-newest/bin/python -m pytest -n 2

picture: $(STAMP)
	$(BIN)/python -m scripts.picture docs/demo.svg

lock: $(STAMP)
	$(BIN)/python -m uv pip compile --quiet --no-header --universal --python-version 3.11 requirements.in -o requirements.txt
	$(BIN)/python -m uv pip compile --quiet --no-header --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf .venv .venv-newest .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage .coverage.*
