# `make test` is what CI runs. `make demo` shows Sluice at work without an AWS account or Docker.
.PHONY: test demo fmt lint doc unit parity licences system

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
