# Podlan's build. `make help` lists the targets.
#
# Works under sudo too, which drops PATH and sometimes HOME: Go is looked for
# where its own installer puts it, and the caches follow the user's home.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-builtin-rules

PROGRAMS := podlan-bridge podlan-dhcp podland podlan
MAIN_podlan-bridge := ./plugins/main/podlan-bridge
MAIN_podlan-dhcp := ./plugins/ipam/podlan-dhcp
MAIN_podland := ./cmd/podland
MAIN_podlan := ./cmd/podlan

# The first Go that takes go.mod: an older one of the distribution may be first
# in sudo's PATH.
ifndef GO
GO := $(shell for go in go /usr/local/go/bin/go; do \
  path=$$(command -v $$go) || continue; found=$${found:-$$path}; \
  if $$path list -m >/dev/null 2>&1; then found=$$path; break; fi; \
done; echo $${found:-})
endif
GO_WANTED := $(shell awk '$$1 == "go" { print $$2 }' go.mod)

ifeq ($(strip $(HOME)),)
HOME := $(shell getent passwd "$$(id -u)" | cut -d: -f6)
endif
export HOME
# What tests and tools start finds the same Go.
export PATH := $(if $(GO),$(dir $(GO)):)$(PATH)

# git refuses a tree of another owner; such a build goes without its commit.
VCS := $(shell git rev-parse HEAD >/dev/null 2>&1 && echo auto || echo false)
export GOFLAGS := $(strip $(filter-out -buildvcs%,$(GOFLAGS)) -buildvcs=$(VCS))

# The tools are pinned in a module of their own, so that Podlan's requirements
# stay its own. The Go cache keeps them built.
TOOL := $(GO) tool -modfile=integration/tools/go.mod

# Modules of their own, for tools and for what we are compared with.
MODULES := $(patsubst %/go.mod,%,$(wildcard integration/*/go.mod integration/*/*/go.mod))

UNIT := ./pkg/... ./plugins/... ./cmd/...
INTEGRATION := ./integration/...
# What is tested in a virtual machine too where this kernel has no VLANs.
VLAN_PACKAGES := ./pkg/rtnl ./pkg/segment ./pkg/pod ./pkg/wire ./pkg/guard \
  ./pkg/attachment ./pkg/daemon ./pkg/ipam ./pkg/leg ./integration/vlan
# Where that was, in a line.
VLAN_WHERE := .cache/vlan-where.txt
# The race detector needs cgo, so a C compiler. Without one the tests still run.
RACE = $(if $(filter 1,$(shell $(GO) env CGO_ENABLED)),-race)
# gotestsum's --format: pkgname, testname, dots, standard-verbose ...
FORMAT ?= pkgname
# How long each fuzz target runs, and which: "folder function" matches FUZZ.
SOAK_FUZZTIME := $(or $(FUZZTIME),10m)
FUZZTIME ?= 30s
FUZZ ?=
# What `make soak` does: its stages, how many ADDs, how often podland is killed.
SOAK ?= churn kill fuzz year
SOAK_CHURNS ?= 10000
SOAK_KILLS ?= 200

DESTDIR ?=
PREFIX ?= /usr
CNI_BIN ?= /opt/cni/bin
SBIN := $(DESTDIR)$(PREFIX)/sbin
BIN := $(DESTDIR)$(PREFIX)/bin
PLUGINS := $(DESTDIR)$(CNI_BIN)
UNITS := $(DESTDIR)$(PREFIX)/lib/systemd/system
SYSUSERS := $(DESTDIR)$(PREFIX)/lib/sysusers.d
SHARE := $(DESTDIR)$(PREFIX)/share/podlan

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# need-go says what is missing before Go does so in words of its own.
.PHONY: need-go
need-go: # (internal)
	@if [ -z "$(GO)" ]; then \
	  echo "Go $(GO_WANTED) or newer is needed and was found neither in PATH nor in /usr/local/go." >&2; \
	  echo "Elsewhere? make $(or $(MAKECMDGOALS),build) GO=/path/to/bin/go" >&2; exit 1; fi
	@if ! why=$$($(GO) list -m 2>&1); then \
	  echo "Go $(GO_WANTED) or newer is needed; $(GO) is $$(GOTOOLCHAIN=local $(GO) version | cut -d' ' -f3):" >&2; \
	  echo "$$why" >&2; exit 1; fi

.PHONY: need-root
need-root: # (internal)
	@if [ "$$(id -u)" != 0 ]; then \
	  echo "make $(MAKECMDGOALS) makes network namespaces and needs root: sudo make $(MAKECMDGOALS)" >&2; exit 1; fi

.PHONY: build
build: need-go ## build the four static programs into bin/
	@mkdir -p bin .cache && chown --reference=. bin .cache
	@for p in $(foreach p,$(PROGRAMS),$(p)=$(MAIN_$(p))); do \
	  CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=$(VCS) -ldflags '-s -w' -o "bin/$${p%%=*}" "$${p#*=}"; \
	done

# Built like ours, so that neither is measured with another compiler's flags.
.PHONY: reference
reference: need-go ## build the plugins that ours are compared with into bin/reference/
	@mkdir -p bin/reference && chown --reference=. bin bin/reference
	@cd integration/bench/reference && \
	  CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w' -o ../../../bin/reference/ tool

# Programs that die, or have a system call fail, where a test says: pkg/fault.
.PHONY: faulty
faulty: need-go ## build podland and podlan-bridge with fault points, for tests, into bin/fault/
	@mkdir -p bin/fault && chown --reference=. bin bin/fault
	@for p in podland=$(MAIN_podland) podlan-bridge=$(MAIN_podlan-bridge); do \
	  CGO_ENABLED=0 $(GO) build -trimpath -tags fault -ldflags '-s -w' -o "bin/fault/$${p%%=*}" "$${p#*=}"; \
	done

# summary is gotestsum's over a command that prints events, then what skipped
# unduly, then where the tests of VLANs ran.
define summary
rm -f .cache/tests.json $(VLAN_WHERE); status=0; \
$(TOOL) gotestsum --format $(FORMAT) --format-hide-empty-pkg --jsonfile .cache/tests.json --raw-command -- $(1) \
  && $(GO) run ./integration/house/skips integration/skips.txt .cache/tests.json || status=1; \
cat $(VLAN_WHERE) || status=1; \
exit $$status
endef

.PHONY: test
test: need-root build reference faulty ## run every test (root); fails on a skip that integration/skips.txt does not name
	@$(if $(RACE),,echo "no C compiler: the tests run without the race detector";) \
	export GO="$(GO)" RACE="$(RACE)" UNIT="$(UNIT)" INTEGRATION="$(INTEGRATION)" \
	  VLAN_PACKAGES="$(VLAN_PACKAGES)" VLAN_WHERE="$(VLAN_WHERE)"; \
	$(call summary,integration/tools/gotest.sh)

.PHONY: test-vlan
test-vlan: need-root build reference faulty ## run the tests of VLANs alone (root), in a virtual machine where this kernel has none
	@$(call summary,$(GO) run ./integration/vm/vlantests -natively -go "$(GO)" -where $(VLAN_WHERE) $(VLAN_PACKAGES))

# Behind a build tag, so that neither `make test` nor `go test ./...` builds
# Kubernetes. The build comes first and apart: what a test prints is seen late.
.PHONY: test-kube
test-kube: need-root build reference ## run the tests with a real Kubernetes (root), which the first run builds: minutes
	@$(GO) run ./integration/kube/build
	@$(TOOL) gotestsum --format $(FORMAT) --jsonfile .cache/kube.json -- -tags kube -count=1 -timeout=20m ./integration/kube \
	  && $(GO) run ./integration/house/skips integration/skips.txt .cache/kube.json

.PHONY: test-unit
test-unit: need-go ## run the packages' own tests, no root needed (those that need it skip)
	@$(TOOL) gotestsum --format $(FORMAT) --format-hide-empty-pkg -- $(RACE) -shuffle=on $(UNIT)

