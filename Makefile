# Everything a fresh machine with Python 3.11 needs: `make run`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SGLANG := .venv-sglang
SGLANG_STAMP := $(SGLANG)/.installed
TRL := .venv-trl
TRL_STAMP := $(TRL)/.installed
RUN := runs/demo-$(shell date +%Y%m%d-%H%M%S)
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export HF_HUB_DISABLE_TELEMETRY := 1

# One thread: several small processes at once would slow each other down many times over.
test slow: export OMP_NUM_THREADS := 1

# Two processes, a file's tests in one of them: fixtures of a module are made once.
PARALLEL := --numprocesses 2 --dist loadfile

.PHONY: run test check slow docs venv-sglang test-sglang venv-trl test-full wheel clean

run: $(STAMP)  ## train and evaluate the embedded default, print its results
	$(BIN)/tracer train demo --out $(RUN)

test: $(STAMP) check  ## lint, types, import contracts, then every fast test with coverage
	$(BIN)/python -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

slow: $(STAMP)  ## tests that take minutes
	$(BIN)/python -m pytest $(PARALLEL) -m slow

docs: $(STAMP)  ## the documentation, into site/
	$(BIN)/mkdocs build --strict --quiet

venv-sglang: $(SGLANG_STAMP)  ## a real SGLang server for machines without a GPU, in an environment of its own

test-sglang: $(STAMP) $(SGLANG_STAMP)  ## tests against a real SGLang server on the CPU
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m sglang tests/sglang

venv-trl: $(TRL_STAMP)  ## TRL, for benchmarks.peers.trl, in an environment of its own

test-full: test slow docs test-sglang  ## everything

wheel: $(STAMP)
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) $(SGLANG) $(TRL) build dist site *.egg-info

# Torch first and by its exact version: an unpinned one would pull a CUDA build.
$(STAMP): pyproject.toml constraints.txt
	@echo 'Installing Python packages into $(VENV): a few minutes, once, in which little is printed.'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet -c constraints.txt --editable '.[dev]'
	touch $@

# SGLang's own requirements pin a CUDA torch; on a CPU its server needs only these. torchvision would replace torch.
SGLANG_NEEDS := transformers==5.19.0 triton==3.7.1 numpy orjson pyzmq psutil setproctitle uvloop 'uvicorn>=0.51' \
	fastapi aiohttp msgspec requests pillow partial_json_parser python-multipart prometheus-client interegular \
	sentencepiece==0.2.1 tiktoken einops pybase64 xxhash ipython openai==2.8.0 dill apache-tvm-ffi==0.1.11 \
	compressed-tensors==0.18.0 gguf jsonschema xgrammar==0.2.7 soundfile==0.13.1
$(SGLANG_STAMP): constraints-sglang-cpu.txt
	@echo 'Installing SGLang for the CPU into $(SGLANG): a few minutes, once, in which little is printed.'
	$(PYTHON) -m venv $(SGLANG)
	$(SGLANG)/bin/pip install --quiet -c constraints-sglang-cpu.txt torch==2.13.0
	$(SGLANG)/bin/pip install --quiet -c constraints-sglang-cpu.txt $(SGLANG_NEEDS)
	$(SGLANG)/bin/pip install --quiet --no-deps torchvision==0.16.2 sglang==0.5.23 sglang-router==0.3.2
	touch $@

$(TRL_STAMP): constraints-trl.txt
	@echo 'Installing TRL into $(TRL): a few minutes, once, in which little is printed.'
	$(PYTHON) -m venv $(TRL)
	$(TRL)/bin/pip install --quiet -c constraints-trl.txt torch==2.13.0
	$(TRL)/bin/pip install --quiet -c constraints-trl.txt trl==1.16.0
	touch $@
