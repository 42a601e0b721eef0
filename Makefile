# Everything runs in .venv, which is created on first use. Requires Rust (stable), Python 3.10 or later, and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PYTHON_DOWNLOADS=never $(BIN)/uv
# Do not pass the caller's Python settings on.
unexport PYTHONHOME PYTHONOPTIMIZE PYTHONPATH PYTHONSTARTUP PYTHONWARNINGS
# The tested releases of Telethon, oldest first. .venv has the last one.
RELEASES := 1.24.0 1.36.0 1.38.1 1.40.0 1.42.0 1.43.2 1.44.0 1.45.0
# Those with which slow tests, and what does not depend on the release, are tested too.
WHOLE := $(firstword $(RELEASES)) $(lastword $(RELEASES))
# One whose clients are also tested with Telethon's own reader.
WITHOUT_READER := 1.43.2

RUST := Cargo.toml Cargo.lock $(shell find src crates -name "*.rs" -o -name Cargo.toml)
WHEEL := target/wheels/.built

# More workers than processors, because many tests wait.
WORKERS ?= 4
PYTEST := $(BIN)/python -m pytest -n $(WORKERS)
# A real MongoDB, from a Python package of the tests. The other servers are found in PATH. Not by `wildcard`, which
# remembers that the folder did not exist when make began.
export MONGOD ?= $(shell ls -d $(CURDIR)/$(VENV)/lib/python*/site-packages/fiftyone/db/bin/mongod 2>/dev/null)
# A build of the extension that can panic on request, for one test.
export FAULTY_CORE := $(CURDIR)/target/faulty/telethon_session_rust/_core.abi3.so

# The libraries of npm whose session strings are converted. Without npm, their tests are skipped.
NPM := $(if $(shell command -v npm),target/libraries/npm/.ready)

SCHEDULES ?= 2000
SHUTTLE := RUSTFLAGS='--cfg shuttle' CARGO_TARGET_DIR=target/schedules \
  cargo test -p session-core --features conformance --test schedules
# For the package too where it is built for tests, so that the stores are built once.
FEATURES := --features session-core/conformance,session-core/faults
# All crates that do not need Python. The model is apart: its model checker would have much of the rest built again, with
# other features.
CORE := --workspace $(addprefix --exclude ,telethon-session-rust attr-cache py-once tl-reader protocol-model) $(FEATURES)
# Tests with random input that run longer in test-long, besides the slow tests.
LONG := $(addprefix tests/sessions/test_,bad_arguments.py stateful.py lookup_keys.py strings.py)

MIRI := entity:: entity_table peer_cache lookup_key session_string inbox dirty_set

FUZZ_SECONDS ?= 60
HOST := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
FUZZ := target/fuzz/.built
# The flags of cargo-fuzz, which work with a stable compiler. With an explicit target, build scripts do not get them.
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Ccodegen-units=1 $(addprefix -Cllvm-args=-sanitizer-coverage-, \
  level=4 inline-8bit-counters pc-table trace-compares)
FUZZERS := session_string lookup_key session_file

