# Two commands on a fresh machine: `make run` and `make test`. Everything they need is installed into .venv.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: run test test-slow test-hf test-train test-extras test-team test-clients lint format bench bench-gateway bench-retrieval lock clean install dev hf train extras team
.DEFAULT_GOAL := run

install: $(VENV)/.installed ## the package and nothing else
dev: $(VENV)/.dev           ## and what tests and lint need
hf: $(VENV)/.hf             ## and torch and transformers (over 1 GB)
train: $(VENV)/.train       ## and what `fireside train` stands on: peft, trl, datasets (another 400 MB)
extras: $(VENV)/.extras     ## and ChromaDB and Ray (about 1 GB)
team: $(VENV)/.team         ## and smg; PostgreSQL, Redis and nginx come from the system

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

$(VENV)/.train: $(VENV)/.hf requirements/train.txt
	@echo "installing peft, trl, datasets and what else trains ..."
	@$(PIP) install --require-hashes --no-deps -r requirements/train.txt
	@touch $@

$(VENV)/.extras: $(VENV)/.dev requirements/extras.txt
	@echo "installing ChromaDB and Ray ..."
	@$(PIP) install --require-hashes -r requirements/extras.txt
	@touch $@

$(VENV)/.team: $(VENV)/.dev requirements/team.txt
	@echo "installing smg ..."
	@$(PIP) install --require-hashes -r requirements/team.txt
	@touch $@

run: install
	@$(BIN)/fireside demo

test: dev
	@$(BIN)/python -m pytest -n auto -m "not slow and not hf and not train and not chroma and not ray and not clients and not team" --ignore=tests/flows --ignore=tests/house
	@$(BIN)/python -m pytest -n auto -m "not slow and not hf and not train and not chroma and not ray and not clients and not team" tests/flows

test-slow: dev
	@$(BIN)/python -m pytest -m "slow and not hf and not train and not chroma and not ray and not clients and not team"

test-hf: hf
	@$(BIN)/python -m pytest -m "hf and not ray"

test-train: train
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto -m "train and not ray"

test-extras: extras train
	@$(BIN)/python -m pytest -m "chroma or ray"

test-team: team ## several processes and machines: needs apt-get install postgresql redis-server nginx-light (or your system's)
	@$(BIN)/python -m pytest -m team

test-clients: dev ## installs the clients of docs/clients.md outside this folder (2 GB), then lets each use the server
	@$(BIN)/python -m pytest -m clients tests/clients

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

bench-gateway: dev ## beside LiteLLM, smg and nginx; takes minutes, and installs the first two outside this folder (ARGS: --quick, --only, ...)
	@$(BIN)/python -m benchmarks.gateway $(ARGS)

bench-retrieval: dev ## SET: a development set, CHECKOUTS: its repositories, SEMBLE: a Python that has semble (docs/search.md)
	@$(BIN)/python -m benchmarks.retrieval --set $(SET) --checkouts $(CHECKOUTS) $(if $(SEMBLE),--semble $(SEMBLE))

lock: dev ## rewrite requirements/*.txt from pyproject.toml and requirements/*.in
	@./requirements/lock.sh $(BIN)

clean:
	@rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache
