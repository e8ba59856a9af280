# Two commands matter, each sets up everything on a bare Debian 12 as root:
#   make demo   a three-node etcd loses everything, and restore-runbook brings it back
#   make test   lints, unit, property and lab end-to-end tests
#
# More, for who works on it:
#   make unit                what needs no lab
#   make e2e T=NAME          some of the lab's tests
#   make snapshots T=NAME    our numbers against etcd's, on snapshots of every etcd to be had
#   make sim SEEDS=NUMBER    so many simulated disasters, on every core; FROM=SEED begins elsewhere,
#                            THROUGH=adapters plays them behind the real adapters
#   make soak N=NUMBER JOBS=NUMBER    so many whole disasters on the lab, some side by side; SEED=… plays one again
#   make mutants             takes one safeguard away at a time: the tests have to notice each
#   make mutants-wide        the same with cargo-mutants over machine, journal and engine; takes hours
#   make bench               how long a proof takes, beside what others do with the same file
#   make fuzz TIME=SECONDS   hostile input for everything that is parsed; needs a nightly toolchain, and gets it
#   make lab-up, lab-shell, lab-down    a lab to play with
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.PHONY: demo test lint unit e2e snapshots sim soak mutants mutants-wide bench fuzz deny advisories audit lab-up lab-shell lab-down setup clean help

# rustup installs here; setup may just have done so.
export PATH := $(HOME)/.cargo/bin:$(PATH)
CARGO ?= cargo
# The lab's tests wait more than they work.
export RUST_TEST_THREADS ?= $(shell echo $$((2 * $$(nproc))))
DENY_VERSION := 0.20.2
DENY := target/tools/bin/cargo-deny
MUTANTS_VERSION := 27.1.0
MUTANTS := target/tools/bin/cargo-mutants
FUZZ_VERSION := 0.13.2
FUZZ := target/tools/bin/cargo-fuzz

help:
	@sed -n 's/^#   //p' Makefile

setup:
	@scripts/setup.sh

demo: setup
	$(CARGO) build --workspace --bins
	@scripts/demo.sh target/debug

test: setup lint deny advisories
	$(CARGO) build --workspace --bins
	target/debug/lab fetch-etcd
	$(CARGO) run --package restore-runbook --all-features --example own_step
	@status=0; $(CARGO) test --no-fail-fast --workspace --all-features || status=$$?; \
	target/debug/lab sweep; cat $(ADVISORIES); exit $$status

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --workspace --all-features --no-deps

deny: $(DENY)
	$(DENY) --all-features check --hide-inclusion-graph bans licenses sources

# Asked wherever the database can be fetched; what was done is said, and said again at the end of the tests.
ADVISORIES := target/advisories
advisories: $(DENY)
	@scripts/advisories.sh $(ADVISORIES) $(DENY)

# The same, and failing where it cannot be fetched.
audit: $(DENY)
	$(DENY) --all-features check advisories

