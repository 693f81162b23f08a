# What a person working on Signet types. Everything else is in scripts/.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT   ?= $(shell git rev-parse HEAD 2>/dev/null || echo unknown)
LDFLAGS  := -s -w -X main.version=$(VERSION) -X main.commit=$(COMMIT)
PROFILE  := cmd/signet/load.pgo
BUILD     = CGO_ENABLED=0 GOTOOLCHAIN=local $(GO) build -trimpath -pgo=$(PROFILE) -ldflags '$(LDFLAGS)'

.PHONY: demo build test test-fast fuzz bench lint screenshots help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

build: ## bin/signet, one static file
	$(BUILD) -o bin/signet ./cmd/signet

demo: PROFILE := off
demo: build ## everything on this machine, nothing to configure
	./bin/signet demo

test: ## the whole suite: both databases, real browser, race detector
	scripts/test

test-fast: ## SQLite only, no browser, under two minutes
	scripts/test-fast

fuzz: ## each fuzz target for FUZZTIME, 1s
	scripts/fuzz $(FUZZTIME)

bench: ## measure against the ceilings; raw output goes to build/bench
	scripts/bench

lint: ## vet, staticcheck, gofmt, tidy
	scripts/lint

screenshots: build ## pictures of every page, light, dark and phone width, into build/screenshots
	scripts/screenshots
