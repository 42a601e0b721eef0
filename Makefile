# Everything is done in .venv, which is made on first use. It takes Rust (stable), Python 3.10 or later, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The releases of Telethon that the sessions are tested with.
RELEASES := 1.24.0 1.36.0 1.38.1 1.40.0 1.42.0 1.43.2 1.44.0 1.45.0

RUST := Cargo.toml Cargo.lock $(shell find src crates -name "*.rs" -o -name Cargo.toml)
WHEEL := target/wheels/.made
# Not `pip install --quiet`: a slow download should be seen to be one.
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off

.DEFAULT_GOAL := help
.PHONY: help demo test test-core test-python test-releases bench lint format wheel clean $(RELEASES:%=test-release-%)

help: ## say what there is to make
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.built ## a client signs in, takes 50,000 entities and comes back, with Telethon's session and with ours
	$(BIN)/python demo/demo.py

test: test-core test-python ## all tests

test-core: ## the tests of the core, on a machine that might as well have no Python
	PYO3_PYTHON=/nonexistent cargo test --workspace --no-default-features

test-python: $(VENV)/.built ## the tests against the real Telethon
	$(BIN)/python -m pytest

test-releases: $(RELEASES:%=test-release-%) ## the tests against each supported release of Telethon

bench: $(VENV)/.built ## measure ours beside Telethon's, in one run; with QUICK=1 in about a minute
	$(BIN)/python benches/run.py $(if $(QUICK),--quick)

lint: $(VENV)/.built ## what must be clean: rustfmt, clippy, ruff, mypy, stubtest
	cargo fmt --check
	cargo clippy --all-targets --no-default-features -- -D warnings
	PYO3_PYTHON=$(CURDIR)/$(BIN)/python cargo clippy -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml telethon_session_rust

format: $(VENV)/.ready ## put the code in the shape that lint asks for
	cargo fmt
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

wheel: $(WHEEL) ## an abi3 wheel in target/wheels

clean: ## remove everything that was made
	rm -rf $(VENV) .venvs target .pytest_cache .hypothesis .mypy_cache .ruff_cache demo-out

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or later is needed; say which with: make PYTHON=python3.12 ..."; exit 1; }
	@cargo --version >/dev/null || { echo "Rust is needed: https://rustup.rs"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --group test --group demo --group bench --group lint
	touch $@

$(VENV)/.built: $(VENV)/.ready $(RUST)
	$(BIN)/maturin develop --release
	touch $@

$(WHEEL): $(VENV)/.ready $(RUST) $(wildcard python/telethon_session_rust/*)
	rm -rf target/wheels
	$(BIN)/maturin build --release --out target/wheels
	touch $@

# Each release has an environment of its own, with the wheel in it and not this folder.
.venvs/%/.ready: $(WHEEL)
	$(PYTHON) -m venv .venvs/$*
	.venvs/$*/bin/python -m pip install --disable-pip-version-check --progress-bar off --upgrade 'pip>=25.1'
	.venvs/$*/bin/python -m pip install --disable-pip-version-check --progress-bar off \
	  --force-reinstall target/wheels/*.whl telethon==$* --group test-tools
	touch $@

$(RELEASES:%=test-release-%): test-release-%: .venvs/%/.ready
	HYPOTHESIS_PROFILE=quick .venvs/$*/bin/python -m pytest -q
