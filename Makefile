# Every target does its own set-up: a fresh machine needs only Python 3.11 and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKERS ?= auto

.PHONY: setup check test demo up openapi docs bench bench-fit bench-savings clean

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

test: $(READY)
	$(BIN)/python -m pytest -n $(WORKERS) -m "not gpu"

demo: $(READY)
	$(BIN)/python -m demo

up: $(READY)
	$(BIN)/grow up

openapi: $(READY)
	$(BIN)/python -m service.openapi openapi.yaml

docs: $(READY)
	$(BIN)/python -m growth.catalogue > docs/architectures.md

bench: $(READY)
	$(BIN)/python -m benchmarks.expand --json > benchmarks/results/expand.json

bench-fit: $(READY)
	$(BIN)/python -m benchmarks.fit_cost --json > benchmarks/results/fit_cost.json
	$(BIN)/python -m benchmarks.fit_cost.plot benchmarks/results/fit_cost.json benchmarks/results/fit_cost.svg

# Hours on two cores; results of runs are kept in .savings, so that it goes on where it was interrupted.
bench-savings: $(READY)
	for model in llama llama-small gpt2 bert vit; do \
	  $(BIN)/python -m benchmarks.savings --model $$model --json --plot benchmarks/results/savings-$$model.svg \
	    > benchmarks/results/savings-$$model.json || exit 1; \
	done

clean:
	rm -rf $(VENV) .demo .savings .hypothesis .pytest_cache .mypy_cache .ruff_cache build *.egg-info
