# Two commands: `make run` starts a useful gateway, `make test` installs what the tests need and runs everything.

CARGO ?= cargo
# Set TARGET_DIR to build somewhere else, such as a folder shared by several clones.
ifdef TARGET_DIR
export CARGO_TARGET_DIR := $(TARGET_DIR)
endif
TARGET := $(or $(CARGO_TARGET_DIR),target)

.PHONY: run build test prepare test-rust test-sdk test-fuzz soak lint deny demo help

run: ## build and start a gateway on 127.0.0.1:8080
	$(CARGO) build --release --locked -p tollgate
	$(TARGET)/release/tollgate run $(ARGS)

build: ## build the release binary
	$(CARGO) build --release --locked -p tollgate

test: prepare test-rust test-sdk test-fuzz ## install what the tests need, run every test

prepare:
	@tests/prepare

test-rust:
	$(CARGO) nextest run --workspace --locked
	$(CARGO) test --doc --workspace --locked

test-sdk: ## the official Python SDKs against the binary
	$(CARGO) build --locked -p tollgate
	$(CARGO) build --locked -p tollgate-dialects --example translate_recordings
	tests/sdk/run $(TARGET)/debug/tollgate

test-fuzz: ## random bytes for the parsers of all wire formats, for a bounded time
	fuzz/bounded $(FUZZ_SECONDS)

soak: ## 100,000 calls of every kind, after which everybody must have counted the same
	TOLLGATE_SOAK_CALLS=$(or $(CALLS),100000) $(CARGO) test --release --locked -p tollgate --test soak -- --nocapture

lint: deny ## formatting, lints, dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny:
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --version 0.20.2 --locked
	$(CARGO) deny --all-features check bans licenses sources

demo: build ## the four scenarios of the NGINX AI-proxy demo
	examples/nginx-demo/run $(TARGET)/release/tollgate

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
