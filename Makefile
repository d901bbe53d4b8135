# `make compare` and `make test` need nothing but Python >= 3.11 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
WORKERS ?= 2

.PHONY: compare figures paper trust test explore test-all lint clean

compare: $(VENV)/installed  ## run the main job: both policies, several rates, a few seeds
	$(BIN)/smoothserve compare

figures: compare  ## the README's picture, made anew
	cp results/compare/figures/goodput.png experiments/studies/default.png

paper: $(VENV)/installed  ## the papers' evaluations again, and the page that says what came of them
	$(BIN)/python -m experiments.paper

trust: $(VENV)/installed  ## the pages that compare with theory, with measurements (of the folder in SMOOTHSERVE_TABLES), and what moves
	$(BIN)/python -m experiments.trust theory
	$(BIN)/python -m experiments.trust validation
	$(BIN)/python -m experiments.trust sensitivity

test: $(VENV)/installed-test lint  ## lint, types, import contract and every test
	$(BIN)/python -m pytest -n $(WORKERS)

explore: $(VENV)/installed-test  ## property tests alone, on examples that are new each time, and ten times as many
	$(BIN)/python -m pytest -n $(WORKERS) -m "hypothesis and not slow" --hypothesis-profile=new

test-all: $(VENV)/installed-all  ## what make test leaves out: Ray and Dask clusters, many kills, lessons in Chromium, fuzzing
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11) and f"smoothserve needs Python 3.11 or newer, this is {v.major}.{v.minor}: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@ $(VENV)/installed

$(VENV)/installed-all: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test-all]'
	touch $@ $(VENV)/installed-test $(VENV)/installed

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache results
