# Everything that you need to work on agbot. `make` alone lists the targets. It needs python3 (3.11 or
# newer) with venv, and make; the rest is installed into .venv from requirements/lock.txt.

PYTHON ?= python3
RELEASE_PYTHON ?= /usr/bin/python3
VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/.made
SITE := $(VENV)/docs
ARGS ?=
# Every locked package has wheels for the usual machines. Where one is missing (ppc64le, s390x),
# `make PIP_FLAGS= venv` compiles it.
PIP_FLAGS ?= --only-binary :all:
# Tests that draw examples; `make test` draws a tenth of them.
EXAMPLES := tests/properties tests/contract tests/integration/gateway/test_fuzz.py tests/unit/fleet/test_stamps.py tests/clocks/test_never_two.py tests/simulation/test_guarded.py
# Tests with cases that `make test` leaves to `make simulate`.
THOROUGH = $(shell grep -rlE --include='test_*.py' 'support.examples import .*(some|thorough)' tests)
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

# Keep compiled modules whatever the environment says: each worker of pytest would compile 370 files of tests anew, 8 s of processor.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test simulate fuzz postgres check format bench wheel release docs lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  demo, test, simulate, bench and lock pass ARGS=... on; PYTHON=... sets the interpreter (now: $(PYTHON))"

venv: $(MADE) ## create .venv with the locked packages and the project itself

$(MADE): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "agbot needs Python 3.11 or newer: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes $(PIP_FLAGS) -r requirements/lock.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(MADE) ## watch a simulated hub upgrade its groups, one member at a time
	@$(BIN)/agbot demo $(ARGS)

test: $(MADE) ## run all tests, of many similar cases some
	@$(BIN)/python -m pytest $(or $(ARGS),-m "not thorough" --numprocesses auto --dist worksteal)

simulate: $(MADE) ## run the simulation, and all cases that `make test` leaves out (ARGS="--seeds 5000", ARGS="--seed 7 --verbose")
	@$(BIN)/python -m tests.simulation $(or $(ARGS),--seeds 330 --courses 3 --leaders 12 --guards 12)
	@$(if $(ARGS),,AGBOT_ALL_EXAMPLES=1 $(BIN)/python -m pytest -q --numprocesses auto $(EXAMPLES))
	@$(if $(ARGS),,$(BIN)/python -m pytest -q -m thorough --numprocesses auto --dist worksteal $(THOROUGH))
	@$(if $(ARGS),,AGBOT_ALL_GROUPS=1 $(BIN)/python -m pytest -q --timeout 1500 tests/acceptance/test_three_coordinators.py)

fuzz: $(MADE) ## compare the quick way of a question with aiohttp's (ARGS=50000 examples for each test)
	@FUZZ_EXAMPLES=$(or $(ARGS),5000) $(BIN)/python -m pytest --timeout 3600 tests/integration/gateway/test_quick_and_plain.py

postgres: $(MADE) ## run the tests of the store, the leadership and the guard on PostgreSQL 13 to 18, which npm brings (ARGS="13 17")
	@requirements/postgres-versions $(ARGS)

check: $(MADE) ## format, lint, types, layers
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo

format: $(MADE) ## format the code and apply ruff's fixes
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

bench: $(MADE) ## compare with a bare implementation in the same run
	@$(BIN)/python -m bench $(ARGS)

wheel: $(MADE) ## build dist/agbot-*.whl
	@$(BIN)/python -m hatchling build --target wheel --directory dist

release: $(MADE) ## build wheel, constraints, offline wheels and Debian package in dist/release, install and start them
	@PYTHON=$(RELEASE_PYTHON) packaging/release

docs: $(SITE) ## build the documentation as a site, in dist/docs
	@NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs --color build --quiet --clean --config-file site/mkdocs.yml
	@echo "open dist/docs/index.html"

$(SITE): requirements/docs.txt
	@$(PYTHON) -m venv --clear $@
	@$@/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes -r requirements/docs.txt
	@touch $@

lock: $(MADE) ## rebuild requirements/lock.txt from pyproject.toml (ARGS=--upgrade for the newest)
	@requirements/relock $(ARGS)

clean: ## remove .venv, caches and built files
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find agbot bench tests -type d -name __pycache__ -prune -exec rm -rf {} +
