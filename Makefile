# Two commands do all the set-up: `make demo` and `make test`. `make help` lists the rest.
#
#   PYTHON=python3.12       the interpreter for .venv (default: the first of python3, 3.13, 3.12, 3.11 that fits)
#   SYSTEM_TORCH=1          keep the torch that this Python already has (GPU images); .venv then sees its packages
#   TORCH_INDEX=https://…   take torch from this package index instead of pip's own (a CPU build saves about 3 GB)
#   FAMILY=qwen_image DIR=… STEPS=…    passed on to `musubi-tui demo`
#   ARGS='-k buckets'       passed on to pytest
#   WORKERS=0               test processes side by side (default 2, each imports torch once; 0: all in one)

SHELL := /bin/sh
.DEFAULT_GOAL := help

ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo "$$p" && break; done)
endif

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
STAMPS := $(VENV)/.stamps
SOURCES := engine musubi_tui tests benchmarks docs
TYPED := engine/config engine/events engine/data engine/planner musubi_tui

WORKERS ?= 2

# On a CPU one torch thread is the fast choice: two on a busy two-core machine ran the demo many times slower.
export OMP_NUM_THREADS ?= 1

DEMO_FLAGS := $(if $(FAMILY),--family $(FAMILY)) $(if $(DIR),--dir "$(DIR)") $(if $(STEPS),--steps $(STEPS))

.PHONY: help demo test check format lint types imports docs shot cold-start install clean

help:  ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -e 's/:.*## /|/' | awk -F'|' '{ printf "  make %-12s %s\n", $$1, $$2 }'
	@sed -n -e 's/^#   /      /p' Makefile

demo: $(STAMPS)/demo  ## set up, then train a tiny model on real photographs (a minute or two on a CPU)
	@$(BIN)/musubi-tui demo $(DEMO_FLAGS)

# The files with whole runs come first (their folder does): the short ones behind them keep all workers busy to the end.
test: $(STAMPS)/dev  ## set up, then the whole test suite
	@$(BIN)/python -m pytest -q $(if $(filter-out 0,$(WORKERS)),-n $(WORKERS) --dist loadfile --no-loadscope-reorder) $(ARGS)

check: lint types imports test  ## format, lint, types, import laws and tests: what CI wants

lint: $(STAMPS)/dev  ## ruff: format and rules
	@$(BIN)/python -m ruff format --check $(SOURCES)
	@$(BIN)/python -m ruff check $(SOURCES)

types: $(STAMPS)/dev  ## mypy --strict on the rooms without torch
	@$(BIN)/python -m mypy $(TYPED)

imports: $(STAMPS)/dev  ## import-linter: which room may import which
	@$(BIN)/lint-imports

format: $(STAMPS)/dev  ## let ruff write
	@$(BIN)/python -m ruff format $(SOURCES)
	@$(BIN)/python -m ruff check --fix $(SOURCES)

docs: $(STAMPS)/dev  ## write what is made from the schema: docs/options.md and presets/schema.json
	@$(BIN)/python -m engine.config.reference > docs/options.md
	@$(BIN)/python -m engine.config.json_schema > presets/schema.json

shot: $(STAMPS)/dev  ## pictures of the commands and of the app's screens (SVG and text) in shots/; SCREEN="jobs data" for some screens
	@$(if $(SCREEN),,$(BIN)/python docs/shots.py shots)
	@PYTHONPATH=. $(BIN)/python docs/app_shots.py shots/app $(SCREEN)

cold-start: $(STAMPS)/dev  ## milliseconds and modules of the commands that print
	@$(BIN)/python benchmarks/cold_start.py

install: $(STAMPS)/demo  ## set up without running anything

clean:  ## remove what tools left behind; .venv, runs and demos stay
	@rm -rf build dist shots .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	@find engine musubi_tui tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMPS)/venv:
	@if [ -z "$(PYTHON)" ]; then \
		echo "error: no Python 3.11, 3.12 or 3.13 on the PATH. Install one, or say which: make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; exit 3; fi
	@"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "error: $(PYTHON) is not Python 3.11 to 3.13. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 3; }
	@if [ -n "$(SYSTEM_TORCH)" ] && ! "$(PYTHON)" -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then \
		echo "error: SYSTEM_TORCH=1, but $(PYTHON) has no torch. Name the Python that has it (make PYTHON=/opt/conda/bin/python …), or leave SYSTEM_TORCH out." >&2; exit 3; fi
	@if [ ! -x $(BIN)/python ]; then \
		echo "Making $(VENV) with $(PYTHON)"; \
		"$(PYTHON)" -m venv $(if $(SYSTEM_TORCH),--system-site-packages) $(VENV) || { \
			echo "error: $(PYTHON) cannot make a virtual environment. On Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 3; }; \
	fi
	@# When $(PYTHON) is itself a virtual environment, "system" means the Python below it: point at the packages by name.
	@if [ -n "$(SYSTEM_TORCH)" ] && ! $(BIN)/python -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null; then \
		"$(PYTHON)" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
			> "`$(BIN)/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'`/system-torch.pth"; fi
	@mkdir -p $(STAMPS) && touch $@

# With SYSTEM_TORCH the pin of torch becomes the version that is there, whatever its local tag, so that pip leaves it alone.
$(STAMPS)/constraints.txt: $(STAMPS)/venv constraints.txt
	@cp constraints.txt $@
	@if [ -n "$(SYSTEM_TORCH)" ] || grep -qi 'include-system-site-packages *= *true' $(VENV)/pyvenv.cfg; then \
		{ sed -e '/^torch==/d' constraints.txt; \
		  $(BIN)/python -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))'; } > $@; \
	fi

$(STAMPS)/torch: $(STAMPS)/constraints.txt
	@if [ -n "$(TORCH_INDEX)" ]; then \
		echo "Installing torch from TORCH_INDEX"; \
		$(PIP) install --quiet -c $(STAMPS)/constraints.txt --index-url "$(TORCH_INDEX)" torch || { \
			echo "error: torch could not be taken from TORCH_INDEX. Correct it, or leave it out." >&2; exit 3; }; \
	fi
	@touch $@

$(STAMPS)/demo: $(STAMPS)/torch pyproject.toml
	@echo "Installing musubi-tui and its packages into $(VENV): once, and some minutes on a slow line"
	@$(PIP) install --quiet -c $(STAMPS)/constraints.txt -e '.[demo]'
	@touch $@

$(STAMPS)/dev: $(STAMPS)/torch pyproject.toml
	@echo "Installing musubi-tui, its packages and the test tools into $(VENV): once, and some minutes on a slow line"
	@$(PIP) install --quiet -c $(STAMPS)/constraints.txt -e '.[dev]'
	@touch $(STAMPS)/demo $@
