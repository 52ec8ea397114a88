# make demo | test | slow: each makes its own environment first (.venv), so a fresh machine needs nothing but Python 3.11-3.13.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= build/demo
export OMP_NUM_THREADS = 1
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO = 0

.PHONY: setup demo test lint types slow clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --no-compile --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

demo: setup
	$(BIN)/raylab prepare simulated --out $(DEMO)/windows/simulated --option participants=8 --option minutes=8 --overwrite
	$(BIN)/raylab run studies/demo.yaml --windows $(DEMO)/windows --out $(DEMO)/run
	$(BIN)/raylab report $(DEMO)/run

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest -m "not slow"

slow: setup
	$(BIN)/python -m pytest -m slow

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
