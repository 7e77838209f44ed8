# Trackway's tasks: `make` lists them, `make ci` runs what CI runs.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

GO        ?= go
VERSION   ?= $(shell git describe --tags --dirty 2>/dev/null)
PKG       ?= ./...
BENCH     ?= .
BENCHTIME ?= 1s
COUNT     ?= 1
FUZZTIME  ?= 10s
ARGS      ?=

# tools/go.mod pins the tools, separate from what ships. The first use builds
# them; later ones take them from Go's cache.
TOOL := $(GO) tool -modfile=tools/go.mod

# go test, which CI lets repeat a failed test.
GOTEST := GO='$(GO)' ./tools/gotest

# The pages of the dashboard go into the binary. Without npm, or with a Node
# older than 20.19, they cannot be built: the server then says that they are
# missing. The tests of the SDK for browsers and Node need that Node, too.
NPM := $(shell node -e 'const [a, b] = process.versions.node.split("."); process.exit(a * 100 + +b < 2019 ? 1 : 0)' 2>/dev/null && command -v npm)

# The SDK for Python is tested with any Python from 3.9 on.
PYTHON := $(shell python3 -c "import sys; sys.exit(sys.version_info < (3, 9))" 2>/dev/null && command -v python3)

.PHONY: help
help: ## print this help
	@echo 'Usage: make TARGET [VARIABLE=VALUE]'
	@echo
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "  %-18s %s\n", $$1, $$2 }'

.PHONY: run
run: build ## build everything and start the server in this folder; ARGS="--listen …" are its flags
	./bin/trackway serve $(ARGS)

.PHONY: cluster
cluster: build ## run three servers of one cluster on this machine; PORT=8080 is the first of nine ports, PARTITIONS=1 how many stores share the projects
	@./tools/cluster

# The go tool asks git for the commit. It fails if git refuses, as it does in a
# clone that another user owns.
VCS = $(shell git rev-parse --verify --quiet HEAD >/dev/null 2>&1 && echo true || echo false)

.PHONY: build
build: $(if $(NPM),web,no-web) ## build bin/trackway; VERSION overrides the tag that git knows
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(VCS) -ldflags '-s -w -X main.version=$(VERSION)' -o bin/trackway ./cmd/trackway

.PHONY: web
web: web/dist/index.html ## build the dashboard's pages, if they have changed

web/dist/index.html: web/node_modules/.installed web/index.html web/vite.config.ts web/tsconfig.json $(shell find web/src -type f)
	cd web && npm run --silent build

web/node_modules/.installed: web/package-lock.json
	cd web && npm ci --silent --no-audit --no-fund
	@cp $< $@

.PHONY: no-web
no-web:
	@echo 'There is no npm with Node 20.19 or newer: the server gets the pages that were built before, if any.'

.PHONY: test-web
test-web: build ## test the dashboard's pages, in a browser too
	@./tools/install-packages chromium:chromium,fonts-dejavu-core
	cd web && ../tools/again npm run --silent test && ../tools/again npm run --silent test:browser

.PHONY: screenshots
screenshots: build ## write pictures of the dashboard's pages into web/screenshots
	@./tools/install-packages chromium:chromium,fonts-dejavu-core
	cd web && npm run --silent screenshots

# The prerequisites that are installed here. A test that misses one of them
# fails; a plain `go test` would skip it. CI adds `shared`, the data beside the
# repository. See internal/prereq.
TRACKWAY_REQUIRE ?= curl pebble $(if $(shell command -v node),node) $(if $(shell command -v python3),python) \
	$(if $(shell python3 -c "import sys; print(sys.version_info >= (3, 11) or str())" 2>/dev/null),fuzzer) \
	$(if $(shell command -v nginx),nginx) $(if $(shell command -v caddy),caddy) \
	$(if $(or $(wildcard tools/prometheus/promtool),$(shell command -v promtool)),prometheus)

# The tests of each kind of destination, and of a cluster. Here they run at
# their small size; `make test-destinations` and `make test-cluster` have the
# full one.
HEAVY := -e internal/destination/ -e internal/log/raft

# Packages with large tests of one goroutine, which take ten times as long with
# the race detector: models of the store, for which Pebble checks its invariants
# then, and counts of what decoding takes. They run with it at their small size,
# and without it at their full one.
TWICE := internal/\(store\|api\)$$

.PHONY: test
test: test-deps test-js $(if $(PYTHON),python,no-python) $(if $(NPM),test-web,no-web) ## install what the tests need and run them all, with the race detector
	TRACKWAY_REQUIRE='$(TRACKWAY_REQUIRE)' $(GOTEST) -race -timeout 40m -- $$($(GO) list $(PKG) | grep -v $(HEAVY) -e '$(TWICE)')
	@packages=$$($(GO) list $(PKG) | grep $(HEAVY) -e '$(TWICE)'); [ -z "$$packages" ] || $(GOTEST) -race -short -timeout 40m -- $$packages
	@packages=$$($(GO) list $(PKG) | grep -e '$(TWICE)'); [ -z "$$packages" ] || $(GOTEST) -timeout 40m -- $$packages

