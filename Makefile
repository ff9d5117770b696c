# floodwall: `make` lists the verbs. Everything is installed into .venv and build/.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
SOURCES := $(shell find include src python cmake -type f -not -name '*.pyc' 2>/dev/null) CMakeLists.txt pyproject.toml
JOBS := $(shell nproc)

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "floodwall needs Python 3.11 or newer; set PYTHON to one"; exit 1; }
	@$(PYTHON) -m venv $(VENV) 2>/dev/null || { [ "$$(id -u)" = 0 ] && apt-get update -qq && apt-get install -y -qq python3-venv && $(PYTHON) -m venv $(VENV); } || { echo "install python3-venv first"; exit 1; }
	@$(PY) -m pip install -q --upgrade 'pip>=25.1'
	@$(PY) -m pip install -q 'scikit-build-core>=0.11' 'nanobind>=2.4' 'pyarrow>=26.0,<26.1' 'cmake>=3.26' ninja
	@touch $@

# The package, built against the venv's pyarrow. Warnings are errors where CI says so: a newer
# compiler's new warning should stop a change here, not a user.
WHEEL_BUILD := build/wheel
$(VENV)/installed: $(VENV)/made $(SOURCES)
	$(PY) -m pip install -q --no-build-isolation --no-deps --force-reinstall -C build-dir=$(WHEEL_BUILD) \
	  -C cmake.define.FLOODWALL_BUILD_TESTS=OFF -C cmake.define.FLOODWALL_WERROR=$(if $(CI),ON,OFF) .
	@touch $@

$(VENV)/group-%: $(VENV)/made pyproject.toml
	@$(PY) -m pip install -q --group $*
	@touch $@

demo: $(VENV)/installed $(VENV)/group-demo ## upsert real data inside 128 MiB and check it
	$(PY) tools/demo.py

.PHONY: gtest
gtest:
	@[ -e /usr/include/gtest/gtest.h ] || { \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends libgtest-dev; \
	  else echo "the C++ tests need GTest: apt-get install libgtest-dev"; exit 1; fi; }

pyarrow = $$($(PY) -c 'import importlib.util, os; print(os.path.dirname(importlib.util.find_spec("pyarrow").origin))')
configure = PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cmake --preset $(1) -DPython_EXECUTABLE=$(CURDIR)/$(PY) \
  -DPyArrow_ROOT=$(pyarrow) >/dev/null
build = PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cmake --build --preset $(1) -j $(JOBS)

cpp-tests: $(VENV)/made gtest ## build the C++ tests with assertions in build/dev
	$(call configure,dev)
	$(call build,dev)

# The C++ tests on the wheel's own objects: what is tested is what is installed, compiled once.
wheel-tests: $(VENV)/installed gtest
	@PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cmake -B $(WHEEL_BUILD) -DFLOODWALL_BUILD_TESTS=ON >/dev/null
	PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cmake --build $(WHEEL_BUILD) -j $(JOBS)

test: $(VENV)/installed $(VENV)/group-test wheel-tests ## build and run all tests
	cd $(WHEEL_BUILD) && $(CURDIR)/$(VENV)/bin/ctest --output-on-failure -j $(JOBS)
	$(PY) -m pytest -q -m "not long" -n $(JOBS) --dist loadfile

test-long: test docs $(VENV)/group-examples $(VENV)/group-readers ## sanitizers, the long crash runs, docs, examples
	for preset in asan tsan; do \
	  $(call configure,$$preset) && $(call build,$$preset) && \
	  (cd build/$$preset && FLOODWALL_STRESS_SECONDS=60 FLOODWALL_POWER_LOSS_SEEDS=4 $(CURDIR)/$(VENV)/bin/ctest --output-on-failure) || exit 1; done
	$(PY) -m pytest -q -m long
	$(MAKE) tidy cross
	$(MAKE) test-packaging

# fsspeckit needs Python 3.12: FSSPECKIT_PYTHON names one where PYTHON is older.
FSSPECKIT_PYTHON ?= $(PYTHON)
test-fsspeckit: ## run fsspeckit's own tests with and without the drop-in
	$(PYTHON) tools/fsspeckit_suite.py --python $(FSSPECKIT_PYTHON)

test-packaging: $(VENV)/made $(VENV)/group-package ## sdist and wheels of each Python in clean environments
	$(PY) tools/package_suite.py

