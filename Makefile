# On a fresh machine: Python >= 3.11 and make. Nothing is installed outside .venv, but by `make parts`.
PYTHON ?= python3
BIN := .venv/bin
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-slow parts check prove bench bench-serving bench-postgres bench-tuning up lock clean

demo: .venv/demo  ## train, serve, decide: the whole story in about two minutes
	$(BIN)/python examples/flights/demo.py

test: .venv/dev  ## everything but the slow suites, on two cores; a file stays on one
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/dev
	$(BIN)/python -m pytest -m slow --timeout=900

parts: .venv/dev  ## the real parts that tests use and the lock cannot bring
	bash .ci/parts

check: .venv/dev  ## format, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

prove: .venv/dev  ## every figure the documentation claims
	$(BIN)/python benchmarks/prove_rollouts.py
	$(BIN)/python benchmarks/prove_replays.py
	$(BIN)/rivals certify
	$(BIN)/python benchmarks/drift.py --only quiet
	$(BIN)/python -W ignore benchmarks/incidents.py --quiet

bench: .venv/dev
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/serving.py
	$(BIN)/python benchmarks/bank.py
	$(BIN)/python benchmarks/rebuild.py
	$(BIN)/python benchmarks/judging.py
	$(BIN)/python benchmarks/against_sklearn.py
	$(BIN)/python benchmarks/replay_market.py
	$(BIN)/python benchmarks/child.py
	$(BIN)/python benchmarks/swaps.py
	$(BIN)/python benchmarks/memory.py
	$(BIN)/python benchmarks/shelf.py
	$(BIN)/python benchmarks/ensembles.py
	$(BIN)/python benchmarks/budget.py
	$(BIN)/python benchmarks/remote.py
	$(BIN)/python benchmarks/batch.py
	$(BIN)/python benchmarks/drift.py --only table
	$(BIN)/python benchmarks/drift.py --only cost

bench-serving: .venv/dev  ## rivals and seven other servers, side by side; needs wrk, and half an hour
	PYTHON=$(CURDIR)/$(BIN)/python bash benchmarks/peers/install
	$(BIN)/python benchmarks/against_servers.py --rounds 2 --seconds 2
	$(BIN)/python benchmarks/against_servers.py --rounds 3 --seconds 2 --splits --models lightgbm
	$(BIN)/python benchmarks/splits.py

bench-postgres: .venv/dev  ## PostgreSQL away for a minute, leaders killed and frozen; needs PostgreSQL's programs
	PYTHONPATH=$(CURDIR) $(BIN)/python benchmarks/postgres_away.py

bench-tuning: .venv/dev  ## searches and blends beside FLAML's and AutoGluon's; an hour, and it goes on where it was stopped
	PYTHON=$(CURDIR)/$(BIN)/python bash benchmarks/peers/tabular/install
	$(BIN)/python benchmarks/tuning_overhead.py --trials 600
	$(BIN)/python benchmarks/market.py
	$(BIN)/python benchmarks/blends.py

up: .venv/demo  ## serve the demo until stopped; with Prometheus and Alertmanager where they are installed
	$(BIN)/python examples/flights/demo.py --up

lock: .venv/dev  ## write the hash-locked requirements anew (needs uv); they hold no index address
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip compile -q --no-header --generate-hashes --extra build --extra boosting --extra validate --extra lake --extra tune --extra ray --extra postgres --extra demo --extra dev pyproject.toml -o requirements/dev.txt
	$(BIN)/uv pip compile -q --no-header --generate-hashes -c requirements/dev.txt --extra build --extra demo pyproject.toml -o requirements/demo.txt

clean:
	rm -rf .venv .rivals examples/*/.rivals .mypy_cache .ruff_cache .hypothesis

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rivals needs Python 3.11 or newer; name one with make PYTHON=...")'
	$(PYTHON) -m venv .venv

.venv/%: requirements/%.txt pyproject.toml | .venv/bin/python
	$(BIN)/python -m pip install -q --disable-pip-version-check --require-hashes -r $<
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps -e .
	@touch $@
