# `make help` lists the targets.

# Every tool that is not in a go.mod is pinned here and nowhere else.
GOLANGCI_LINT_VERSION := v2.15.0

# What a run can be told on the command line: make demo KILLS=5 WORKERS=2
KILLS   ?= 0
WORKERS ?= 1
BROKERS ?=
STORE   ?=
SEED    ?=
CHECKS  ?= 10000
BUDGET  ?= 200
HUNTS   ?= 5
MUTANTS ?=
SEEDS   ?=
JOBS    ?=
FOR     ?= 10m
# Tests that make integration leaves out, as a regular expression.
SKIP    ?=
# The images that make integration starts where no servers or jars are named.
WEIR_KAFKA_IMAGE     ?= apache/kafka:4.3.1
WEIR_AEROSPIKE_IMAGE ?= aerospike/aerospike-server
# The file that make bench-stores writes its table into.
WRITE   ?=
# With COUNTS=file test targets print less and append what ran to the file.
COUNTS  ?=

SHELL := bash
.SHELLFLAGS := -o pipefail -ec
.DEFAULT_GOAL := help

GO   ?= go
BIN  := $(CURDIR)/bin
LINT := $(BIN)/golangci-lint-$(GOLANGCI_LINT_VERSION)

REGRESSIONS := $(wildcard sim/testdata/regressions/*.json)

# Modules that need what this machine may not have are left out, and .ci/run
# says so.
HAVE_ROCKSDB := $(shell $${CC:-cc} -E -include rocksdb/c.h -x c /dev/null >/dev/null 2>&1 && echo yes)
absent = $(if $(HAVE_ROCKSDB),,%/stores/rocksdb)
# The modules of go.work, as directories.
modules = $(filter-out $(absent),$(shell $(GO) list -m -f '{{.Dir}}'))
# all_of turns directories into patterns for their packages; those that do not
# exist are left out.
all_of = $(foreach d,$(wildcard $(1)),./$(d)/...)
# flag gives --name value when the value is set.
flag = $(if $(2),--$(1) $(2))
# gotest runs tests with the race detector: $(call gotest,arguments).
gotest = $(GO) test -race $(if $(COUNTS),-json) $(1) $(if $(COUNTS),| $(GO) run ./tools/testcount -to $(COUNTS))
# plaintest is gotest without the race detector.
plaintest = $(GO) test $(if $(COUNTS),-json) $(1) $(if $(COUNTS),| $(GO) run ./tools/testcount -to $(COUNTS))
# seeds runs a test of the simulated cluster: $(call seeds,package,test,flags).
seeds = $(BIN)/weir sim run $(1) --run '^$(2)$$' --quiet --check 10 $(call flag,jobs,$(JOBS)) $(3)$(if $(COUNTS), && echo "count 1 0 0" >>$(COUNTS))
hunted = nice $(BIN)/weir sim zoo $(1) --budget $(BUDGET) $(call flag,jobs,$(JOBS)) $(call flag,seed,$(SEED)) $(MUTANTS)
# told_for is FOR where somebody has set it.
told_for = $(if $(filter command environment,$(firstword $(origin FOR))),$(FOR))
# need stops with a message when there are no packages to test.
need = $(if $(strip $(1)),,$(error no packages for this target))

.PHONY: help demo test sim nightly zoo conformance integration chaos bench bench-stores bench-sim lint generate fmt ci

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The flights example with the store that STORE names.
FLIGHTS = ./examples/flights$(if $(filter rocksdb aerospike,$(STORE)),-stores)

demo: ## run the flights example against a development broker and verify it (KILLS, WORKERS, BROKERS, STORE, SEED)
	$(if $(HAVE_ROCKSDB),,$(if $(filter rocksdb,$(STORE)),$(error STORE=rocksdb needs the headers of RocksDB, rocksdb/c.h: install them (Debian: apt-get install librocksdb-dev))))
	$(GO) run $(if $(filter rocksdb,$(STORE)),-tags rocksdb) $(FLIGHTS) demo --kills $(KILLS) --workers $(WORKERS) $(call flag,brokers,$(BROKERS)) $(call flag,store,$(STORE)) $(call flag,seed,$(SEED))

test: ## test all modules with the race detector
	$(call gotest,$(addsuffix /...,$(modules)))
	@$(if $(absent),echo "not run here: stores/rocksdb (RocksDB headers are missing; Debian: apt-get install librocksdb-dev)")

sim: ## simulate: property tests (CHECKS), runs that once failed, fresh seeds of the cluster, each tenth twice (SEEDS or FOR, SEED, JOBS)
	$(call need,$(wildcard sim))
	$(call gotest,-count=1 -timeout 30m ./sim -rapid.checks=$(CHECKS) $(if $(SEED),-rapid.seed=$(SEED)))
	$(call plaintest,-count=1 -timeout 30m ./tools/weir -run TestSimulatedExample)
	@$(GO) build -o $(BIN)/weir ./tools/weir
	$(call seeds,./sim/cluster/hunt,TestRegression,--seed 1 --seeds $(words $(REGRESSIONS) $(REGRESSIONS) $(REGRESSIONS)))
	$(call seeds,./examples/flights/app,TestCluster,$(call flag,seed,$(SEED)) --seeds 20)
	$(call seeds,./sim/cluster/hunt,TestSeed,$(call flag,seed,$(SEED)) $(if $(told_for),--for $(told_for) --seeds $(or $(SEEDS),1000000),--seeds $(or $(SEEDS),200)))

# Each night has seeds of its own, which its date gives.
nightly: ## simulate 1,000 fresh runs of a virtual minute, for two hours at most, and hunt the known bugs once (SEEDS, FOR, SEED, JOBS)
	@$(GO) build -o $(BIN)/weir ./tools/weir
	$(call seeds,./sim/cluster/hunt,TestSeed,--seed $(or $(SEED),$(shell date -u +%Y%m%d)0000) --seeds $(or $(SEEDS),1000) --for $(or $(told_for),2h))
	@$(call hunted,--hunts 1)

zoo: ## hunt known bugs in the simulator (MUTANTS: all, HUNTS for each, BUDGET of seeds for a hunt, SEED)
	@$(GO) build -o $(BIN)/weir ./tools/weir
	@$(call hunted,--control --hunts $(HUNTS))

# All stores, those that are modules of their own too.
stores = $(call all_of,stores) $(addsuffix /...,$(filter $(CURDIR)/stores/%,$(modules)))

# listed runs commands one after the other and lists what was not run, also when
# one fails. Who sets COUNTS gets the list with everything else.
listed = @status=0; for c in $(1); do echo "$$c"; eval "$$c" || status=1; done; $(if $(filter command environment,$(firstword $(origin COUNTS))),, \
	! grep -q '^skip ' $(COUNTS) || { echo "not run here:"; sed -n 's/^skip /  /p' $(COUNTS) | sort -u; }; \
	$(if $(HAVE_ROCKSDB),,echo "not run here: RocksDB: install its headers (Debian: librocksdb-dev)";)) exit $$status

conformance: COUNTS := $(or $(COUNTS),$(shell mktemp))
conformance: ## run the conformance suites against every store and transport and list what was not run
	$(call listed,"$(call gotest,$(call all_of,conformance transports) $(stores))" \
		"$(call plaintest,-count=1 -timeout 30m -run 'Conformance/store/(bulk|load)/(restore|large)' $(stores))")

integration: COUNTS := $(or $(COUNTS),$(shell mktemp))
integration: ## run the tests that need real servers and list those not run (BROKERS, or containers, or WEIR_KAFKA_JARS=1; see docs/integration.md)
	$(call listed,"WEIR_KAFKA_IMAGE='$(WEIR_KAFKA_IMAGE)' WEIR_AEROSPIKE_IMAGE='$(WEIR_AEROSPIKE_IMAGE)' WEIR_KAFKA_BROKERS='$(or $(BROKERS),$(WEIR_KAFKA_BROKERS))' $(call gotest,-count=1 -timeout 30m $(if $(HAVE_ROCKSDB),-tags rocksdb) $(if $(SKIP),-skip '$(SKIP)') ./integration/...)")

chaos: ## hurt three brokers and the workers of the torture application (FOR, SEED; from jars, or with WEIR_KAFKA_JARS= in containers)
	@$(GO) build -o $(BIN)/chaos ./integration/cmd/chaos
	@WEIR_KAFKA_JARS=$${WEIR_KAFKA_JARS-1} WEIR_KAFKA_IMAGE='$(WEIR_KAFKA_IMAGE)' $(BIN)/chaos --for $(FOR) $(call flag,seed,$(SEED))

bench: ## compare weir with a raw consumer (BROKERS, STORE)
	$(GO) run ./tools/bench $(call flag,brokers,$(BROKERS)) $(call flag,store,$(STORE))

# The stores that can be measured here.
MEASURED = memory,pebble,$(if $(HAVE_ROCKSDB),rocksdb$(comma))aerospike
comma := ,

bench-stores: ## what each store can do and costs, with its suites (STORE, ENTRIES; WRITE=docs/stores.md puts the table there)
	$(GO) run $(if $(HAVE_ROCKSDB),-tags rocksdb) ./tools/benchstores --store $(or $(STORE),$(MEASURED)) $(call flag,entries,$(ENTRIES)) $(call flag,write,$(WRITE))
	@$(if $(HAVE_ROCKSDB),,echo "not measured: rocksdb: install its headers (Debian: librocksdb-dev)")

# The loads are records in a virtual minute. One is a cluster that waits.
bench-sim: ## how fast the simulator is, by load, without faults and with them (SEEDS for each, SEED)
	@$(GO) build -o $(BIN)/weir ./tools/weir
	@for load in 1 100 300; do for test in TestCalm TestExactlyOnce; do \
		out=$$($(BIN)/weir sim run ./sim/cluster/torture --run "^$$test\$$" --quiet --jobs 1 --shrink 0 --env WEIR_SIM_RECORDS=$$load --seed $(or $(SEED),1) --seeds $(or $(SEEDS),20)) || { echo "$$out"; exit 1; }; \
		printf '%-15s %3d records a minute: %s\n' $$test $$load "$$(echo "$$out" | grep 'one core')"; \
	done; done

lint: $(LINT) ## check style, imports between packages and common mistakes
	@out=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); test -z "$$out" || { echo "not formatted, run make fmt:"; echo "$$out"; exit 1; }
	@out=$$(grep -rnE '^[[:space:]]*go (func\b|[A-Za-z_.]+\()' --include='*.go' core || true); test -z "$$out" || { echo "core starts no goroutines; that is for the drivers:"; echo "$$out"; exit 1; }
	@for m in $(modules); do echo "lint $$m"; (cd $$m && $(GO) vet ./... && $(LINT) run --allow-parallel-runners -c $(CURDIR)/.golangci.yml ./...); done

generate: ## regenerate what is generated, golden files included
	$(GO) generate $(addsuffix /...,$(modules))

fmt: ## format the code
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

ci: ## everything that has to pass, as the project's servers run it
	.ci/run

$(LINT):
	@mkdir -p $(BIN)
	GOBIN=$(BIN) GOFLAGS= $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION)
	mv $(BIN)/golangci-lint $(LINT)
