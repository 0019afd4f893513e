# make demo: the main job on two local projects.   make test: all tests.   Both set up .venv first if need be.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin

.PHONY: setup demo test lint types clean
setup: .venv/.ready

.venv/.ready: pyproject.toml requirements.txt
	@test -n "$(PYTHON)" || { echo "supapy needs Python 3.11 or newer: none found on PATH"; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --seed --allow-existing --python "$(PYTHON)" .venv && \
		uv pip install --quiet --python .venv/bin/python -e '.[dev]'; \
	else \
		"$(PYTHON)" -m venv .venv && $(BIN)/python -m pip install --quiet -e '.[dev]'; \
	fi
	@touch .venv/.ready

demo: setup
	$(BIN)/supapy sandbox demo

test: setup
	$(BIN)/python -m pytest -q -n auto

lint: setup
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy && $(BIN)/mypy benchmarks

clean:
	rm -rf .venv build dist src/*.egg-info .mypy_cache .ruff_cache .pytest_cache
