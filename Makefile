# `make` lists the targets. Everything needs Go, make and git only, but for race, which needs a C compiler.

VERSION      = $(shell git describe --tags --dirty 2>/dev/null || echo dev)
COMMIT       = $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
STATICCHECK  = honnef.co/go/tools/cmd/staticcheck@v0.8.2
GOVULNCHECK  = golang.org/x/vuln/cmd/govulncheck@v1.9.0
NATSCLI      = github.com/nats-io/natscli/nats@v0.3.0
DEMO_FLAGS  ?=
BUILDFLAGS  ?=
FUZZTIME    ?= 50000x
BENCH       ?= .
ROUNDS      ?= 3
BENCHFLAGS  ?=

# Most tests of processes wait most of the time: so many run at once, fewer with the race
# detector.
BESIDE       = -parallel 6
RACEBESIDE   = -parallel 4

# In this order: those of processes come last.
PACKAGES     = ./internal/... ./...

# Of the tests of processes, those that are run with the race detector: each start of a
# process takes it a second of a core.
RACED        = TestRollingRestart|TestKill9|TestStepDown|TestStopTogether|TestOutage

SEEDS       ?= 1000
FROM        ?= 1

# The time that the files of a release get: that of the commit.
EPOCH        = $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
PLATFORMS   ?= linux/amd64 linux/arm64 darwin/amd64 darwin/arm64

SOAK        ?= 30m
OUTAGE      ?= 10m

.PHONY: help build release demo check test race unraced lint verify vuln fuzz bench microbench simulate mutants soak nats readme screenshot recording rules clean

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1	/p' Makefile | expand -t 12

build: ## Build ./zoomstream
	CGO_ENABLED=0 go build $(BUILDFLAGS) -trimpath -buildvcs=false \
		-ldflags '-X main.version=$(VERSION) -X main.commit=$(COMMIT)' -o zoomstream ./cmd/zoomstream

release: ## Make dist/release: for each platform (PLATFORMS) an archive with the licences and an SBOM; checksums
	rm -rf dist/release
	go run ./internal/tools/release -version $(VERSION) -commit $(COMMIT) -time $(EPOCH) $(PLATFORMS)

# With an empty cache there are some 400 packages to compile: it says which.
demo: BUILDFLAGS = -v
demo: build ## Show it at work without a Zoom account or NATS (DEMO_FLAGS='--rate 10 --duration 1m')
	./zoomstream demo $(DEMO_FLAGS)

check: lint ## Lint, and run the tests that take less than a minute
	go test $$(go list ./... | grep -vE '/(cmd|internal/(app|bench|outbox|simulation|tools|watch/page))(/|$$)')
	go test ./internal/simulation -run TestSimulation -seeds 5

test: ## Run all tests
	go test $(BESIDE) $(PACKAGES)

race: ## Run the tests with the race detector, few of those of processes
	go test -race $(RACEBESIDE) $$(go list $(PACKAGES) | grep -v /cmd/)
	go test -race -short -run '^($(RACED))$$' ./cmd/zoomstream

# Of the simulation it runs more than race does, which takes four times as long for it.
unraced: ## Run the tests that race leaves out
	@list() { go list $$1 -f '{{range .TestGoFiles}}{{$$.Dir}}/{{.}}{{"\n"}}{{end}}{{range .XTestGoFiles}}{{$$.Dir}}/{{.}}{{"\n"}}{{end}}' ./... | sort; }; \
	with=$$(mktemp) && list -race >$$with && files="$$(list | comm -23 - $$with) $$(ls $$PWD/cmd/zoomstream/*_test.go)" && rm $$with && \
	names=$$(sed -n 's/^func \(Test[A-Za-z0-9_]*\)(.*/\1/p' $$files | grep -vxE '$(RACED)' | paste -sd'|') && \
	go test $(BESIDE) -run "^($$names|TestSimulation)$$" $$(dirname $$files | sort -u) ./internal/simulation

lint: ## Check format, vet, staticcheck and go.mod
	@files=$$(gofmt -l .) && if [ -n "$$files" ]; then echo "not formatted (gofmt -w):" $$files; exit 1; fi
	go vet ./...
	go run $(STATICCHECK) ./...
	go mod tidy -diff

