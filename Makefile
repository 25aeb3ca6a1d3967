# failwhale. `make` alone lists the targets. Only Go is needed; each target installs what else it uses.
SHELL    := /bin/bash
LINT     := .bin/golangci-lint
LINT_VER := $(shell sed -n '1s/^\# //p' .golangci.yml)
# The race detector needs a C compiler; tests run without it where there is none.
RACE     := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)
FUZZTIME ?= 30s
.PHONY: help build demo drills test lint fuzz bench
## help: lists the targets
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)
## build: builds ./failwhale
build:
	go build -trimpath -o failwhale ./cmd/failwhale
## demo: loses a region of the embedded stack, flawed then hardened; exits 0 if it is refuted, then held
demo: build
	@echo 'A region dies under load, and the session store with it. First on a stack with the weaknesses that made outages:'
	./failwhale run --resilience flawed 2024-12-26-region-lost; test $$? -eq 1
	@echo; echo 'The same on a hardened stack:'
	./failwhale run --resilience hardened 2024-12-26-region-lost
	@echo; echo 'Refuted, then held: as it should be. The runs are in ./runs; judge one again with ./failwhale report RUN.'
## drills: runs every drill both ways; exits 0 if each is refuted when flawed and holds when hardened
drills: build
	@for d in $$(./failwhale drills --json | sed -n 's/.*"name": "\(.*\)".*/\1/p'); do for want in flawed=1 hardened=0; do \
	  ./failwhale run --resilience $${want%=*} $$d; test $$? -eq $${want#*=} || { echo "$$d: want $$want" >&2; exit 1; }; done; done
## test: runs every test, with the race detector where there is a C compiler
test:
	@test -n "$(RACE)" || echo "no C compiler ($$(go env CC)): testing without the race detector"
	GORACE=atexit_sleep_ms=0 go test $(RACE) -shuffle=on -timeout 20m ./...
## lint: runs the linters of .golangci.yml at their pinned version, and checks go.mod
lint: $(LINT)
	@$(LINT) version --short | grep -qx '$(LINT_VER:v%=%)' || { rm $(LINT); $(MAKE) $(LINT); }
	$(LINT) run ./...
	go mod tidy -diff
$(LINT):
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)
## fuzz: fuzzes each fuzz test for FUZZTIME (default 30s)
fuzz:
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p | grep '^Fuzz'); do \
	  echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; done; done
## bench: runs the benchmarks that compare two things in one run
bench:
	go test -run '^$$' -bench . -benchtime 1x ./...
