# Two commands on a fresh machine: `make run` and `make test`. Everything they need is installed into .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: run test test-slow test-hf lint format bench lock clean install dev hf
.DEFAULT_GOAL := run

install: $(VENV)/.installed ## the package and nothing else
dev: $(VENV)/.dev           ## and what tests and lint need
hf: $(VENV)/.hf             ## and torch and transformers (over 1 GB)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Fireside needs Python 3.11 or newer; name one: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml requirements/base.txt
	@echo "installing Fireside into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements/base.txt
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.installed requirements/dev.txt
	@echo "installing what the tests need ..."
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

$(VENV)/.hf: $(VENV)/.dev requirements/hf.txt
	@echo "installing torch and transformers ..."
	@$(PIP) install torch==2.13.0
	@$(PIP) install --require-hashes --no-deps -r requirements/hf.txt
	@touch $@

run: install
	@$(BIN)/fireside demo

test: dev
	@$(BIN)/python -m pytest -n auto -m "not slow and not hf" --ignore=tests/flows --ignore=tests/house
	@$(BIN)/python -m pytest -n auto -m "not slow and not hf" tests/flows

test-slow: dev
	@$(BIN)/python -m pytest -m "slow and not hf"

test-hf: hf
	@$(BIN)/python -m pytest -m hf

lint: dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest tests/house

format: dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: dev
	@$(BIN)/python -m benchmarks

lock: dev ## rewrite requirements/*.txt from pyproject.toml and requirements/*.in
	@./requirements/lock.sh $(BIN)

clean:
	@rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
