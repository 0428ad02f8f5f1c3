# Each target works on a bare machine: it makes .venv, installs, and goes on.
# The system's own Python where it will do: distributions build it with optimizations, version managers mostly do not, and
# the service makes a seventh more runs with them.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done || echo python3)
BIN := .venv/bin
STAMP := .venv/.installed
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: setup run test proto lint bench chaos
setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[gateway,dev]'
	touch $(STAMP)

# Starts the service on SQLite and carries the smoke workflow through pause and resume; ONCE=1 stops afterwards.
run: $(STAMP)
	$(BIN)/kneo demo $(if $(ONCE),--once)

test: $(STAMP)
	$(BIN)/python -m pytest -q $(ARGS)

proto: $(STAMP)
	$(BIN)/python scripts/generate_proto.py
	$(BIN)/python scripts/generate_api_reference.py

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	PYTHONPATH=. $(BIN)/lint-imports
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code proto
	test ! -f proto/baseline.binpb || $(BIN)/buf breaking proto --against proto/baseline.binpb
	$(BIN)/python scripts/generate_proto.py --check

bench: $(STAMP)
	$(BIN)/python -m bench $(ARGS)

# Real processes under faults for SECONDS; ARGS='--seed 7 --faults kill,stop,backend,restart --report chaos.json' and others.
chaos: $(STAMP)
	$(BIN)/python -m tests.chaos --seconds $(or $(SECONDS),600) $(ARGS)

# Random plans told random events; make test asks for a few hundred.
.PHONY: engine
engine: $(STAMP)
	KNEO_TEST_ENGINE_EXAMPLES=$(or $(EXAMPLES),10000) $(BIN)/python -m pytest -q tests/engine $(ARGS)

# Two thousand calls made from the OpenAPI document: no 5xx, and no status that the document does not tell.
.PHONY: interface
interface: $(STAMP)
	KNEO_TEST_INTERFACE_CASES=48 $(BIN)/python -m pytest -q tests/gateway/test_interface.py $(ARGS)

# Records the present contract as the one that must not break.
.PHONY: baseline
baseline: $(STAMP)
	$(BIN)/buf build proto -o proto/baseline.binpb
