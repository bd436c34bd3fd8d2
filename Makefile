# Every target is a thin name for what can also be typed by hand; `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
JOBS ?= 2
LAUNCHER := $(if $(shell command -v ccache),-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
SUPPRESS := $(CURDIR)/tests/support
.PHONY: help deps command demo test lint sanitize faults check bench bench-peers format format-check build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

deps: ## install what is missing (apt); does nothing when all is there
	@scripts/install-deps

command: deps
	@cmake --preset release $(LAUNCHER) >/dev/null
	@cmake --build --preset release --target millrace_cli -j $(JOBS)

demo: command ## build the release and watch real tasks go through a private PostgreSQL
	@scripts/demo "$(CURDIR)/build/release"

test: deps ## build with fault points, run every test, check the format
	@cmake --preset dev $(LAUNCHER) >/dev/null
	@cmake --build --preset dev -j $(JOBS)
	@ctest --preset dev -j $(JOBS)
	@$(MAKE) --no-print-directory format-check

lint: deps ## build with clang and its warnings, run clang-tidy
	@cmake --preset clang $(LAUNCHER) >/dev/null
	@cmake --build --preset clang -j $(JOBS)
	@run-clang-tidy -quiet -j $(JOBS) -p build/clang '^$(CURDIR)/(src|cli)/.*\.cpp$$'

sanitize: deps ## the tests under AddressSanitizer, UBSan and ThreadSanitizer
	@cmake --preset asan $(LAUNCHER) >/dev/null
	@cmake --build --preset asan -j $(JOBS)
	@UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 \
		ctest --preset asan -j $(JOBS) -L 'unit|engine' --no-tests=error
	@cmake --preset tsan $(LAUNCHER) >/dev/null
	@cmake --build --preset tsan -j $(JOBS)
	@TSAN_OPTIONS=suppressions=$(SUPPRESS)/tsan.supp:halt_on_error=1:second_deadlock_stack=1 \
		ctest --preset tsan -j $(JOBS) -L concurrency --no-tests=error

faults: ## the fault tests at length: 50 kills of workers in 5,000 tasks, 5 of the server; schedules for 60 s
	@MILLRACE_FAULT_TASKS=5000 MILLRACE_FAULT_KILLS=50 MILLRACE_FAULT_SECONDS=60 ctest --preset dev -L fault --no-tests=error

check: test lint sanitize faults ## the full matrix: test, lint, sanitize, faults

bench: command ## every benchmark beside its ceiling, on a private cluster
	@scripts/bench "$(CURDIR)/build/release"

bench-peers: command ## Millrace, graphile-worker and pg-boss on one server, in turns (needs npm)
	@bench/peers/run "$(CURDIR)/build/release"

format: ## format every C++ file in place
	@git ls-files -z '*.cpp' '*.hpp' | xargs -0 clang-format -i

format-check:
	@git ls-files -z '*.cpp' '*.hpp' | xargs -0 clang-format --dry-run --Werror

build: deps ## build the release
	@cmake --preset release $(LAUNCHER)
	@cmake --build --preset release -j $(JOBS)

clean: ## remove everything that was built
	@rm -rf build
