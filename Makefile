# Two commands: `make run` starts a useful gateway, `make test` installs what the tests need and runs everything.

CARGO ?= cargo
# Set TARGET_DIR to build somewhere else, such as a folder shared by several clones.
ifdef TARGET_DIR
export CARGO_TARGET_DIR := $(TARGET_DIR)
endif
BUILT := $(or $(CARGO_TARGET_DIR),target)
# Releases are built with what is known of how often calls go through each part of the program.
RELEASE := deploy/profiled $(CARGO)

.PHONY: run build test prepare test-rust test-sdk test-ui screenshots test-fuzz test-instructions test-kill bench bench-growth profile order fuzz soak lint deny audit demo sbom reproducible static needs help

run: ## build and start a gateway on 127.0.0.1:8080
	$(RELEASE) build --release --locked -p tollgate
	$(BUILT)/release/tollgate run $(ARGS)

build: ## build the release binary
	$(RELEASE) build --release --locked -p tollgate

test: prepare test-rust test-sdk test-ui test-fuzz test-instructions ## install what the tests need, run every test

prepare:
	@tests/prepare

test-rust:
	$(CARGO) nextest run --workspace --locked
	$(CARGO) test --doc --workspace --locked

test-sdk: ## the official Python SDKs against the binary
	$(CARGO) build --locked -p tollgate
	$(CARGO) build --locked -p tollgate-dialects --example translate_recordings
	tests/sdk/run $(BUILT)/debug/tollgate

test-ui: ## the dashboard in Debian's Chromium, against the binary; and that it is built from its sources
	tests/ui/built
	$(CARGO) build --locked -p tollgate
	tests/ui/run $(BUILT)/debug/tollgate

screenshots: ## pictures of every page of the dashboard, for docs/ui
	$(CARGO) build --locked -p tollgate
	tests/ui/run $(BUILT)/debug/tollgate --screenshots docs/ui

test-fuzz: ## random bytes for every parser of outside bytes, for a bounded time
	fuzz/bounded $(FUZZ_SECONDS)

fuzz: ## one parser for longer: make fuzz TARGET=sse SECONDS=600
	fuzz/run $(TARGET) $(SECONDS)

soak: ## 100,000 calls of every kind, then five minutes of half the load with faults: same counts everywhere, nothing left behind
	TOLLGATE_SOAK_CALLS=$(or $(CALLS),100000) TOLLGATE_SOAK_SECONDS=$(or $(SECONDS),300) \
		$(RELEASE) test --release --locked -p tollgate --test soak -- --nocapture

test-kill: ## kill the gateway a thousand times in the middle of writes through the Admin API
	TOLLGATE_KILLS=$(or $(KILLS),1000) $(CARGO) test --locked -p tollgate --test e2e keeping::killed -- --nocapture

bench: ## processor time, latency and memory against nginx, scenario by scenario
	@command -v nginx >/dev/null || tests/prepare nginx-light
	$(RELEASE) build --release --locked -p tollgate -p tollgate-bench
	$(BUILT)/release/tollgate-bench compare --gateway $(BUILT)/release/tollgate --rounds $(or $(ROUNDS),5)

bench-growth: ## how cost grows with connections, bodies, streams, routes, consumers, instances, processors; draws docs/performance/*.svg
	@command -v nginx >/dev/null || tests/prepare nginx-light
	$(RELEASE) build --release --locked -p tollgate -p tollgate-bench
	@rm -f $(BUILT)/growth.json
	$(BUILT)/release/tollgate-bench growth --gateway $(BUILT)/release/tollgate --rounds $(or $(ROUNDS),3) --out $(BUILT)/growth.json; \
		status=$$?; [ ! -f $(BUILT)/growth.json ] || benches/plot $(BUILT)/growth.json docs/performance; exit $$status

test-instructions: prepare ## what a call costs in instructions, against the committed figures
	$(RELEASE) build --release --locked -p tollgate -p tollgate-bench
	$(BUILT)/release/tollgate-bench count --gateway $(BUILT)/release/tollgate $(if $(UPDATE),--update)

profile: prepare ## how often each part of the program is run, for the compiler: after larger changes of what calls go through, and before `make order`
	deploy/profile

order: prepare ## which functions the linker puts together: after a new compiler, or when the program in memory has grown
	$(RELEASE) rustc --release --locked -p tollgate --bin tollgate -- -C strip=none
	$(RELEASE) build --release --locked -p tollgate-bench
	$(BUILT)/release/tollgate-bench order --gateway $(BUILT)/release/tollgate

lint: deny ## formatting, lints, dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

deny:
	@command -v cargo-deny >/dev/null || $(CARGO) install cargo-deny --version 0.20.2 --locked
	$(CARGO) deny --all-features check bans licenses sources

sbom: ## what the binary is made of, as CycloneDX, in tollgate.cdx.json of the build folder
	@mkdir -p $(BUILT)
	deploy/sbom >$(BUILT)/tollgate.cdx.json
	@echo $(BUILT)/tollgate.cdx.json

reproducible: ## build twice in two folders, compare the bytes
	deploy/reproducible

static: ## a binary that needs nothing, not even a C library
	deploy/static

needs: build ## that the binary needs nothing but the C library
	deploy/needs $(BUILT)/release/tollgate

audit: ## whether a dependency is known to be bad; asks github.com for the list
	$(CARGO) deny --all-features check advisories

demo: build ## the four scenarios of the NGINX AI-proxy demo
	examples/nginx-demo/run $(BUILT)/release/tollgate

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'