verify: ## Compare the modules with go.sum, and the licences of what is linked with those allowed
	go mod verify
	go run ./internal/tools/release -check $(PLATFORMS)

# Without its database there is nothing to look up; CI behind a proxy goes on.
vuln: ## Look for known vulnerabilities (govulncheck), if their database can be reached
	@if ! curl -sSf -m 10 -o /dev/null https://vuln.go.dev/index/db.json; then \
		echo "The database of vulnerabilities cannot be reached: govulncheck is not run."; exit 0; fi; \
	bound=$$(command -v timeout) && bound="$$bound 300"; \
	$$bound go run $(GOVULNCHECK) ./... || { [ $$? = 124 ] && echo "govulncheck was not done within 300 s: no result."; }

# A number of runs rather than a time: when a time is over, go test before 1.27 may report
# "context deadline exceeded" as a failure (https://go.dev/issue/75804).
fuzz: ## Fuzz each fuzz target FUZZTIME (50000x) times
	@list=$$(go test -list '^Fuzz' ./...) || { echo "$$list"; exit 1; }; \
	targets=; echo "$$list" | while read -r word package rest; do \
		case $$word in \
		Fuzz*) targets="$$targets $$word" ;; \
		ok) for target in $$targets; do \
			echo "$$target in $$package"; \
			go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$package" </dev/null || exit 1; \
		    done; targets= ;; \
		esac; \
	done

# On a quiet machine. docs/performance.md says how to make its figures the committed ones.
bench: build ## Measure the path of an event beside a bare publisher, ROUNDS (3) times: a table, and dist/bench.json
	@mkdir -p dist
	go run ./internal/bench -rounds $(ROUNDS) -out dist/bench.json $(BENCHFLAGS)

microbench: ## Run the benchmarks of single packages (BENCH=pattern)
	go test -run '^$$' -bench '$(BENCH)' -benchmem ./...

simulate: ## Run the simulation for SEEDS seeds (1000) from FROM (1) on
	go test ./internal/simulation -run TestSimulation -timeout 0 -seeds $(SEEDS) -from $(FROM)

mutants: ## Make each deliberate mistake and see that a test finds it
	go test ./internal/simulation -run TestMutants -mutants -v -timeout 0

soak: ## Run the long tests: torn spools, every fault of the disk, a day on fake time, NATS away for OUTAGE (10m), faults for SOAK (30m)
	go test ./internal/outbox/spool -run TestTornTail -v -torn-step 1
	go test ./internal/outbox -run TestDiskFault -timeout 0 -v -all-faults
	go test ./internal/simulation -run TestDay -timeout 0 -v -day 24h
	go test ./cmd/zoomstream -run 'TestOutage$$' -timeout 0 -v -outage $(OUTAGE)
	go test ./cmd/zoomstream -run TestSoak -timeout 0 -v -soak $(SOAK)

nats: dist/nats ## Build the nats command line tool, for watching, as dist/nats

# A module of its own: the tool's dependencies are none of ours.
dist/nats:
	rm -rf dist/natscli && mkdir -p dist/natscli
	cd dist/natscli && go mod init natscli && go get -tool $(NATSCLI) && go build -o ../nats $(firstword $(subst @, ,$(NATSCLI)))

readme: ## Write the tables of settings, metrics, alarms and messages, the alarms' rules, the runbook's contents and the schemas
	go test ./cmd/zoomstream ./message/schema -run TestGenerated -update-docs

screenshot: ## Make docs/status-page.png, the README's picture (needs Chromium)
	go test ./internal/watch/page -run TestScreenshot -screenshot $(CURDIR)/docs/status-page.png

recording: ## Make docs/demo.svg, the README's recording of the demo (needs Linux)
	go test ./cmd/zoomstream -run 'TestRecording$$' -v -recording $(CURDIR)/docs/demo.svg

rules: ## Check the alert rules (needs Prometheus' promtool)
	promtool check rules deploy/prometheus/alerts.yaml
	promtool test rules deploy/prometheus/alerts_test.yaml

clean: ## Remove what make has built
	rm -rf zoomstream dist
