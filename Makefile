# Everything a fresh machine with Python 3.11 needs: `make run`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: run test check slow docs test-full wheel clean

run: $(STAMP)  ## train and evaluate the embedded default, print its results
	$(BIN)/tracer train demo --out $(RUN)

test: $(STAMP) check  ## lint, types, import contracts, then every fast test with coverage
	$(BIN)/python -m pytest --cov --cov-report=term:skip-covered

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

slow: $(STAMP)  ## tests that take minutes
	$(BIN)/python -m pytest -m slow

docs: $(STAMP)  ## the documentation, into site/
	$(BIN)/mkdocs build --strict --quiet

test-full: test slow docs  ## everything

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist site *.egg-info

# Torch first and by its exact version: an unpinned one would pull a CUDA build.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt --editable '.[dev]'
	touch $@
