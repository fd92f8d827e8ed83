# Everything one needs to work on agbot. `make` alone lists the targets.
# Needs python3 (3.11 or newer) with venv, and make; the rest is installed into .venv from requirements/lock.txt.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/.made
ARGS ?=
# Every locked package has wheels for the usual machines; where one has not (ppc64le, s390x), `make PIP_FLAGS= venv` compiles it.
PIP_FLAGS ?= --only-binary :all:
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help venv demo test simulate check format bench wheel lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo "  ARGS=... is handed on by demo, test, bench and lock; PYTHON=... names the interpreter (now: $(PYTHON))"

venv: $(MADE) ## create .venv with the locked packages and the project itself

$(MADE): requirements/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "agbot needs Python 3.11 or newer; say make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "installing the locked packages into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) install --require-hashes $(PIP_FLAGS) -r requirements/lock.txt
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(MADE) ## watch a simulated hub upgrade its groups, one member at a time
	@$(BIN)/agbot demo $(ARGS)

test: $(MADE) ## run all tests
	@$(BIN)/python -m pytest $(or $(ARGS),--numprocesses auto --dist worksteal)

simulate: $(MADE) ## play 310 seeds of a hub where everything goes wrong (ARGS="--seeds 5000", ARGS="--seed 7 --verbose")
	@$(BIN)/python -m tests.simulation $(or $(ARGS),--first 20 --seeds 310)

check: $(MADE) ## format, lint, types, layers
	$(BIN)/ruff format --check --quiet
	$(BIN)/ruff check --quiet
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports --no-logo

format: $(MADE) ## put the code into the house's form
	@$(BIN)/ruff check --fix-only --quiet
	@$(BIN)/ruff format

bench: $(MADE) ## measure against the bare machinery, in one run
	@$(BIN)/python -m bench $(ARGS)

wheel: $(MADE) ## build dist/agbot-*.whl
	@$(BIN)/python -m hatchling build --target wheel --directory dist

lock: $(MADE) ## renew requirements/lock.txt from pyproject.toml (ARGS=--upgrade for the newest)
	@requirements/relock $(ARGS)

clean: ## remove .venv, caches and built files
	@rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find agbot bench tests -type d -name __pycache__ -prune -exec rm -rf {} +
