# standpipe. `make help` lists what can be made.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO       ?= go
TOOL     := $(GO) tool -modfile=tools/go.mod
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
SEEDS    ?= 200
FUZZTIME ?= 60s
MINUTES  ?= 10
MBPS     ?= 20
# The tests that start the real binary and third-party servers, which take minutes.
# Some measure how long a shard pauses or lines take: one package at a time.
E2E       = -p 1 ./test/e2e ./test/e2e/sdk
# All other packages.
PACKAGES  = $$($(GO) list ./... | grep -Ev '/test/e2e(/sdk)?$$')

# Tests that cannot run here say so in this file (see test/e2e/need); it is
# printed after the tests, because go test hides what passing packages print.
SKIPS := $(CURDIR)/bin/skips.txt
export STANDPIPE_SKIPS := $(SKIPS)
define with_skips
@mkdir -p bin && rm -f $(SKIPS)
@$(1); status=$$?; if [ -s $(SKIPS) ]; then sort -u $(SKIPS); fi; exit $$status
endef

.PHONY: build test unit race lint vet sim fuzz bench bench-process e2e chaos golden verify image clean help

build: ## Build bin/standpipe: static, reproducible, with its version.
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/standpipe ./cmd/standpipe

test: ## Run all tests, those with third-party servers too. About half an hour.
	$(call with_skips,set +e; $(GO) test $(PACKAGES); unit=$$?; $(GO) test -timeout 60m $(E2E) && (exit $$unit))

unit: ## Run the tests of all packages but the end-to-end ones. About a minute.
	$(call with_skips,set +e; $(GO) test $(PACKAGES))

race: ## Run the unit tests under the race detector.
	$(call with_skips,set +e; $(GO) test -race -timeout 30m $(PACKAGES))

lint: vet ## Run go vet, staticcheck and gofumpt, in the versions of tools/go.mod.
	$(TOOL) staticcheck ./...
	@unformatted=$$($(TOOL) gofumpt -l .); if [ -n "$$unformatted" ]; then echo "not formatted, run $(TOOL) gofumpt -w:"; echo "$$unformatted"; exit 1; fi

vet: ## Run go vet alone.
	$(GO) vet ./...
	$(GO) vet -tags nolocal ./cmd/standpipe # what the image holds

sim: ## Simulate the exactly-once protocol with faults: make sim SEEDS=10000
	$(GO) test ./delivery -run TestSimulation -count=1 -timeout 60m -seeds=$(SEEDS)

fuzz: ## Run each fuzz target in turn: make fuzz FUZZTIME=60s
	@grep -rEo --include='*_test.go' --exclude-dir=testdata --exclude-dir=node_modules '^func Fuzz[A-Za-z0-9_]+' . | sort | \
	while IFS=: read -r file target; do \
		echo "== $$(dirname $$file) $${target#func }"; \
		$(GO) test "$$(dirname $$file)" -run '^$$' -fuzz "^$${target#func }$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x; \
	done

bench: ## Run every benchmark, with allocations.
	$(GO) test -run '^$$' -bench . -benchmem $(PACKAGES)

bench-process: ## Measure the whole process over TLS against a stub, beside a plain program.
	$(GO) run ./test/bench

e2e: ## Run the end-to-end tests alone. Needs Node, Python and a JDK with Maven.
	$(call with_skips,set +e; $(GO) test -count=1 -timeout 60m $(E2E))

chaos: ## Torment a fleet of real processes, longer than e2e does: make chaos MINUTES=30 MBPS=20
	$(call with_skips,set +e; STANDPIPE_CHAOS_MINUTES=$(MINUTES) STANDPIPE_CHAOS_MBPS=$(MBPS) $(GO) test -v -count=1 -timeout 0 -run '^TestChaos' ./test/e2e)

golden: ## Rewrite the golden files of every package that has some.
	@for dir in $$(grep -rl --include='*_test.go' --exclude-dir=testdata 'flag.Bool("update"' . | xargs -r -n1 dirname | sort -u); do \
		$(GO) test "$$dir" -count=1 -update; \
	done

verify: golden lint ## Check that golden files, formatting and modules are as committed.
	$(GO) mod verify
	git diff --exit-code

image: ## Build the container image standpipe:VERSION.
	docker build --build-arg VERSION=$(VERSION) -t standpipe:$(VERSION) .

clean: ## Remove what was built, and Go's test cache.
	rm -rf bin
	$(GO) clean -testcache

help: ## Show this list.
	@awk -F ':.*## ' '/^[a-z0-9]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
