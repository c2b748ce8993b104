PYTHON ?= python3
VENV ?= .venv
K ?= 4
ARGS ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready
NODE_READY := tools/report/node_modules/.package-lock.json

.PHONY: gate1 gate1-stub report report-test test test-sample test-slow test-faults docs lint format clean

gate1: $(READY)  ## decide Gate 1 on the default receiver
	$(BIN)/python -m pytest gates/ -m gate1 --k $(K) $(ARGS)

gate1-stub: $(READY)  ## the same on the stub receiver: the pre-merge run
	$(BIN)/python -m pytest gates/ -m gate1 --k $(K) --receiver stub $(ARGS)

# The report is made whatever the verdict, of this run only; the exit code is the gate's.
report: $(READY) $(NODE_READY)  ## run Gate 1 and make its HTML report
	@rm -rf .lpca/allure-results .lpca/report
	@$(BIN)/python -m pytest gates/ -m gate1 --k $(K) $(ARGS) --alluredir .lpca/allure-results; \
	gate=$$?; \
	node tools/report/make.mjs .lpca/allure-results .lpca/report-history.jsonl .lpca/report \
		|| [ $$gate != 0 ] || gate=3; \
	exit $$gate

report-test: $(READY) $(NODE_READY)  ## open a report in a headless browser
	@[ -n "$$LPCA_BROWSER" ] || which chromium || which chromium-browser || which google-chrome || \
		{ [ "$$(id -u)" = 0 ] && apt-get update && \
		apt-get install --yes --no-install-recommends chromium; } || \
		{ echo "no Chromium: install it, or set LPCA_BROWSER=/path/to/it"; exit 1; }
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/report -m browser $(ARGS)

test: $(READY)  ## lpca's own tests
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n 2 --dist worksteal -m "not slow and not browser" $(ARGS)

test-sample: $(READY)  ## those, and of each slow one that is no matter of minutes a case
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n 2 --dist worksteal -m "not faults and not browser" --slow-sample 0 $(ARGS)

test-slow: $(READY)  ## what takes minutes: fifty sound runs, every command of the documentation
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests -n 2 --dist load --maxschedchunk 1 -m "slow and not faults" $(ARGS)

test-faults: $(READY)  ## every operation on files disturbed, 1,000 flips of each kind, 50 rounds of runs at once
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/faults -n 2 -m faults -s $(ARGS)

docs: $(READY)  ## the documentation as a site, in site/; any broken link is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
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

$(NODE_READY): tools/report/package.json tools/report/package-lock.json
	@command -v npm >/dev/null || { echo "the report needs Node.js 20 or newer, with npm"; exit 1; }
	npm ci --prefix tools/report --ignore-scripts --no-audit --no-fund
	touch $(NODE_READY)

clean:
	rm -rf $(VENV) .lpca/evidence .pytest_cache .mypy_cache .ruff_cache
