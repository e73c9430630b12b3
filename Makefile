# make demo    sets up and runs the main job on the network that ships      make test    sets up and passes the tests
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test check docs web bench models models-all clean
.DEFAULT_GOAL := demo

demo: $(VENV)/.core
	$(BIN)/modescope demo

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: $(VENV)/.dev docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python scripts/page.py

docs: $(VENV)/.dev
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

web:
	cd web && npm ci && npm run build

bench: $(VENV)/.dev
	$(BIN)/python bench/run.py
	$(BIN)/python -m pytest -m full

models: $(VENV)/.core
	$(BIN)/python scripts/models.py

models-all: $(VENV)/.core
	$(BIN)/python scripts/models.py --all

clean:
	rm -rf $(VENV) docs/_build build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/.core: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.core
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