.PHONY: cross-tools test-fsspeckit test-packaging
cross-tools:
	@command -v x86_64-w64-mingw32-g++-posix wine >/dev/null || { \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends g++-mingw-w64-x86-64-posix wine wine64; \
	  else echo "the cross checks need apt-get install g++-mingw-w64-x86-64-posix wine wine64"; exit 1; fi; }

cross: $(VENV)/group-cross cross-tools ## compile the probes for Windows and macOS
	$(PY) tools/cross_check.py

.PHONY: cppcheck
cppcheck:
	@command -v cppcheck >/dev/null || { \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends cppcheck; \
	  else echo "the lint needs cppcheck: apt-get install cppcheck"; exit 1; fi; }
	cppcheck --quiet --error-exitcode=1 --enable=warning,performance,portability --std=c++20 \
	  --language=c++ --suppressions-list=.cppcheck -D__linux__ -DFLOODWALL_EXPORT= \
	  '-DARROW_ASSIGN_OR_RAISE(lhs,rexpr)=lhs=(rexpr).ValueOrDie()' \
	  '-DARROW_RETURN_NOT_OK(status)=if(!(status).ok())return(status)' -Iinclude -Isrc src python/bindings

lint: cppcheck $(VENV)/installed $(VENV)/group-test $(VENV)/group-lint ## includes, formats, types, stubs, clang-tidy
	$(PY) tools/check_includes.py
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	git ls-files '*.cc' '*.h' | xargs $(VENV)/bin/clang-format --dry-run -Werror
	$(PY) -m mypy
	$(PY) -m nanobind.stubgen -q -m floodwall._core -o build/_core.pyi
	diff -u python/floodwall/_core.pyi build/_core.pyi
	$(call clang_tidy,--checks=-clang-analyzer-*)

# Each file by itself, as the wheel's unity build never sees it. The analyzer's paths take five times
# the rest together: `make lint` leaves them out, `make tidy` follows them.
clang_tidy = PATH="$(CURDIR)/$(VENV)/bin:$$PATH" cmake --preset tidy -DPyArrow_ROOT=$(pyarrow) >/dev/null && \
	git ls-files 'src/*.cc' | grep -vE '/(darwin|windows)/' | \
	  xargs -P $(JOBS) -n 4 $(VENV)/bin/clang-tidy -p build/tidy --quiet --extra-arg=-Wno-unknown-warning-option $(1)

tidy: $(VENV)/made $(VENV)/group-lint ## clang-tidy over the sources, its analyzer included
	$(call clang_tidy)

stubs: $(VENV)/installed $(VENV)/group-lint ## rewrite python/floodwall/_core.pyi
	$(PY) -m nanobind.stubgen -q -m floodwall._core -o python/floodwall/_core.pyi

format: $(VENV)/group-lint ## format C++ and Python
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix -q .
	git ls-files '*.cc' '*.h' | xargs $(VENV)/bin/clang-format -i

bench: $(VENV)/installed $(VENV)/group-bench ## time the merge against its peers; compare monitors with the truth
	$(PY) benchmarks/merge.py --operation upsert
	$(PY) benchmarks/pruning.py
	$(PY) benchmarks/available.py
	@[ -e /usr/include/benchmark/benchmark.h ] || { echo "the monitor's times need apt-get install libbenchmark-dev"; exit 1; }
	$(call configure,release)
	$(call build,release) --target bench_monitor
	$(PY) benchmarks/monitor.py

.PHONY: doxygen docs
doxygen:
	@command -v doxygen >/dev/null || { \
	  if [ "$$(id -u)" = 0 ]; then apt-get update -qq && apt-get install -y -qq --no-install-recommends doxygen; \
	  else echo "the C++ reference needs doxygen: apt-get install doxygen"; exit 1; fi; }

docs: $(VENV)/installed $(VENV)/group-docs doxygen ## build the documentation in build/docs/html
	@mkdir -p build/docs
	doxygen docs/Doxyfile
	$(PY) -m sphinx -W --keep-going -q -b html docs build/docs/html
	@echo "open build/docs/html/index.html"

clean: ## remove what make made
	rm -rf build $(VENV) .demo

.PHONY: help demo cpp-tests wheel-tests test test-long cross lint stubs format bench clean
