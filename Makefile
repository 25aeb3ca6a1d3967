# failwhale. `make` alone lists the targets. Only Go is needed; each target installs what else it uses.
SHELL    := /bin/bash
LINT     := .bin/golangci-lint
LINT_VER := $(shell sed -n '1s/^\# //p' .golangci.yml)
# The race detector needs a C compiler; tests run without it where there is none.
RACE     := $(shell command -v $$(go env CC) >/dev/null 2>&1 && echo -race)

.PHONY: help build demo test lint fuzz bench clean

## help: lists the targets
help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## build: builds ./failwhale
build:
	go build -trimpath -o failwhale ./cmd/failwhale

## demo: loses a region of the embedded stack, flawed then hardened; exits 0 if the first is refuted and the second holds
DRILL := 2024-12-26-region-lost
demo: build
	@echo 'A region dies under load, and the session store with it. First on a stack with the weaknesses that made outages:'
	./failwhale run --resilience flawed $(DRILL); test $$? -eq 1
	@echo; echo 'The same on a hardened stack:'
	./failwhale run --resilience hardened $(DRILL)
	@echo; echo 'Refuted, then held: as it should be. The runs are in ./runs; judge one again with ./failwhale report RUN.'

## test: runs every test, with the race detector where there is a C compiler
test:
	@test -n "$(RACE)" || echo "no C compiler ($$(go env CC)): testing without the race detector"
	go test $(RACE) -shuffle=on -timeout 20m ./...

## lint: runs the linters of .golangci.yml at their pinned version, and checks go.mod
lint: $(LINT)
	@$(LINT) version --short | grep -qx '$(LINT_VER:v%=%)' || { rm $(LINT); $(MAKE) $(LINT); }
	$(LINT) run ./...
	go mod tidy -diff

$(LINT):
	GOBIN=$(CURDIR)/.bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VER)

## fuzz: fuzzes each fuzz test for FUZZTIME (default 30s)
FUZZTIME ?= 30s
fuzz:
	@go list ./... | while read -r p; do \
	  go test -list '^Fuzz' $$p | grep '^Fuzz' | while read -r f; do \
	    echo "$$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) $$p || exit 1; done || exit 1; done

## bench: runs the benchmarks that compare two things in one run
bench:
	go test -run '^$$' -bench . -benchtime 1x ./...

## clean: removes what make built, and the runs
clean:
	rm -rf failwhale .bin runs
