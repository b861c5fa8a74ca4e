# What a newcomer or a developer runs. `make` alone lists it.

PYTHON ?= python3
VENV ?= .venv
# Where `make demo` puts its dataset; a number is added where the folder is taken.
DIR ?= demo-dataset
# More words for pytest, such as PYTEST_ARGS='-k store -x'.
PYTEST_ARGS ?=
# Scenarios for `make bench`, separated by commas (all of them by default), and more words for it,
# such as BENCH_ARGS='--quick' or BENCH_ARGS='--repetitions 5'.
ONLY ?=
BENCH_ARGS ?=

# Where `make install-man` puts man pages; man looks in share/man beside each folder on PATH.
MANDIR ?= $(VENV)/share/man
SPHINX := sphinx-build -W --keep-going -q -d docs/build/doctrees

BIN := $(abspath $(VENV))/bin
# Recipes run the programs of the environment, as if it were activated.
IN_VENV := PATH="$(BIN):$$PATH"
DESCRIPTION := setup.cfg pyproject.toml

.DEFAULT_GOAL := help
.PHONY: help venv demo test soak lint docs man install-man bench clean
# pip must not run twice at once in one environment.
.NOTPARALLEL:

help:  ## show this list
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):.*  ## /  make \1|/p' $(MAKEFILE_LIST) | awk -F '|' '{printf "%-18s %s\n", $$1, $$2}'

venv: $(VENV)/.installed-test $(VENV)/.installed-lint $(VENV)/.installed-docs  ## set up .venv with all that development needs

demo: $(VENV)/.installed-annex  ## run the main job on a small dataset of its own (Slurm or this machine)
	@$(IN_VENV) demo/run.sh "$(DIR)"

test: $(VENV)/.installed-test  ## run all tests; as root on Debian, boot a Slurm for them
	@$(IN_VENV) tools/test.sh $(PYTEST_ARGS)

soak: $(VENV)/.installed-test  ## run the tests under attack (kills, crowds, faults, names) with large numbers
	@$(IN_VENV) DATALAD_HPC_SOAK=1 tools/test.sh -m soak $(PYTEST_ARGS)

lint: $(VENV)/.installed-lint  ## run ruff, mypy and codespell
	$(IN_VENV) ruff check
	$(IN_VENV) ruff format --check
	$(IN_VENV) mypy
	$(IN_VENV) codespell

docs: $(VENV)/.installed-docs  ## build the documentation and the man pages into docs/build
	@# Pages of modules that are gone would be complained of.
	@rm -rf docs/source/generated
	$(IN_VENV) $(SPHINX) docs/source docs/build/html
	$(IN_VENV) $(SPHINX) -b man docs/source docs/build/man

man: $(VENV)/.installed-docs  ## build the man pages of the commands into docs/build/man
	$(IN_VENV) $(SPHINX) -b man docs/source docs/build/man

install-man: man  ## put the man pages where `man` looks, below MANDIR
	install -d "$(MANDIR)/man1"
	install -m 644 docs/build/man/*.1 "$(MANDIR)/man1"

bench: $(VENV)/.installed-bench $(VENV)/peer/.installed  ## measure beside datalad-slurm (needs Slurm; BENCH_ARGS=--quick to try)
	@$(IN_VENV) python -m benchmarks --peer $(VENV)/peer --only "$(ONLY)" $(BENCH_ARGS)

clean:  ## remove what was built and installed here (demo datasets stay)
	rm -rf $(VENV) docs/build docs/source/generated build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis

# Each stamp stands for one extra of setup.cfg, so that the demo installs no more than it needs.
$(VENV)/.made: tools/make-venv.sh
	@echo "Making a virtual environment in $(VENV)"
	@tools/make-venv.sh $(VENV) $(PYTHON)
	@touch $@

$(VENV)/.installed-annex: $(VENV)/.made $(DESCRIPTION)
	@echo "Installing datalad-hpc into $(VENV)"
	@$(BIN)/python -m pip install -qq --editable '.[annex]'
	@touch $@

$(VENV)/.installed-%: $(VENV)/.installed-annex
	@echo "Installing what \"$*\" needs into $(VENV)"
	@$(BIN)/python -m pip install -qq --editable '.[$*]'
	@touch $@

# datalad-slurm has an environment of its own, so that neither side sees the other.
$(VENV)/peer/.installed: tools/make-venv.sh | $(VENV)/.made
	@echo "Installing datalad-slurm into $(VENV)/peer"
	@tools/make-venv.sh $(VENV)/peer $(PYTHON)
	@$(VENV)/peer/bin/python -m pip install -qq datalad-slurm datalad git-annex
	@touch $@
