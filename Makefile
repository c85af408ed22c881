# The commands for a checkout. They need python3 (3.11 or later) with venv, and make.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
RUNNING := .venv/.running

.PHONY: help install demo test test-pythons check format unit live crash fuzz bench coverage clean

help:
	@echo "make demo      a whole mail host on loopback, with mail going through it"
	@echo "make test      every check and every test, the live ones too (.ci/run --install-only"
	@echo "               installs the servers they need)"
	@echo "make test-pythons  the tests that need no other server, on each newer Python that is here"
	@echo "make check     lint, types, and which room may import which"
	@echo "make unit      the tests that need no other server"
	@echo "make live      the tests with real clients and servers"
	@echo "make crash     kills, full and failing disks, damage: an hour of it (WITH='--kills 9'"
	@echo "               or '--scenario relay' for less, see tests/crash/crash_run.py)"
	@echo "make fuzz      a minute of random sessions with an oracle (WITH='--seconds 600 --seed 7',"
	@echo "               '--live', '--outbound', '--queue', '--replay SEED:INDEX', see"
	@echo "               tests/fuzz/fuzz_run.py)"
	@echo "make bench     mailframe beside Postfix, Exim, OpenSMTPD, Haraka and aiosmtpd, idle sessions,"
	@echo "               reloads: 20 minutes (WITH='--rounds 1 --seconds 1' for less, docs/measuring.md)"
	@echo "make coverage  make unit, with a line-by-line report in build/coverage"
	@echo "make format    lay the code out"

install: $(INSTALLED)

VENV = test -x $(BIN)/python || { echo "Making .venv …" && $(PYTHON) -m venv .venv; } \
  || { echo "python3 with venv is needed (Debian: apt-get install python3-venv)"; exit 1; }
PIP_INSTALL = $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off

# After the installation nothing here uses the network until pyproject.toml changes.
$(INSTALLED): pyproject.toml
	@$(VENV)
	@echo "Installing mailframe and the tools that check it into .venv: a minute, once."
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $(RUNNING) $@

# What the host itself needs, without the tools.
$(RUNNING): pyproject.toml
	@$(VENV)
	@echo "Installing mailframe into .venv: less than a minute, once."
	@$(PIP_INSTALL) -e .
	@touch $@

# The ports are looked at first: whoever has to free one need not wait for the installation.
demo:
	@$(PYTHON) examples/sandbox/ports.py
	@$(MAKE) --no-print-directory $(RUNNING)
	$(BIN)/python examples/sandbox/demo.py $(WITH)

# A virtualenv for each Python on this machine that the README promises, the newest last.
test-pythons: $(INSTALLED)
	@set -e; for python in $$(.ci/pythons); do \
	  echo "== $$python"; \
	  minor=$$("$$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  venv=build/python-$$minor; \
	  if [ ! -e $$venv/.installed ] || [ pyproject.toml -nt $$venv/.installed ]; then \
	    "$$python" -m venv $$venv; \
	    $$venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'; \
	    touch $$venv/.installed; \
	  fi; \
	  $$venv/bin/pytest -m 'not live' -p no:cacheprovider; \
	done

test: check
	$(BIN)/pytest --cov --cov-report=term --durations=10

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

unit: $(INSTALLED)
	$(BIN)/pytest -m 'not live'

live: $(INSTALLED)
	$(BIN)/pytest -m live

crash: $(INSTALLED)
	$(BIN)/python tests/crash/crash_run.py $(WITH)
	CRASH_POINTS=12 $(BIN)/pytest tests/crash/test_store_on_failing_disk.py

fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz/fuzz_run.py $(WITH)

bench: $(INSTALLED)
	benchmarks/install_peers
	mkdir -p build
	$(BIN)/python -m benchmarks --json build/benchmarks.json $(WITH)
	$(BIN)/python -m benchmarks.idle --json build/benchmarks-idle.json
	$(BIN)/python -m benchmarks.reloads --json build/benchmarks-reloads.json

coverage: $(INSTALLED)
	$(BIN)/pytest -m 'not live' --cov --cov-report=term --cov-report=html:build/coverage

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf build dist .coverage* .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	rm -rf .hypothesis _trial_temp* .demo
