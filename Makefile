# Two commands do everything: `make run` (bare install, restores two bundled halftones) and `make test`.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= data
MINUTES ?= 90

.PHONY: run test lint train-fast clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: .venv/.bare  ## restore two bundled halftones with the bare install (no torch)
	$(BIN)/python docs/quickstart.py

test: .venv/.dev  ## install what the tests need and run them all
	$(BIN)/python -m pytest

lint: .venv/.dev  ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

train-fast: .venv/.dev  ## train `fast` on DATA=<folder with train/ and val/> for MINUTES=90
	$(BIN)/python -m training.train fast --data $(DATA) --minutes $(MINUTES)

clean:  ## remove the environment and what was made
	rm -rf .venv output

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/.bare: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/.dev: pyproject.toml tests/constraints.txt | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint tests/constraints.txt --editable '.[dev]'
	touch $@
