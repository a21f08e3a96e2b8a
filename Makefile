# Everything is installed into .venv beside this file; nothing else on the machine changes,
# except that `make test` may install a Chromium.
#
#   make demo                  try it: the app, and a sandbox in place of OpenRouter
#   make run                   the app for real, as flags.env says
#   make test                  all tests       (make test ARGS="tests/test_config.py -k flag")
#   make check                 style, types and layers
#   make docs                  the documentation as a site
#   make bench                 the benchmarks
#   make stage                 the tests with a whole site on machines of its own, the long ones too
#   make lowest                a part of the tests, with the oldest dependencies that are allowed
#   make pythons               all but the browser tests, with each Python from 3.11 on
#   make words                 the translations, brought up to date with the sources
#   make release               build the archive and the wheel, twice, and compare; uploads nothing
#   make audit                 look the dependencies up among published advisories
#   make clean                 forget .venv and caches; instance/ (your data) stays
#
# PORT and SANDBOX_PORT choose other ports, PYTHON another interpreter: make demo PORT=3100

PYTHON ?= python3
VENV ?= .venv
PORT ?= 3000
SANDBOX_PORT ?= 3001
# One more than there are processors: some tests wait for most of their time.
WORKERS ?= $(shell expr $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1) + 1)
ARGS ?=
export PORT SANDBOX_PORT

bin := $(VENV)/bin
pip := $(bin)/python -m pip --disable-pip-version-check --no-input

.DEFAULT_GOAL := demo
.DELETE_ON_ERROR:
.PHONY: demo run test check docs bench stage lowest pythons release audit words clean

demo: $(VENV)/.runtime
	@exec $(bin)/python scripts/serve.py demo

run: $(VENV)/.runtime
	@exec $(bin)/python scripts/serve.py run

test: $(VENV)/.test
	@sh scripts/needs.sh chromium || true
	@exec $(bin)/python -m pytest -n $(WORKERS) -p tests.plugins.no_skips --dist worksteal -r fER $(ARGS)

check: $(VENV)/.dev
	@$(bin)/ruff check
	@$(bin)/ruff format --check
	@$(bin)/mypy
	@$(bin)/lint-imports

docs: $(VENV)/.test
	@$(bin)/python scripts/docs.py
	@$(bin)/python -m sphinx -W -q docs build/docs
	@echo "The documentation lies in build/docs/index.html."

bench: $(VENV)/.bench
	@test -f bench/bench.py || { echo "There is no bench/bench.py in this checkout." >&2; exit 1; }
	@exec $(bin)/python bench/bench.py $(ARGS)

# Machines are network namespaces: that takes root, or sudo.
stage: $(VENV)/.test
	@sh scripts/needs.sh nginx ip || true
	@APIARY_TEST_LONG=1 exec $(bin)/python -m pytest -p tests.plugins.no_skips tests/scale $(ARGS)

lowest: $(VENV)/.test
	@exec $(bin)/python -m nox -s lowest -- $(ARGS)

pythons: $(VENV)/.test
	@exec $(bin)/python -m nox $(ARGS)

words: $(VENV)/.test
	@exec $(bin)/python scripts/words.py $(ARGS)

release: $(VENV)/.test
	@$(pip) install -qq --group release
	@exec $(bin)/python scripts/release.py

audit: $(VENV)/.dev
	@exec sh scripts/audit.sh $(bin)/python

clean:
	rm -rf "$(VENV)" .nox .venv-audit build dist *.egg-info .pytest_cache .mypy_cache \
	    .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is written last, so a step that was interrupted is done again.

$(VENV)/.made:
	@command -v "$(PYTHON)" >/dev/null || { \
	    echo "There is no $(PYTHON). Install Python 3.11 or newer, or name one: make demo PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Apiary needs Python 3.11 or newer; $(PYTHON) is $$("$(PYTHON)" -V 2>&1). Name another one: make demo PYTHON=python3.12" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Making $(VENV) ..."
	@"$(PYTHON)" -m venv --clear "$(VENV)"
	@touch "$@"

$(VENV)/.runtime: $(VENV)/.made setup.cfg pyproject.toml
	@echo "Installing what Apiary needs into $(VENV) (about half a minute the first time) ..."
	@$(pip) install -qq -e ".[server,postgres,redis]"
	@touch "$@"

$(VENV)/.pip: $(VENV)/.made
	@$(pip) install -qq "pip>=25.1"
	@touch "$@"

$(VENV)/.test: $(VENV)/.runtime $(VENV)/.pip
	@echo "Installing what the tests need (about a minute the first time) ..."
	@$(pip) install -qq --no-compile --group test
	@touch "$@"

$(VENV)/.bench: $(VENV)/.runtime $(VENV)/.pip
	@echo "Installing what the benchmarks need ..."
	@$(pip) install -qq --no-compile --group bench
	@touch "$@"

$(VENV)/.dev: $(VENV)/.runtime $(VENV)/.pip
	@echo "Installing what the checks need (about a minute the first time) ..."
	@$(pip) install -qq --no-compile --group dev
	@touch "$@"
