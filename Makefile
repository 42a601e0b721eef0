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

SCHEDULES ?= 2000
SHUTTLE := RUSTFLAGS='--cfg shuttle' CARGO_TARGET_DIR=target/schedules PYO3_PYTHON=/nonexistent \
  cargo test --no-default-features --test schedules
# A core that can be told to panic, for one test.
export FAULTY_CORE := $(CURDIR)/target/debug/libtelethon_session_rust.$(if $(filter Darwin,$(shell uname)),dylib,so)
# Those tests that a longer look makes sense of.
LONG := $(patsubst %,tests/test_%.py,bad_files bad_arguments command_repair_anything kills power_cuts \
  random_lives lookup_keys strings)

MIRI := entity:: entity_cache peer_cache lookup_key session_string inbox

FUZZ_SECONDS ?= 60
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
FUZZ := target/fuzz/.built
# As cargo-fuzz has it, which a stable compiler does too. The host is named so that build scripts are spared.
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 $(addprefix -Cllvm-args=-sanitizer-coverage-, \
  level=4 inline-8bit-counters pc-table trace-compares)
FUZZERS := session_string lookup_key session_file

.DEFAULT_GOAL := help
.PHONY: help demo test test-core test-schedules test-python test-parallel test-long test-releases test-wheel test-sdist miri fuzz \
  bench docs lint format wheel clean $(RELEASES:%=test-release-%) $(FUZZERS:%=fuzz-%)

help: ## say what there is to make
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.built ## a client signs in, takes 50,000 entities and comes back, with Telethon's session and with ours
	$(BIN)/python demo/demo.py

test: test-core test-schedules test-python test-parallel ## all tests

test-core: ## the tests of the core, on a machine that might as well have no Python
	PYO3_PYTHON=/nonexistent cargo test --workspace --no-default-features

# On the orders of threads that shuttle tries: what a panic says there is part of the play.
test-schedules: ## the core's threads in thousands of orders; SCHEDULES=n says how many
	@mkdir -p target/schedules
	$(SHUTTLE) --no-run
	SCHEDULES=$(SCHEDULES) $(SHUTTLE) -- --nocapture 2> target/schedules/log || { cat target/schedules/log; exit 1; }

test-python: $(VENV)/.built $(FAULTY_CORE) ## the tests against the real Telethon
	$(BIN)/python -m pytest

test-parallel: $(VENV)/.built ## those tests that are made for it, each by eight threads at once
	$(BIN)/python -m pytest tests/test_parallel.py --parallel-threads=8

test-long: export HYPOTHESIS_PROFILE = long
test-long: $(VENV)/.built $(FAULTY_CORE) ## look longer for trouble: files, kills, power cuts, arguments, orders of threads, fuzzing
	$(MAKE) test-schedules SCHEDULES=8000
	$(BIN)/python -m pytest $(LONG) --durations=10
	$(MAKE) fuzz

# What calls SQLite or Python cannot run under it.
miri: ## the core's tests under miri, which finds undefined behaviour; it takes a nightly toolchain that has it
	CARGO_TARGET_DIR=target/miri cargo +nightly miri test --no-default-features --lib -- $(MIRI)

fuzz: $(FUZZERS:%=fuzz-%) ## libFuzzer on strings, lookup keys and files, FUZZ_SECONDS=60 each

$(FUZZERS:%=fuzz-%): fuzz-%: $(FUZZ)
	mkdir -p target/fuzz/corpus/$*
	target/fuzz/$(HOST)/release/$* -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=60 -rss_limit_mb=2048 \
	  -artifact_prefix=target/fuzz/ -print_final_stats=1 -verbosity=0 target/fuzz/corpus/$* fuzz/seeds/$*

test-releases: $(RELEASES:%=test-release-%) ## the tests against each supported release of Telethon