# A test that lacks something skips and says so (`-v` shows it). Slow tests do
# less: see internal/scale.
.PHONY: test-quick
test-quick: ## run the Go tests at a small size in less than two minutes; needs nothing but Go
	$(GO) test -short $(PKG)

.PHONY: e2e
e2e: test-deps ## run the end-to-end tests of the real binary only, each run anew
	TRACKWAY_REQUIRE='$(TRACKWAY_REQUIRE)' $(GO) test -race -count=1 -v ./internal/e2e

# The systems that destinations write into, and readers of their files, by the
# names of internal/prereq.
PARTNERS := postgres clickhouse kafka s3 duckdb standardwebhooks

# Some tests start databases and kill them, which takes half an hour. CI adds
# -short to DESTINATIONS. ROUNDS is how often the last test kills something: 100
# is the full size.
DESTINATIONS ?= -race
ROUNDS ?= 3

.PHONY: test-destinations
test-destinations: ## install what destinations write into, and test them with it
	@./tools/install-packages cc:gcc,libc6-dev
	@./tools/install-partners
	TRACKWAY_REQUIRE='$(PARTNERS)' $(GOTEST) $(DESTINATIONS) -parallel 6 -timeout 60m -- ./internal/destination/...
	TRACKWAY_REQUIRE='$(PARTNERS)' $(GOTEST) -race -timeout 60m -run '^(TestDestinations|TestMirror)$$' -- ./internal/e2e \
		-args -destination-rounds=$(ROUNDS)

# ROUNDS is how often the last test kills a server: 100 is the full size.
.PHONY: test-cluster
test-cluster: ROUNDS = 10
test-cluster: test-deps ## test several servers that keep the same data
	$(GO) test -race -count=1 -timeout 60m ./internal/log/raft/...
	$(GO) test -race -count=1 -timeout 60m -run '^TestCluster' ./internal/e2e -cluster-rounds=$(ROUNDS)
	$(GO) test -race -count=1 -timeout 60m ./internal/chaos -rounds=$(ROUNDS)

# Half of the time goes to three servers, a quarter to five, and a quarter to
# three behind a proxy. The program is built with a clock that can be wrong,
# which takes some minutes the first time.
DURATION ?= 1h
SEED     ?= 0

.PHONY: chaos
chaos: ## break a cluster in every way, for DURATION (1h); SEED repeats the faults of a run; needs root on Linux
	@./tools/install-packages mkfs.ext4:e2fsprogs mount:mount
	TRACKWAY_REQUIRE=namespaces $(GO) test -count=1 -v -timeout 0 ./internal/chaos -clocks -for=$(DURATION) -seed=$(SEED)

# ROUNDS is how often the last test kills servers and the broker: 50 is the full
# size.
.PHONY: test-kafka-log
test-kafka-log: ROUNDS = 2
test-kafka-log: ## test servers whose log is in Kafka, with a broker
	@./tools/install-kafka
	TRACKWAY_REQUIRE=kafka $(GOTEST) -count=1 -run '^TestLogReal$$' -- ./internal/log/kafka
	TRACKWAY_REQUIRE=kafka $(GOTEST) -count=1 -timeout 60m -run '^TestKafkaLog' -- ./internal/e2e -args -kafka-rounds=$(ROUNDS)

# The race detector needs a C compiler. The test of the commands that a first
# start prints needs curl. The clients that must obey the limits, and the fuzzer
# of the contract, come from their registries.
.PHONY: test-deps
test-deps:
	@./tools/install-packages cc:gcc,libc6-dev curl:curl
	@./tools/install-clients

# The products whose SDKs are tested, by the names of internal/prereq and of the
# directories of internal/e2e/testdata. browsers has the SDKs that run in pages,
# and one page has our own too.
PRODUCTS := segment posthog browsers

# Each SDK has to wait for some seconds after what the tests do to it.
.PHONY: test-clients
test-clients: $(if $(NPM),js) ## install the SDKs of other products, and test the server with them
	@./tools/install-packages chromium:chromium
	@./tools/install-clients $(PRODUCTS)
	TRACKWAY_REQUIRE='$(PRODUCTS)' $(GOTEST) -race -count=1 -timeout 30m -run 'TestSDKs' -- ./internal/e2e

.PHONY: js
js: js/node_modules/.installed ## build js/dist, the SDK for browsers and Node
	cd js && npm run --silent build

.PHONY: test-js
test-js: $(if $(NPM),test-sdk,no-sdk) ## test the SDK for browsers and Node, against the real server

.PHONY: test-sdk
test-sdk: js/node_modules/.installed
	@./tools/install-packages chromium:chromium
	cd js && ../tools/again npm test --silent