# Built once per checkout, in its own target directory: its lock file is not ours.
$(DENY):
	$(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --root target/tools --target-dir target/tools/build
	rm -rf target/tools/build

# Without the lab: any user, no packages but the build's.
unit:
	$(CARGO) test --workspace --all-features --exclude lab --exclude restore-runbook
	$(CARGO) test -p restore-runbook --lib --test it --test fuzz --test hostile

# Only the lab's tests: make e2e T=three_members
e2e: setup
	$(CARGO) build --workspace --bins
	@status=0; $(CARGO) test -p restore-runbook --test e2e -- $(T) || status=$$?; \
	target/debug/lab sweep; exit $$status

# Our numbers against etcd's, on snapshots of every etcd to be had: make snapshots T=leases
snapshots: setup
	$(CARGO) build -p lab --bins
	target/debug/lab fetch-etcd
	$(CARGO) test -p restore-runbook --test snapshots -- $(T)

# The simulator, in the profile of a release. A seed that breaks a rule is printed with its history, shrunk to
# what it takes: its last line goes to crates/runbook-core/tests/kept.jsonl, which `make test` plays first.
# THROUGH=adapters plays it behind the real adapters of cmsh, the nodes and etcd's tools, with the stand-in's texts
# and those of ssh and the scripts; what that breaks goes to tests/sim/tests/kept.jsonl.
SEEDS ?= 100000
FROM ?= 0
THROUGH ?= ports
sim:
	$(CARGO) run --release --package sim -- $(SEEDS) --from $(FROM) --through $(THROUGH)

# Whole disasters on the lab, each with a schedule of faults drawn from its seed. Without SEED the first seed is
# rolled, and printed. Each takes some 20 s where the machine has nothing else to do.
N ?= 10
JOBS ?= 2
SEED ?=
soak: setup
	$(CARGO) build --workspace --bins --examples
	target/debug/lab fetch-etcd
	@status=0; SOAK_SEED=$(SEED) SOAK_N=$(N) SOAK_JOBS=$(JOBS) \
	  $(CARGO) test -p restore-runbook --test e2e -- --ignored --exact --nocapture soak::many || status=$$?; \
	target/debug/lab sweep; exit $$status

# The mutants of tests/mutants, each with the tests that kill it: scripts/mutants.sh NAME for one.
mutants:
	scripts/mutants.sh

# First the quick tests, each of which is named for cargo, so that no other is built; what lives meets all the core's tests.
WIDE_TESTS = lib test=boots test=dangers test=installer test=machine test=mocks test=rundir test=told test=halts test=sim
WIDE = PATH=$$PWD/target/tools/bin:$$PATH $(CARGO) mutants --package runbook-core --all-features --output target/mutants \
  --file 'crates/runbook-core/src/machine.rs' --file 'crates/runbook-core/src/journal/*.rs' \
  --file 'crates/runbook-core/src/run.rs' --file 'crates/runbook-core/src/run/*.rs'
WIDE_SKIPS = --skip many_seeds --skip every_fault
LONG_TESTS = --skip a_request_to_halt_at_every_await --skip no_halt_leaves_a_fresh_disk_unguarded --skip a_deposed_run_begins_nothing
mutants-wide: $(MUTANTS)
	$(WIDE) $(WIDE_TESTS:%=--cargo-arg=--%) $(MUTANTS_ARGS) -- -- $(WIDE_SKIPS) $(LONG_TESTS) || \
	  { [[ $$? = [23] ]] && $(WIDE) $(filter-out --iterate,$(MUTANTS_ARGS)) --iterate -- -- $(WIDE_SKIPS); }

$(MUTANTS):
	$(CARGO) install cargo-mutants --version $(MUTANTS_VERSION) --locked --root target/tools --target-dir target/tools/build
	rm -rf target/tools/build

# The proof of a snapshot against openssl, a plain read, and etcd's own tools; some minutes, some 15 GB of disk.
bench: setup
	$(CARGO) build -p lab --bins
	target/debug/lab fetch-etcd
	$(CARGO) bench -p restore-runbook --bench snapshots

# Seconds for each fuzz target: make fuzz TIME=3600, or some of them: make fuzz F="cmsh spec". Needs a nightly
# toolchain, and gets it. What it finds new goes to target/fuzz, failures to tests/fuzz/artifacts.
TIME ?= 300
F ?= $(notdir $(wildcard tests/fuzz/corpus/*))
fuzz: setup $(FUZZ)
	rustup toolchain install nightly --profile minimal
	@for target in $(F); do \
	  mkdir -p target/fuzz/$$target; seeds=; \
	  case $$target in \
	    snapshot) seeds=crates/etcd-adapter/tests/fixtures ;; \
	    spec) seeds=examples/specs ;; \
	    plan|journal) seeds=crates/runbook-core/tests/fixtures ;; \
	  esac; \
	  PATH=$$PWD/target/tools/bin:$$PATH $(CARGO) +nightly fuzz run --fuzz-dir tests/fuzz $$target \
	    target/fuzz/$$target tests/fuzz/corpus/$$target $$seeds \
	    -- -max_total_time=$(TIME) -max_len=120000 -rss_limit_mb=1500 -timeout=10; \
	done

$(FUZZ):
	$(CARGO) install cargo-fuzz --version $(FUZZ_VERSION) --locked --root target/tools --target-dir target/tools/build
	rm -rf target/tools/build

# A lab to play with.
lab-up: setup
	$(CARGO) build --workspace --bins
	target/debug/lab up --keep --keys 20000

lab-shell:
	target/debug/lab shell

lab-down:
	target/debug/lab down

clean:
	$(CARGO) clean
