# Every target does its own set-up: a fresh machine needs only Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
BROWSER := $(VENV)/.browser
WORKERS ?= auto

SEED ?= 1
JOBS ?= 200
STORE ?= moto

.PHONY: setup check test test-exhaustive images mlflow lm-eval locks chaos screenshots demo up openapi docs site bench bench-api \
	bench-fit bench-overhead bench-savings bench-mutransfer clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The installation steps of the images, in clean environments. The worker needs torch for CPUs alone: set
# PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS to where its wheel is.
images: $(READY)
	$(BIN)/python -m pytest -m images tests/deploy

# Against a real MLflow server, in an environment of its own because it pins packages of ours to older ones.
mlflow: $(READY)
	test -x $(VENV)-mlflow/bin/mlflow || ($(PYTHON) -m venv $(VENV)-mlflow && $(VENV)-mlflow/bin/python -m pip install --quiet mlflow)
	MLFLOW=$(CURDIR)/$(VENV)-mlflow/bin/mlflow $(BIN)/python -m pytest -m mlflow tests/worker/test_tracking.py

# With the LM Evaluation Harness, in an environment of its own because it brings forty packages.
lm-eval: $(READY)
	test -x $(VENV)-lm-eval/bin/lm_eval || ($(PYTHON) -m venv $(VENV)-lm-eval && \
	  $(VENV)-lm-eval/bin/python -m pip install --quiet -c constraints.txt -e '.[worker]' 'lm_eval[hf]')
	LM_EVAL=$(CURDIR)/$(VENV)-lm-eval/bin/python $(BIN)/python -m pytest -m lm_eval tests/docs/test_tutorial.py

locks: $(READY)
	PATH="$(CURDIR)/$(BIN):$$PATH" docker/locks/make.sh

# The dashboard's tests need Chromium. Root gets it from the distribution here; for others they are skipped without it.
$(BROWSER): $(READY)
	$(BIN)/python -m tests.dashboard.chromium
	touch $@

test: $(BROWSER)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not gpu and not exhaustive and not images and not mlflow and not lm_eval"

test-exhaustive: $(BROWSER)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not gpu and not images and not mlflow and not lm_eval"

screenshots: $(BROWSER)
	SCREENSHOTS=docs/images $(BIN)/python -m pytest tests/dashboard

# About ten minutes on four cores for 200 jobs; STORE=rclone takes a store without conditional puts.
chaos: $(READY)
	$(BIN)/python -m tests.chaos --seed $(SEED) --jobs $(JOBS) --store $(STORE) --report benchmarks/results

demo: $(READY)
	$(BIN)/python -m demo

up: $(READY)
	$(BIN)/grow up

openapi: $(READY)
	$(BIN)/python -m service.openapi openapi.yaml

docs: $(READY)
	$(BIN)/python -m growth.catalogue > docs/architectures.md
	$(BIN)/python -m reference.pictures docs/images

site: $(READY)
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --strict

bench: $(READY)
	$(BIN)/python -m benchmarks.expand --json > benchmarks/results/expand.json

bench-overhead: $(READY)
	$(BIN)/python -m benchmarks.overhead --json > benchmarks/results/overhead.json

bench-fit: $(READY)
	$(BIN)/python -m benchmarks.fit_cost --json > benchmarks/results/fit_cost.json
	$(BIN)/python -m benchmarks.fit_cost.plot benchmarks/results/fit_cost.json benchmarks/results/fit_cost.svg

bench-api: $(READY)
	$(BIN)/python -m benchmarks.api --json > benchmarks/results/api.json

# Hours on two cores; results of runs are kept in .savings, so that it goes on where it was interrupted.
bench-savings: $(READY)
	for model in llama llama-small gpt2 bert vit; do \
	  $(BIN)/python -m benchmarks.savings --model $$model --json --plot benchmarks/results/savings-$$model.svg \
	    > benchmarks/results/savings-$$model.json || exit 1; \
	done

# Half an hour on two free cores; results of runs are kept in .mutransfer.
bench-mutransfer: $(READY)
	$(BIN)/python -m benchmarks.mutransfer --json --plot benchmarks/results/mutransfer.svg \
	  > benchmarks/results/mutransfer.json

clean:
	rm -rf $(VENV) .site .demo .savings .mutransfer .hypothesis .pytest_cache .mypy_cache .ruff_cache build *.egg-info
