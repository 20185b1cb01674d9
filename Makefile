# Needs Python 3.11 or newer and make; everything else is put into .venv, uv included if it is missing.
#
#   make up      everything on this machine: Temporal, simulator, worker, feed, a paper portfolio, a live screen
#   make test    the test suite, but for
#   make drills  the tests that take minutes each: killing, restoring, growing old

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV = $$(command -v uv || echo $(BIN)/uv)
SOURCES := activities backtest cli exchange feed journal plans portfolio simulator strategy sweep telemetry workflows \
	connection.py encryption.py settings.py worker.py
LOCK_OPTIONS := --universal --python-version 3.11 --no-header --no-annotate --no-emit-index-url --quiet
ARGS ?=
SEED ?= 1
CYCLES ?= 1000

.PHONY: up demo test drills check format bench sweep soak lock clean

up: $(VENV)/.run
	@$(BIN)/hypertrader up $(ARGS)

demo: $(VENV)/.run
	@$(BIN)/hypertrader demo $(ARGS)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not drill" $(ARGS)

drills: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist load -m drill $(ARGS)

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(SOURCES)
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Latency of orders, then backtests beside other backtesters, which are installed for it. ARGS are the backtests'.
bench: $(VENV)/.dev $(VENV)/.bench
	$(BIN)/python -m bench
	$(BIN)/python -m bench.backtest $(ARGS)

# Crashes a trade at every boundary of its life: hundreds of cells, most of an hour. One cell: ARGS="--cell NAME".
sweep: $(VENV)/.dev
	$(BIN)/python -m sweep $(ARGS)

# Cycles by the thousand under random faults; the same SEED, the same faults.
soak: $(VENV)/.dev
	$(BIN)/python -m sweep.soak --seed $(SEED) --cycles $(CYCLES) $(ARGS)

# Pins every dependency; run it after a change to pyproject.toml.
lock: $(VENV)/.dev
	$(UV) pip compile pyproject.toml --group dev $(LOCK_OPTIONS) --upgrade -o requirements-dev.lock
	$(UV) pip compile pyproject.toml $(LOCK_OPTIONS) --upgrade --constraint requirements-dev.lock -o requirements.lock

# Never touches .hypertrader: open trades live there.
clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage dist
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is older than 3.11: name a newer one with make PYTHON=..." >&2; exit 1; }
	@if command -v uv >/dev/null; then uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" $(VENV); \
		else $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv; fi

# Again only when the pinned versions change. Compiled here, once: ccxt takes seconds to compile at every start otherwise.
# Copied, since linked files change their dates when another project installs them, and what was compiled is stale then.
$(VENV)/.run: requirements.lock | $(BIN)/python
	@echo "installing into $(VENV)"
	@$(UV) pip install --quiet --link-mode copy --compile-bytecode --python $(BIN)/python -r requirements.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@

# Some of them may not exist for this Python: what is missing says so in the output.
$(VENV)/.bench: pyproject.toml | $(VENV)/.dev
	@echo "installing the other backtesters into $(VENV)"
	-@$(UV) pip install --quiet --link-mode copy --python $(BIN)/python --group bench
	@touch $@

$(VENV)/.dev: requirements-dev.lock | $(BIN)/python
	@echo "installing into $(VENV), test tools included"
	@$(UV) pip install --quiet --link-mode copy --compile-bytecode --python $(BIN)/python -r requirements-dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
	@touch $@
