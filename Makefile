# One line per thing a newcomer does. Each target makes the environment it needs.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export DAGSTER_HOME ?= $(CURDIR)/.dagster
export SPN4CIR_STORE ?= $(CURDIR)/store
QUIET := DAGSTER_DISABLE_TELEMETRY=1 PYTHONWARNINGS=ignore

.PHONY: demo ui test check gpu-check clean

demo: $(VENV)/.demo  ## pictures -> report and one search answer, on the built-in corpus
	@$(BIN)/spn4cir dagster-home
	$(QUIET) $(BIN)/dagster asset materialize --select '*' -m dagster_project.definitions
	@$(BIN)/spn4cir example --recipe demo --number 3

ui: $(VENV)/.demo  ## the Dagster UI on the same data: http://127.0.0.1:3000
	@exec env $(QUIET) $(BIN)/spn4cir ui

test: $(VENV)/.dev  ## the test suite
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev  ## lint, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

gpu-check: $(VENV)/.demo  ## what a GPU does here: gpu-check/gpu-check.md and .json; run again, it goes on where it stopped
	$(BIN)/python -m benchmarks.gpu_check --out gpu-check

$(VENV)/.demo: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e '.[ui]'
	touch $@

$(VENV)/.dev: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -e '.[dev]'
	touch $@

clean:  ## remove the store and the run history (not the environment)
	rm -rf store .dagster