.PHONY: lint
lint: need-go ## check format, style, dependency rules and go.mod
	@for mod in . $(MODULES); do (cd $$mod && $(GO) mod tidy -diff); done
	@$(GO) vet -mod=readonly ./...
	@$(GO) vet -mod=readonly -tags fault ./pkg/fault ./pkg/statefile
	@$(GO) vet -mod=readonly -tags kube ./integration/kube
	@$(TOOL) golangci-lint run ./...
	@$(TOOL) golangci-lint run --build-tags fault ./pkg/fault ./pkg/statefile
	@$(TOOL) golangci-lint run --build-tags kube ./integration/kube

.PHONY: fmt
fmt: need-go ## format the Go files
	@$(TOOL) golangci-lint fmt ./...

.PHONY: fuzz
fuzz: need-go ## run each fuzz target for FUZZTIME (30s); FUZZ="pkg/dhcp4|FuzzRequest" for some
	@$(GO) run ./integration/soak -go "$(GO)" -stages fuzz -fuzztime "$(FUZZTIME)" -fuzz "$(FUZZ)"

.PHONY: soak
soak: need-root build ## run what takes hours and note its results in docs/soak.md (root); SOAK="churn kill" for some
	@$(GO) run ./integration/soak -go "$(GO)" -doc docs/soak.md -stages "$(SOAK)" \
	  -churns "$(SOAK_CHURNS)" -kills "$(SOAK_KILLS)" -fuzztime "$(SOAK_FUZZTIME)" -fuzz "$(FUZZ)"

.PHONY: bench
bench: need-root build reference ## measure against the reference plugins, with PASS or MISS per target (root); BENCH=-help
	@$(GO) run ./integration/bench $(BENCH)

.PHONY: demo
demo: need-root build ## see the main job step by step in a lab (root); KEEP=1 leaves the lab standing
	@KEEP="$(KEEP)" $(GO) run ./integration/demo

.PHONY: fresh
fresh: need-root need-go ## prove demo and test in a fresh Debian root (root); FRESH_TARGETS="build" for less
	@GO="$(GO)" integration/fresh/run $(FRESH_TARGETS)

# A program is replaced by rename: a runtime that starts it meanwhile gets the
# old one or the new one, never "text file busy" or half a file.
define put
install -D -m 0755 bin/$(1) $(2)/.$(1).new
mv -f $(2)/.$(1).new $(2)/$(1)
endef

.PHONY: install
install: build ## put programs, units and samples into place (DESTDIR, PREFIX); starts nothing
	@$(call put,podlan-bridge,$(PLUGINS))
	@$(call put,podlan-dhcp,$(PLUGINS))
	@$(call put,podland,$(SBIN))
	@$(call put,podlan,$(BIN))
	@install -d $(UNITS)
	@sed 's|/usr/sbin/podland|$(PREFIX)/sbin/podland|' install/podland.service | install -m 0644 /dev/stdin $(UNITS)/podland.service
	@install -D -m 0644 install/podlan.sysusers.conf $(SYSUSERS)/podlan.conf
	@install -D -m 0644 -t $(SHARE)/podland.service.d install/podland.service.d/pod-access.conf
	@install -D -m 0644 -t $(SHARE)/conf conf/*.conflist conf/README.md
	@$(if $(DESTDIR),:,sed 's|/usr/share/podlan|$(SHARE)|' install/next-steps.txt)

.PHONY: uninstall
uninstall: ## remove what install put there; leaves /var/lib/podlan and your confs
	@rm -f $(PLUGINS)/podlan-bridge $(PLUGINS)/podlan-dhcp $(SBIN)/podland $(BIN)/podlan
	@rm -f $(UNITS)/podland.service $(SYSUSERS)/podlan.conf
	@rm -rf $(SHARE)

.PHONY: clean
clean: ## remove what a build or a test run left in this folder
	@rm -rf bin .cache
