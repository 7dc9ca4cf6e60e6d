# Everything goes through .venv, made from the pinned requirements. Quoted paths: the checkout may have spaces in its name.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: install demo dev vendor test lint types unit lock clean

install: $(STAMP)

$(STAMP): requirements-dev.txt
	@echo "installing the pinned requirements into .venv (once) ..."
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/python -m scripts.cli demo

dev: $(STAMP)
	$(BIN)/python -m scripts.cli dev

vendor: $(STAMP)
	$(BIN)/python -m gpu_vendor_mock

test: lint types unit

lint: $(STAMP)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

types: $(STAMP)
	$(BIN)/python -m mypy

unit: $(STAMP)
	$(BIN)/python -m pytest -n 2 --cov --cov-report=term:skip-covered

lock: $(STAMP)
	$(BIN)/python -m uv pip compile --quiet --no-header --universal --python-version 3.11 requirements.in -o requirements.txt
	$(BIN)/python -m uv pip compile --quiet --no-header --universal --python-version 3.11 requirements-dev.in -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .coverage htmlcov
