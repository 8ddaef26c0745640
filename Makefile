# The first of these that can make an environment; `make PYTHON=...` names another.
USABLE := -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for python in python3.12 python3.11 python3; do \
	$$python $(USABLE) 2>/dev/null && echo $$python && break; done)
VENV := .venv
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
PIP := $(VENV)/bin/python -m pip --quiet

.DEFAULT_GOAL := help
.PHONY: help setup run up down test faults faults-quick hosts bench bench-check soak lint lint-api lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 22

setup: $(VENV)/.runtime ## Make the environment (.venv, with the uoop command in it)

run: $(VENV)/.runtime ## Start everything, play a lunch hour of orders, serve until Ctrl-C
	@$(VENV)/bin/uoop demo --lunch --keep

up: $(VENV)/.runtime ## Start everything and serve until Ctrl-C
	@$(VENV)/bin/uoop up

down: $(VENV)/.runtime ## Stop everything
	@$(VENV)/bin/uoop down

test: $(VENV)/.dev ## Run all tests, with their own Postgres, Redis and processes
	@$(VENV)/bin/python -m pytest -n auto --dist loadfile

faults: $(VENV)/.dev ## Every fault once, under load (LONG=1: at random for UOOP_FAULT_MINUTES, 60)
	@$(VENV)/bin/python tests/faults/run_faults.py $(if $(LONG),--long)

faults-quick: $(VENV)/.dev ## The faults that `make test` runs too
	@$(VENV)/bin/python tests/faults/run_faults.py --quick

hosts: $(VENV)/.dev ## The platform on four hosts, made of namespaces: one cut off under load, two against one (needs root)
	@PYTHONPATH=. $(VENV)/bin/python tests/faults/run_hosts.py $(if $(ONLY),--only $(ONLY))

bench: $(VENV)/.runtime ## Measure everything and the peers (PARTS="accept poll": only these), write docs/performance.md
	@$(VENV)/bin/python -m benchmarks.run $(PARTS)

bench-check: $(VENV)/.runtime ## Fail if an order costs 15 % more CPU than the baseline (WRITE=1: make it the baseline)
	@$(VENV)/bin/python -m benchmarks.check $(if $(WRITE),--write)

soak: $(VENV)/.runtime ## 15 minutes of load: fail if memory or open files grow
	@$(VENV)/bin/python -m benchmarks.run soak

lint: $(VENV)/.dev ## Run the linters: ruff, mypy, import-linter
	@$(VENV)/bin/ruff check
	@$(VENV)/bin/ruff format --check
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

lint-api: $(VENV)/.dev $(VENV)/spectral/.installed ## Run Spectral over the API description (needs npm)
	@$(VENV)/bin/python -m web.description > $(VENV)/spectral/openapi.json
	@$(VENV)/spectral/node_modules/.bin/spectral lint --ruleset .spectral.yaml --fail-severity error \
		$(VENV)/spectral/openapi.json

lock: $(VENV)/.dev ## Pin every dependency with its hashes anew (needs uv)
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	@uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
		--no-emit-index-url --no-emit-find-links --group dev pyproject.toml -o requirements-dev.lock

clean: ## Remove the environment, caches and .uoop (stop everything first)
	@rm -rf $(VENV) .venv-bench .uoop build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/bin/python:
	@test -n "$(PYTHON)" && $(PYTHON) $(USABLE) 2>/dev/null || \
		{ echo "UOOP needs Python 3.11 or 3.12 with venv: install it, or name one with make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

# Stamps: a second call with nothing changed does nothing.
$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/bin/python
	@echo "making the environment in $(VENV) (about 700 MB, once)"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/spectral/.installed: Makefile | $(VENV)/bin/python
	@npm install --silent --no-audit --no-fund --prefix $(VENV)/spectral \
		@stoplight/spectral-cli@6.16.3 @stoplight/spectral-owasp-ruleset@2.0.1
	@touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@touch $@
