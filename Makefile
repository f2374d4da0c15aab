PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PLUGIN := $(VENV)/.plugin
BROWSER := $(VENV)/.browser
# most tests wait for processes and clocks: more workers than cores
TEST_WORKERS ?= 5
PARALLEL = --dist load --tx "$(TEST_WORKERS)*popen//python=$(1) -W error::ResourceWarning"

# each process would compile all that it imports anew
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install browser run test test-lowest torture docs check fix bench bench-compare bench-all peers screenshots demo-server build

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP)  ## .venv with .venv/bin/streamproc in it

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e . --config-settings editable_mode=compat
	@touch $@

# the plugin that the tests use, and that docs/extending explains
$(PLUGIN): $(STAMP) $(wildcard tests/plugin/*.toml tests/plugin/*/*.py)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps ./tests/plugin
	@touch $@

browser: $(BROWSER)  ## Chromium for the tests of the page, where it can be installed

$(BROWSER): $(STAMP) tests/page/browser.sh tests/page/requirements.lock
	@tests/page/browser.sh $(BIN)/python
	@touch $@

run: install  ## the bundled sample leads through the command
	cat streamproc/data/leads.jsonl | $(BIN)/streamproc --summary text

test: install $(PLUGIN) $(BROWSER)  ## all tests
	$(BIN)/python -W error::ResourceWarning -m pytest $(call PARALLEL,$(BIN)/python)

test-lowest:  ## the tests, with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv .venv/lowest
	$(PYTHON) benchmarks/lowest.py pyproject.toml > .venv/lowest/requirements.txt
	.venv/lowest/bin/python -m pip install --quiet -r .venv/lowest/requirements.txt
	.venv/lowest/bin/python -m pip install --quiet --no-deps -e . ./tests/plugin
	.venv/lowest/bin/python -m pytest -m "not slow" $(call PARALLEL,.venv/lowest/bin/python)

torture: install  ## kill, disturb, feed and simulate it for hours, and compare every byte
	$(BIN)/python tests/torture.py --rounds 50
	$(BIN)/python tests/disturbances.py --rounds 200
	$(BIN)/python tests/fuzz.py --minutes 60
	$(BIN)/python tests/torture_kafka.py --rounds 30
	STREAMPROC_SCENARIOS=200000 $(BIN)/python -m pytest -q tests/simulation
	STREAMPROC_NAMES=100000 STREAMPROC_PHONES=200000 $(BIN)/python -m pytest -q tests/enrichers/test_lead_answers.py

docs: install  ## make the parts of docs/reference/ that the code says of itself
	$(BIN)/python tests/reference.py

check: install  ## ruff, mypy, docs that differ from the code, known weaknesses of what is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/reference.py --check
	@$(BIN)/python tests/audit.py requirements.lock

fix: install  ## let ruff repair and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install  ## measure a few jobs of every kind, in minutes; adds to benchmarks/history.jsonl
	$(BIN)/python -m benchmarks.rows

bench-compare: install  ## the same jobs with this checkout and with REF=..., in turns
	$(BIN)/python -m benchmarks.compare $(or $(REF),main)

bench-all: install  ## measure against the raw loop and the peers; writes benchmarks/results.md
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r benchmarks/requirements.txt
	$(BIN)/python -m benchmarks

peers:  ## install the peers that the benchmark compares with (jq, gojq, miller, jaq, nginx)
	benchmarks/peers.sh

screenshots: install $(BROWSER)  ## the pictures in docs/guide
	$(BIN)/python tests/page/screenshots.py

demo-server: install  ## company data for the sample leads on http://127.0.0.1:8765
	$(BIN)/python -m benchmarks.demo_server

build: install  ## wheel and sdist in dist/
	$(BIN)/python -m pip install --quiet build
	$(BIN)/python -m build
