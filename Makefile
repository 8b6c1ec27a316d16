# Everything from a fresh clone: `make demo`, `make test`, `make check`. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.strop-installed
# What the installation depends on. Python files are used where they lie; the compiled emulator is not.
INSTALLED := pyproject.toml setup.py runtime/build_emulator.py hls/__init__.py \
  $(wildcard hls/*.h hls/*.hpp hls/*.cpp hls/model/*.hpp hls/native/*.h hls/native/*.hpp hls/native/*.cpp)

# pynq pins an old numpy, and 3.1 and 4.0 differ: an environment each. 3.1 is the last one for Zynq-7000.
PYNQ3 := .venv-pynq3
PYNQ4 := .venv-pynq4
PYNQ3_VERSION := 3.1.2
PYNQ4_VERSION := 4.0.0

BROWSER_STAMP := $(VENV)/.strop-test-service-installed

.PHONY: help demo test test-service test-pynq test-board arm-wheels check format csim install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "The kernel's own targets: make -C hls help"

demo: $(STAMP) ## set everything up and show strop at work
	$(BIN)/strop demo

test: $(STAMP) ## run the test suite; make test ARGS="-m 'not slow'" passes options on
	$(BIN)/pytest $(ARGS)

test-pynq: $(PYNQ3)/.strop-installed $(PYNQ4)/.strop-installed ## run the board's driver on the real pynq package, 3.1 and 4.0, in front of an emulated board
	for pynq in $(PYNQ3) $(PYNQ4); do \
	  $$pynq/bin/pytest $(ARGS) tests/runtime/board tests/host/notebooks tests/overlay/test_vivado_mock.py && $$pynq/bin/pytest $(ARGS) -m board tests/runtime \
	  || exit 1; done

test-service: $(BROWSER_STAMP) ## test the dashboard in Chromium, and the API by Schemathesis (sudo apt-get install chromium)
	$(BIN)/pytest $(ARGS) tests/service/test_dashboard.py tests/service/test_schemathesis.py

arm-wheels: $(STAMP) ## cross-compile wheels for boards into dist: armv7l for Zynq-7000, aarch64 for Zynq UltraScale+
	for arch in armv7l aarch64; do PYTHON=$(abspath $(BIN)/python) .ci/arm-wheel $$arch dist || exit 1; done

test-board: ## on a board, as root: run the same assertions on it and write board-report.json to send back
	STROP_TEST_DEVICE=board $(PYTHON) -m pytest $(ARGS) -m board tests/runtime

check: $(STAMP) ## style, types, layout and the kernel's static checks
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) -C hls format-check lint freestanding PYTHON=$(abspath $(BIN)/python) CLANG_FORMAT=$(abspath $(BIN)/clang-format)

format: $(STAMP) ## lay Python and C++ out as `make check` demands
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(MAKE) -C hls format CLANG_FORMAT=$(abspath $(BIN)/clang-format)

csim: $(STAMP) ## run the kernel's C++ test bench
	$(MAKE) -C hls csim

install: $(STAMP) ## only set up .venv with strop and its tools in it

$(STAMP): $(INSTALLED)
	@PYTHON="$(PYTHON)" sh .ci/system-packages
	@echo "Setting up $(VENV): this takes a minute or two, once"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	STROP_REQUIRE_KERNEL=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,plot,images,service]'
	@touch $@

$(BROWSER_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'strop[test-service]'
	@touch $@

$(PYNQ3)/.strop-installed $(PYNQ4)/.strop-installed: %/.strop-installed: $(INSTALLED)
	@PYTHON="$(PYTHON)" sh .ci/system-packages
	@echo "Setting up $*: this takes a minute or two, once"
	@test -x $*/bin/python || $(PYTHON) -m venv $*
	STROP_REQUIRE_KERNEL=1 $*/bin/python -m pip install --quiet --disable-pip-version-check \
	  -e '.[board,test-board]' pynq==$(if $(filter $(PYNQ3),$*),$(PYNQ3_VERSION),$(PYNQ4_VERSION))
	@touch $@

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) $(PYNQ3) $(PYNQ4) build dist *.egg-info runtime/_kernel*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis
