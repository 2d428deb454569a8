# The commands of README.md and CONTRIBUTING.md. `make help` lists them.

CARGO ?= cargo
DATA ?= data
SECONDS ?= 60
SEEDS ?= 10000
KILLS ?= 200
CUTS ?= 50
NIGHTLY ?= nightly
FUZZ_TARGETS = $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))

# With what OpenSSL's build needs, the Kafka client is looked at, too.
KAFKA = $(shell perl -MFindBin -MIPC::Cmd -e 1 2>/dev/null && echo --features lynk-server/kafka)

.PHONY: help run test lint docs instructions loom miri sanitize fuzz simulate ledgers bench

help: ## this list
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 16

run: ## build in release mode and serve from ./$(DATA) on loopback
	$(CARGO) run --release --bin lynk -- serve --data $(DATA)

test: ## everything CI runs, except lint
	scripts/test

lint: ## format, clippy with warnings as errors, licences and sources
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked $(KAFKA) -- -D warnings
	scripts/deny

docs: ## rewrite the generated tables of the documentation
	LYNK_UPDATE_DOCS=1 $(CARGO) test -q -p lynk-protocol -p lynk-telemetry -p lynk-server --test documentation
	LYNK_UPDATE_DOCS=1 $(CARGO) test -q -p lynk-postgres --test postgres documentation
	LYNK_UPDATE_DOCS=1 $(CARGO) test -q -p lynk-kafka --test documentation
	LYNK_UPDATE_DOCS=1 $(CARGO) test -q -p lynk-redis --test redis documentation
	LYNK_UPDATE_DOCS=1 $(CARGO) test -q -p lynk-server --test live the_page_shows_the_table

instructions: ## instructions per message by callgrind, compared with the kept baseline
	scripts/instructions

loom: ## model-check the mailbox
	RUSTFLAGS="--cfg loom" $(CARGO) test --release -p lynk-mailbox --target-dir target-loom

# Miri cannot run io_uring: of the ring, what holds the kernel's buffers and files, without the kernel.
miri: ## the mailbox, and what the ring holds for the kernel, under Miri
	$(CARGO) +$(NIGHTLY) miri test -p lynk-mailbox
	MIRIFLAGS=-Zmiri-disable-isolation $(CARGO) +$(NIGHTLY) miri test -p lynk-ring --lib -- accept:: files:: hold:: token:: writes::

# The standard library is built too (-Zbuild-std): without it the thread sanitizer does not see its synchronisation.
SANITIZED = --target x86_64-unknown-linux-gnu -Zbuild-std -p lynk-ring -p lynk-mailbox -p lynk-reactor --lib --tests

sanitize: ## ring, mailbox and reactor under the address and the thread sanitizer
	for sanitizer in address thread; do \
		RUSTFLAGS="-Zsanitizer=$$sanitizer" $(CARGO) +$(NIGHTLY) test $(SANITIZED) \
			--target-dir target-$$sanitizer || exit 1; \
	done

fuzz: ## every fuzz target for SECONDS each
	for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus-grown/$$target; \
		$(CARGO) +$(NIGHTLY) fuzz run $$target fuzz/corpus-grown/$$target fuzz/seeds/$$target -- -max_total_time=$(SECONDS) || exit 1; \
	done

simulate: ## SEEDS simulator seeds over all scenarios
	$(CARGO) run --release --bin lynk-simulate -- --count $(SEEDS)

ledgers: ## KILLS process kills and CUTS power cuts against the real server
	KILLS=$(KILLS) CUTS=$(CUTS) scripts/ledgers