test-wheel: $(WHEEL) ## what the wheel holds, needs and says of itself, and that it works by itself
	$(BIN)/python -m pytest distribution/test_wheel.py

# What Cargo.lock names is fetched first; nothing else is to be had then.
test-sdist: $(VENV)/.ready ## the source distribution holds what it takes, and is built without the network
	cargo fetch --locked
	$(BIN)/python -m pytest distribution/test_sdist.py

bench: $(VENV)/.built ## measure ours beside Telethon's, in one run; with QUICK=1 in about a minute
	$(BIN)/python benches/run.py $(if $(QUICK),--quick)

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.docs ## the documentation as a site, in target/docs
	$(BIN)/mkdocs build --strict

lint: $(VENV)/.built ## what must be clean: rustfmt, clippy, ruff, mypy, stubtest, pyright, the documentation's code, the workflows
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo clippy --workspace --all-targets --no-default-features -- -D warnings
	PYO3_PYTHON=$(CURDIR)/$(BIN)/python cargo clippy -p telethon-session-rust -p plain-attributes --features faults -- -D warnings
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml telethon_session_rust
	$(BIN)/python -m support.documents target/documents
	$(BIN)/mypy target/documents
	$(BIN)/pyright --pythonpath $(BIN)/python target/documents
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet --persona pedantic .github

format: $(VENV)/.ready ## put the code in the shape that lint asks for
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

$(FUZZ): $(RUST) $(wildcard fuzz/*.toml fuzz/fuzz_targets/*.rs)
	RUSTFLAGS='$(FUZZ_FLAGS)' cargo build --release --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target $(HOST)
	touch $@

$(FAULTY_CORE): $(RUST)
	cargo build --features faults

wheel: $(WHEEL) ## an abi3 wheel in target/wheels

clean: ## remove everything that was made
	rm -rf $(VENV) .venvs target .pytest_cache .hypothesis .mypy_cache .ruff_cache demo-out

$(VENV)/.ready: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or later is needed; say which with: make PYTHON=python3.12 ..."; exit 1; }
	@cargo --version >/dev/null || { echo "Rust is needed: https://rustup.rs"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade 'pip>=25.1'
	$(PIP) --group test --group demo --group bench --group lint --group distribution
	touch $@

$(VENV)/.docs: $(VENV)/.ready
	$(PIP) --group docs
	touch $@

$(VENV)/.built: $(VENV)/.ready $(RUST)
	$(BIN)/maturin develop --release
	touch $@

$(WHEEL): $(VENV)/.ready $(RUST) README.md $(wildcard python/telethon_session_rust/* python/telethon_session_rust/cli/*)
	rm -rf target/wheels
	$(BIN)/maturin build --release --strip --out target/wheels
	touch $@

# Each release has an environment of its own, with the wheel in it and not this folder.
.venvs/%/.ready: $(WHEEL)
	$(PYTHON) -m venv .venvs/$*
	.venvs/$*/bin/python -m pip install --disable-pip-version-check --progress-bar off --upgrade 'pip>=25.1'
	.venvs/$*/bin/python -m pip install --disable-pip-version-check --progress-bar off \
	  --force-reinstall target/wheels/*.whl telethon==$* --group test-tools
	touch $@

# Without what is about files, threads and the machine, whatever Telethon there is; `make test` has it.
OF_ANY_RELEASE := $(addprefix tests/test_,kills.py power_cuts.py long_runs.py huge_files.py bad_files.py lost_files.py \
  held_files.py forks_under_load.py child_ends.py exclusive.py one_process.py trouble.py documents.py moving.py \
  command_bench.py command_repair_anything.py crowded_files.py)
$(RELEASES:%=test-release-%): test-release-%: .venvs/%/.ready $(FAULTY_CORE)
	INSTALLED_WHEEL=1 HYPOTHESIS_PROFILE=quick .venvs/$*/bin/python -m pytest -q $(OF_ANY_RELEASE:%=--ignore=%)
