# `make demo` and `make test` need Python 3.11 to 3.13, Node 20 or later and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(not (3,11)<=sys.version_info[:2]<(3,14))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
UV := .uv/bin/uv
# A fixed version: its resolver and its lock format belong together.
UV_VERSION := 0.13.9
HOME_DIR ?= var

export DO_NOT_TRACK := 1
export DBT_SEND_ANONYMOUS_USAGE_STATS := false
export DAGSTER_DISABLE_TELEMETRY := yes
export GX_ANALYTICS_ENABLED := false
export SEND_ANONYMOUS_USAGE_STATS := no

.PHONY: help
help: ## What there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | column -t -s '|'

$(UV):
	@test -n "$(PYTHON)" && $(PYTHON) -c 'import sys; sys.exit(not (3,11)<=sys.version_info[:2]<(3,14))' 2>/dev/null || { echo "calibrant needs Python 3.11, 3.12 or 3.13; found $$($(or $(PYTHON),python3) --version 2>&1 || echo none)" >&2; exit 2; }
	@$(PYTHON) -m venv .uv || { echo "python venv is missing; on Debian: apt-get install python3-venv" >&2; exit 2; }
	@.uv/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.installed: $(UV) pyproject.toml uv.lock
	@UV_COMPILE_BYTECODE=1 $(UV) sync --frozen --quiet --python "$(PYTHON)"
	@touch $@

.PHONY: install
install: .venv/.installed ## The environment only; afterwards .venv/bin/calibrant works

.PHONY: demo
demo: install ## A simulated company, the whole job and both sites
	@$(BIN)/calibrant simulate --home $(HOME_DIR) --preset dev
	@$(BIN)/calibrant run --home $(HOME_DIR)

.PHONY: test
test: install browser ## Every test: unit, gates, pipeline, browser
	@$(BIN)/pytest -m "not nightly"

.PHONY: test-core
test-core: install ## Every test that needs no browser and no Node
	@$(BIN)/pytest -m "not nightly and not browser"

.PHONY: browser
browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
		{ command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] && { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; }; } || true

.PHONY: check
check: install ## Lint and types: ruff, mypy strict, sqlfluff
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@mkdir -p dbt_project/target && CALIBRANT_WAREHOUSE=$(CURDIR)/dbt_project/target/warehouse.duckdb \
		$(BIN)/sqlfluff lint --disable-progress-bar --processes 2 dbt_project/models dbt_project/tests

.PHONY: dev
dev: install ## The Dagster UI with the whole graph
	@$(BIN)/python -m orchestration.defs.launch $(HOME_DIR)

.PHONY: serve
serve: install ## Serve the current sites
	@$(BIN)/calibrant serve --home $(HOME_DIR)

.PHONY: docs
docs: install ## The dbt documentation of the current generation
	@$(BIN)/calibrant docs --home $(HOME_DIR)

.PHONY: bench
bench: install ## Measure speed and memory; writes docs/benchmarks.md
	@$(BIN)/python -m tests.bench

.PHONY: faults
faults: install ## Run the tests of every known fault; writes docs/faults.md
	@$(BIN)/python -m tests.faults

.PHONY: bench-statistics
bench-statistics: install ## Our statistics beside their peers; writes docs/benchmarks-statistics.md
	@$(UV) sync --frozen --inexact --quiet --python "$(PYTHON)" --extra bench
	@$(BIN)/python -m tests.bench_statistics

.PHONY: calibrate
calibrate: install ## Coverage, false alarms and power; writes docs/calibration.md
	@$(BIN)/python -m tests.calibration

.PHONY: nightly
nightly: install ## The tests of nightly size
	@$(BIN)/pytest -m nightly

.PHONY: clean
clean: ## Remove what was built, but no data
	@rm -rf .venv .uv dbt_project/target dashboards/node_modules dashboards/.evidence dashboards/build
