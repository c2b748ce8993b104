PYTHON ?= python3
VENV ?= .venv
K ?= 4
ARGS ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: gate1 gate1-stub test test-slow docs lint format clean

gate1: $(READY)  ## decide Gate 1 on the default receiver
	$(BIN)/python -m pytest gates/ -m gate1 --k $(K) $(ARGS)

gate1-stub: $(READY)  ## the same on the stub receiver: the pre-merge run
	$(BIN)/python -m pytest gates/ -m gate1 --k $(K) --receiver stub $(ARGS)

test: $(READY)  ## lpca's own tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n 2 --dist worksteal -m "not slow" $(ARGS)

test-slow: $(READY)  ## fifty sound runs, of which none may be accused
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n 2 --dist worksteal -m slow $(ARGS)

docs: $(READY)  ## the documentation as a site, in site/; any broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lpca check gate_specs.yaml

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamp comes last: a broken installation is taken up again.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "lpca needs Python 3.11 or newer; set PYTHON=/path/to/it"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

clean:
	rm -rf $(VENV) .lpca/evidence .pytest_cache .mypy_cache .ruff_cache