.PHONY: no-sdk
no-sdk:
	@echo 'There is no npm with Node 20.19 or newer: the SDK for browsers and Node is not tested.'

js/node_modules/.installed: js/package-lock.json
	@./tools/install-packages npm:npm
	cd js && npm ci --silent --no-audit --no-fund
	cp $< $@

# The tests install the wheel into an environment of their own. They only need
# Python and Go.
.PHONY: python
python: python/.venv/.installed ## build python/dist, the SDK for Python, and test it against the real server
	cp LICENSE python/LICENSE
	cd python && rm -rf build dist && .venv/bin/mypy --no-error-summary && \
		.venv/bin/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist . && \
		rm -rf build *.egg-info && \
		TRACKWAY_WHEEL=$$(ls dist/*.whl) ../tools/again .venv/bin/python -W error -W default::DeprecationWarning -m unittest discover -s tests -t .

.PHONY: no-python
no-python:
	@echo 'There is no Python 3.9 or newer: the SDK for Python is not tested.'

python/.venv/.installed: python/requirements-dev.txt
	@python3 -c 'import ensurepip, venv' 2>/dev/null || ./tools/install-packages python3-venv:python3-venv
	python3 -m venv --clear python/.venv
	python/.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	cp $< $@

.PHONY: lint
lint: ## check style, layers, wording and likely bugs, and that go.mod is tidy
	$(GO) test -count=1 ./internal/wording
	$(TOOL) golangci-lint run ./...
	$(GO) mod tidy -diff

# The programs that build and test releases are modules of their own, whose
# libraries are large.
.PHONY: lint-tools
lint-tools: ## check the style of tools/release and tools/helm
	cd tools/release && $(GO) tool -modfile=../go.mod golangci-lint run ./...
	cd tools/helm && $(GO) tool -modfile=../go.mod golangci-lint run ./...

.PHONY: ci
ci: lint build test ## what CI runs: lint, build, test

.PHONY: bench
bench: ## run the benchmarks: BENCH (a pattern), PKG, BENCHTIME, COUNT (10 for benchstat)
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -count $(COUNT) $(PKG)

.PHONY: benchstat
benchstat: ## compare two outputs of bench: OLD=a.txt NEW=b.txt
	$(TOOL) benchstat $(OLD) $(NEW)

.PHONY: fuzz
fuzz: ## run each fuzz target for FUZZTIME
	@grep -rno --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed 's|^\(.*\)/[^/]*:[0-9]*:func |\1 |' | \
	{ found=0; while read -r dir name; do \
		echo "fuzz $$dir $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null || found=1; \
	done; exit $$found; }

.PHONY: fmt
fmt: ## format the source
	$(TOOL) golangci-lint fmt

.PHONY: tidy
tidy: ## tidy go.mod and tools/go.mod
	$(GO) mod tidy
	cd tools && $(GO) mod tidy
	cd tools/release && $(GO) mod tidy
	cd tools/helm && $(GO) mod tidy

# Releases: see docs/releasing.md. ONLY=linux_amd64 builds for one platform.
.PHONY: release
release: web ## build a release into dist, the same bytes every time: VERSION=v1.2.3
	cd tools/release && $(GO) run . -root ../.. -version '$(VERSION)' $(if $(ONLY),-only $(ONLY))

# Two clones in different folders give the same bytes. Then the packages, the
# image and the chart are installed. ONLY shortens it.
.PHONY: test-release
test-release: lint-tools test-monitoring test-chart ## build a release twice, compare the bytes, and install it: VERSION=v1.2.3
	@./tools/install-packages debootstrap:debootstrap systemd-nspawn:systemd-container rpm:rpm systemd-analyze:systemd
	./packaging/test-reproducible '$(VERSION)' $(ONLY)
	TRACKWAY_REQUIRE=release $(GO) test -count=1 -timeout 40m -v -run '^TestRelease' ./internal/e2e
	cd tools/release && $(GO) run . -root ../.. -out bin/older -version v0.0.1 -only linux_$(shell $(GO) env GOARCH)
	./packaging/test-debian bin/older/*_$(shell $(GO) env GOARCH).deb dist/*_$(shell $(GO) env GOARCH).deb

# The alerts and the dashboard, with Prometheus.
.PHONY: test-monitoring
test-monitoring: ## test the alerts and every query of the dashboard
	@./tools/install-prometheus
	TRACKWAY_REQUIRE=prometheus $(GO) test -count=1 -timeout 20m -run '^(TestMonitoring|TestAlerts|TestPanels)$$' ./internal/e2e

# Helm's code is large, so building it takes some minutes once.
.PHONY: test-chart
test-chart: ## lint the Helm chart, render it, and check the result; UPDATE=1 writes the plain manifests
	cd tools/helm && $(GO) test -count=1 . $(if $(UPDATE),-update)