# Other libraries, with which tests/convert writes sessions. Each has a folder of its own, because several are the module
# pyrogram. What is not available for a system is skipped by the tests; with REQUIRE_LIBRARIES=1 that is an error.
GRAMMERS := target/grammers/debug/write-grammers-session
LIBRARIES := $(patsubst tests/convert/libraries/%.txt,target/libraries/%/.ready,$(wildcard tests/convert/libraries/*.txt)) \
  $(GRAMMERS) $(NPM)

.DEFAULT_GOAL := help
.PHONY: help demo test test-core test-python test-parallel test-slow test-schedules test-long test-releases test-wheel \
  test-sdist miri fuzz bench docs lint clippy format lock wheel clean $(RELEASES:%=test-release-%) $(FUZZERS:%=fuzz-%)

help: ## list the targets
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo $(if $(STORE),$(VENV)/.test) $(VENV)/.released ## sign a client in, receive 50,000 entities and reconnect, with our session and with Telethon's; on a server with STORE=redis, postgres, mysql or mongodb
	$(BIN)/python demo/demo.py $(STORE)

test: test-core test-python test-parallel ## run all tests except the slow ones

test-core: $(VENV)/.test ## test the core and the stores, without Python
	RUST_TEST_THREADS=$(WORKERS) cargo test $(CORE)
	cargo test -p protocol-model
	cargo test -p tl-reader --no-default-features

test-python: $(VENV)/.developed $(FAULTY_CORE) $(LIBRARIES) ## compare with the installed Telethon
	$(PYTEST) -m "not slow"

test-parallel: $(VENV)/.developed ## run each test of test_parallel.py in eight threads at once
	$(BIN)/python -m pytest tests/sessions/test_parallel.py --parallel-threads=8

test-slow: test-schedules $(VENV)/.developed $(FAULTY_CORE) $(LIBRARIES) ## test kills, power cuts, locked files, thousands of files, thread schedules
	$(PYTEST) -m slow

# Some of these tests panic on purpose, so show their messages only on failure.
test-schedules: ## run the core's threads in thousands of schedules with shuttle, SCHEDULES=2000 per test
	@mkdir -p target/schedules
	$(SHUTTLE) --no-run
	SCHEDULES=$(SCHEDULES) $(SHUTTLE) -- --nocapture 2> target/schedules/log || { cat target/schedules/log; exit 1; }

test-long: export HYPOTHESIS_PROFILE = long
test-long: $(VENV)/.developed $(FAULTY_CORE) $(LIBRARIES) ## run the slow tests and Hypothesis with higher counts, and fuzz
	$(MAKE) test-schedules SCHEDULES=8000
	$(PYTEST) -m slow --durations=10
	$(PYTEST) $(LONG) --durations=10
	$(MAKE) fuzz

miri: ## run the core's tests under Miri, which detects undefined behaviour; needs a nightly toolchain with Miri
	CARGO_TARGET_DIR=target/miri cargo +nightly miri test -p session-core --lib -- $(MIRI)
	CARGO_TARGET_DIR=target/miri cargo +nightly miri test -p tl-reader --no-default-features --lib

fuzz: $(FUZZERS:%=fuzz-%) ## run libFuzzer on strings, lookup keys and files, FUZZ_SECONDS=60 each

$(FUZZERS:%=fuzz-%): fuzz-%: $(FUZZ)
	mkdir -p target/fuzz/corpus/$*
	target/fuzz/$(HOST)/release/$* -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=60 -rss_limit_mb=2048 \
	  -artifact_prefix=target/fuzz/ -print_final_stats=1 -verbosity=0 target/fuzz/corpus/$* fuzz/seeds/$*

test-releases: $(patsubst %,test-release-%,$(filter-out $(lastword $(RELEASES)),$(RELEASES))) ## test with the oldest supported Telethon, and what depends on the release with later ones

test-wheel: $(VENV)/.distribution $(WHEEL) ## check the wheel's contents, metadata and symbols, and that it works in a new environment
	$(BIN)/python -m pytest distribution/test_wheel.py

# Downloads the crates of Cargo.lock first, because the build has no network.
test-sdist: $(VENV)/.distribution $(VENV)/.build ## check that the source distribution is complete and builds without the network
	cargo fetch --locked
	$(BIN)/python -m pytest distribution/test_sdist.py

bench: $(VENV)/.bench $(VENV)/.released ## compare our performance with Telethon's; with QUICK=1 in a few minutes
	$(BIN)/python benches/run.py $(if $(QUICK),--quick)

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(VENV)/.docs $(VENV)/.developed ## build the documentation as a site, in target/docs
	$(BIN)/mkdocs build --strict

lint: $(VENV)/.lint $(VENV)/.distribution $(VENV)/.developed ## check code, documentation and workflows with rustfmt, clippy, ruff, mypy, stubtest and pyright
	cargo fmt --all --check
	cargo fmt --check --manifest-path fuzz/Cargo.toml
	cargo fmt --check --manifest-path tests/convert/grammers/Cargo.toml
	$(MAKE) clippy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	MYPYPATH=python $(BIN)/python -m mypy.stubtest --mypy-config-file pyproject.toml telethon_session_rust
	PYTHONPATH=tests $(BIN)/python -m support.documents target/documents
	$(BIN)/mypy target/documents
	$(BIN)/pyright --pythonpath $(BIN)/python target/documents
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(BIN)/zizmor --offline --quiet --persona pedantic .github

clippy: $(VENV)/.ready ## check the Rust code with clippy
	cargo clippy $(CORE) --all-targets -- -D warnings
	cargo clippy -p protocol-model --all-targets -- -D warnings
	PYO3_PYTHON=$(CURDIR)/$(BIN)/python cargo clippy -p telethon-session-rust -p attr-cache -p py-once -p tl-reader --features faults -- -D warnings

format: $(VENV)/.lint ## format the code and apply automatic fixes
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	cargo fmt --manifest-path tests/convert/grammers/Cargo.toml
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: $(VENV)/.build ## update tools.lock to the newest versions of all tools
	$(UV) pip compile pyproject.toml --upgrade --universal --python-version 3.10 --no-header --no-annotate --quiet \
	  $(foreach group,build test bench lint docs distribution,--group $(group)) --output-file tools.lock

wheel: $(WHEEL) ## build an abi3 wheel in target/wheels

clean: ## remove everything that was built
	rm -rf $(VENV) .venvs target .pytest_cache .hypothesis .mypy_cache .ruff_cache demo-out

$(FUZZ): $(RUST) $(wildcard fuzz/*.toml fuzz/fuzz_targets/*.rs)
	RUSTFLAGS='$(FUZZ_FLAGS)' cargo build --release --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target $(HOST)
	touch $@

target/libraries/%/.ready: tests/convert/libraries/%.txt $(VENV)/.ready
	rm -rf $(@D)
	$(UV) pip install --quiet --no-deps --python $(BIN)/python --target $(@D) --requirements $< && touch $@ \
	  || echo "$* is not available for this system: its tests are skipped"

# The flags in .cargo/config.toml are for our SQLite.
$(GRAMMERS): $(wildcard tests/convert/grammers/Cargo.* tests/convert/grammers/src/*)
	LIBSQLITE3_FLAGS= cargo build --quiet --locked --manifest-path tests/convert/grammers/Cargo.toml \
	  --target-dir target/grammers && touch $@ || echo "grammers cannot be built on this system: its tests are skipped"

$(FAULTY_CORE): $(RUST) | $(VENV)/.build
	rm -rf target/faulty
	$(BIN)/maturin build $(FEATURES) --features faults --out target/faulty
	cd target/faulty && $(CURDIR)/$(BIN)/python -m zipfile -e *.whl .
	touch $@

target/libraries/npm/.ready: $(wildcard tests/convert/node/package*.json)
	rm -rf $(@D)
	mkdir -p $(@D)
	cp $^ $(@D)
	NODE_EXTRA_CA_CERTS="$${NODE_EXTRA_CA_CERTS-$$SSL_CERT_FILE}" \
	  npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund && touch $@ \
	  || echo "npm's libraries are not available: their tests are skipped"

$(VENV)/.ready: tools.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "Python 3.10 or later is required; choose one with: make PYTHON=python3.12 ..."; exit 1; }
	@cargo --version >/dev/null || { echo "Rust is required: https://rustup.rs"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --progress-bar off "$$(grep '^uv==' tools.lock)"
	touch $@

# One stamp file for each dependency group.
GROUPS := $(addprefix $(VENV)/.,bench build demo distribution docs lint test)
$(GROUPS): $(VENV)/.%: $(VENV)/.ready pyproject.toml
	$(UV) pip install --compile-bytecode --python $(BIN)/python --constraints tools.lock --group $*
	touch $@

# Both builds install to one place, so each removes the other's stamp.
$(VENV)/.developed: $(VENV)/.build $(VENV)/.test $(RUST)
	rm -f $(VENV)/.released
	$(BIN)/maturin develop $(FEATURES)
	touch $@

$(VENV)/.released: $(VENV)/.build $(RUST)
	rm -f $(VENV)/.developed
	$(BIN)/maturin develop --release --strip
	touch $@

$(WHEEL): $(VENV)/.build $(RUST) README.md $(wildcard $(addprefix python/telethon_session_rust/,* cli/* foreign/*))
	rm -rf target/wheels
	$(BIN)/maturin build --release --strip --compression-level 9 --out target/wheels
	touch $@

# Each release has its own environment with the wheel instead of this folder. The oldest needs an older telemongo.
.venvs/%/.ready: $(WHEEL)
	$(UV) venv --quiet --clear --python $(BIN)/python .venvs/$*
	sed -e '/^telethon==/d' $(if $(filter $(firstword $(RELEASES)),$*),-e 's/^telemongo==.*/telemongo==0.2.1/') tools.lock \
	  > .venvs/$*/constraints.txt
	$(UV) pip install --quiet --compile-bytecode --python .venvs/$*/bin/python --constraints .venvs/$*/constraints.txt \
	  target/wheels/*.whl telethon==$* --group test-tools --group servers
	touch $@

$(RELEASES:%=test-release-%): test-release-%: .venvs/%/.ready $(FAULTY_CORE) $(LIBRARIES)
	INSTALLED_WHEEL=1 HYPOTHESIS_PROFILE=quick .venvs/$*/bin/python -m pytest -q -n $(WORKERS) \
	  -m "not (slow $(if $(filter $(WHOLE),$*),and,or) any_release)" \
	  $(addprefix --ignore=tests/documentation/test_,documents.py moving.py coming_from.py)
	$(if $(filter $(WITHOUT_READER),$*),TELETHON_SESSION_RUST_READER=0 INSTALLED_WHEEL=1 .venvs/$*/bin/python -m pytest -q \
	  -n $(WORKERS) tests/client)
