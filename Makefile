# Three commands do everything: `make run` (bare install, restores a bundled halftone and three scans), `make demo` (the web demo) and `make test`.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= data
MINUTES ?= 90
PORT ?= 7860

.PHONY: run demo test browser lint train-fast clean help

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

run: .venv/.bare  ## restore a bundled halftone and three scans with the bare install (no torch)
	$(BIN)/python docs/quickstart.py

demo: .venv/.demo  ## serve the web demo on http://127.0.0.1:7860 (PORT=...)
	$(BIN)/python -m demo --port $(PORT)

test: .venv/.dev browser  ## install what the tests need and run them all
	$(BIN)/python -m pytest

browser:  ## install Debian's Chromium for the browser test, where it is missing and may be installed; else that test is skipped
	@which chromium >/dev/null 2>&1 || which google-chrome >/dev/null 2>&1 || test "$$(id -u)" != 0 || { \
		export DEBIAN_FRONTEND=noninteractive; \
		timeout 300 sh -c 'apt-get update && apt-get install --yes --no-install-recommends chromium fonts-dejavu-core' >/dev/null 2>&1; \
	} || echo "Chromium could not be installed; the browser test will be skipped."

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

.venv/.demo: pyproject.toml | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint tests/constraints.txt --editable '.[demo]'
	touch $@

.venv/.dev: pyproject.toml tests/constraints.txt | .venv/bin/pip
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint tests/constraints.txt --editable '.[dev]'
	touch $@
