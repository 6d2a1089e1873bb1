# `make test` is what CI runs. `make demo` shows Sluice at work without an AWS account or Docker.
.PHONY: test demo fmt lint doc unit parity licences system fuzz fuzz-build

CONFORMANCE ?= ../shared/conformance
RELEASE := target/release

test: fmt lint doc unit licences parity system

fmt:
	cargo fmt --check

lint:
	cargo clippy --locked --all-targets -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items

unit:
	cargo test --locked

$(RELEASE)/sluice: FORCE
	cargo build --locked --release

FORCE:

parity: $(RELEASE)/sluice
	python3 tests/parity/run.py $(RELEASE)/sluice $(CONFORMANCE)

licences:
	python3 tests/licences.py

system: $(RELEASE)/sluice
	tests/system/run.sh

demo: $(RELEASE)/sluice
	config/demo.sh

# Fuzzing needs coverage from the compiler and no nightly: these are stable flags. No sanitizer, since there is no unsafe code.
FUZZ := $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
FUZZ_SECONDS ?= 60
FUZZ_LENGTH ?= 100000
VECTORS ?= ../shared/vectors
HOST := $(shell rustc -vV | sed -n 's/^host: //p')
COVERAGE := -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing

fuzz-build:
	cd fuzz && RUSTFLAGS="$(COVERAGE)" cargo build --release --target $(HOST)

fuzz: fuzz-build
	python3 fuzz/corpus.py $(VECTORS)/forward
	for target in $(FUZZ); do \
		mkdir -p fuzz/corpus/$$target fuzz/artifacts && \
		fuzz/target/$(HOST)/release/$$target -max_total_time=$(FUZZ_SECONDS) -timeout=1 -rss_limit_mb=512 \
			-max_len=$(FUZZ_LENGTH) -artifact_prefix=fuzz/artifacts/ fuzz/corpus/$$target || exit 1; \
	done
