# Everything from a fresh clone: `make demo`, `make test`, `make check`. `make help` lists the targets.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.strop-installed
# What the installation depends on. Python files are used where they lie; the compiled emulator is not.
INSTALLED := pyproject.toml setup.py runtime/build_emulator.py hls/__init__.py \
  $(wildcard hls/*.h hls/*.hpp hls/*.cpp hls/model/*.hpp hls/native/*.h hls/native/*.hpp hls/native/*.cpp)

.PHONY: help demo test check format csim install clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo "The kernel's own targets: make -C hls help"

demo: $(STAMP) ## set everything up and show strop at work
	$(BIN)/strop demo

test: $(STAMP) ## run the test suite; make test ARGS="-m 'not slow'" passes options on
	$(BIN)/pytest $(ARGS)

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
	STROP_REQUIRE_KERNEL=1 $(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,plot,images]'
	@touch $@

clean: ## remove .venv and everything that was built
	rm -rf $(VENV) build dist *.egg-info runtime/_kernel*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis
