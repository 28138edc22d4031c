# `make demo` and `make test` set up everything they need: a virtual environment in .venv from the lock.
# Python 3.11 or newer and a package registry are all they ask for. uv is used where it is present.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ONLY ?=
# Bytecode is kept, as after an install: compiling it at every start would be measured, and waited for.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test check bench deep soak lock clean

help:
	@echo "make demo    the main job on 336,776 real flights, then a served prediction"
	@echo "make test    the tests"
	@echo "make check   lint, types, layers"
	@echo "make bench   the benchmarks (one of them: make bench ONLY=name)"
	@echo "make deep    the long simulations and soaks"
	@echo "make soak    ten minutes of load on a server while workers die, canaries fail and the disk fills"
	@echo "make lock    compile the requirements lock anew"

$(READY): requirements.lock pyproject.toml scripts/setup.sh
	@PYTHON="$(PYTHON)" VENV="$(VENV)" sh scripts/setup.sh

demo: $(READY)
	@$(BIN)/python scripts/demo.py

test: $(READY)
	$(BIN)/python -m pytest -q -m "not deep" -n auto --maxprocesses 4 --dist loadfile

deep: $(READY)
	$(BIN)/python -m pytest -q -m deep --timeout 3600

soak: $(READY)
	$(BIN)/python scripts/soak.py

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)
	$(BIN)/python -m benchmarks $(ONLY)

lock: pyproject.toml
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --quiet --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) demo benchmarks/out dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
