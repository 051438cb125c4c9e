# make demo: train the quick start and print a sample.   make test: run the tests.
# Needs Python 3.11 or newer, make and git; everything else goes into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint check oldest bench results torture cluster clean

help:
	@echo "make demo      train configs/quickstart.yaml (a minute or two) and print a sample"
	@echo "make install   make the environment $(VENV) with charlstm and the tools in it"
	@echo "make test      run the tests"
	@echo "make lint      lint, format and types"
	@echo "make check     lint and test: what a change must pass"
	@echo "make oldest    the tests with the oldest packages that pyproject.toml allows"
	@echo "make bench     measure speed, against other programs where they can be installed"
	@echo "make results   train what docs/results.md sets beside published figures (20 minutes)"
	@echo "make torture   the long form of the tests that kill, corrupt and fuzz"
	@echo "make cluster   the scripts and ranks on a small Slurm and network made here (root, Linux)"
	@echo "make clean     remove what these commands made, except runs/"

install: $(INSTALLED)

# The pip that comes with Python 3.11 does not know dependency groups yet. Of what is installed little
# is ever imported, so nothing is compiled beforehand.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "charlstm needs Python 3.11 or newer; try: make PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --no-compile --editable . --group dev
	@touch $@

demo: $(INSTALLED)
	$(BIN)/charlstm train configs/quickstart.yaml --resume
	$(BIN)/charlstm sample runs/quickstart --prompt "THE SALTERN PACKET" --length 600 --temperature 0.7 --seed 1

# Hundreds of tests start a program, and without bytecode each start compiles for a second or two: so
# it is written, whatever the shell says of that, but into the environment.
test: export PYTHONDONTWRITEBYTECODE =
test: export PYTHONPYCACHEPREFIX = $(CURDIR)/$(VENV)/bytecode
test: $(INSTALLED)
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=worksteal

lint: $(INSTALLED)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

check: lint test

# In an environment of its own. The oldest NumPy has wheels for Python 3.11 and 3.12 only.
oldest:
	@mkdir -p build
	@$(PYTHON) -c 'import tomllib; \
	  project = tomllib.load(open("pyproject.toml", "rb"))["project"]; \
	  print(*(each.replace(">=", "==") for each in project["dependencies"]), sep="\n")' > build/oldest.txt
	PIP_CONSTRAINT="$(CURDIR)/build/oldest.txt" $(MAKE) VENV=.venv-oldest test

bench: $(INSTALLED)
	$(BIN)/python benchmarks/run.py
	$(BIN)/python benchmarks/phases.py

results: $(INSTALLED)
	$(BIN)/python benchmarks/results.py run

torture: $(INSTALLED)
	$(BIN)/python -m pytest --torture -o faulthandler_timeout=3600

cluster: $(INSTALLED)
	$(BIN)/python tests/cluster/run.py

clean:
	rm -rf $(VENV) .venv-oldest dist build .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
