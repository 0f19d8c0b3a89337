# `make demo` sets everything up and runs the main job; `make test` sets up and passes the tests.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# CI adds train, run and hf; tests that need an absent extra are skipped with that reason.
EXTRAS ?= test,dev

.PHONY: demo test lint served-family format clean kernels kernels-equal kernels-asan fuzz run-faults

demo: $(STAMP)
	$(BIN)/saltus audit --example --out demo

test: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --dist loadfile

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

KERNELS := $(wildcard src/saltus/kernels/c/*.[ch])

# The C extension again, after a change of its sources; `make test` builds it once.
kernels: $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --editable .

# Every score against the field's packages on 20,000 pairs; any difference fails. Minutes.
kernels-equal: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[bench]"
	$(BIN)/python benchmarks/kernels_equal.py

# A million inputs through every kernel under AddressSanitizer and UndefinedBehaviorSanitizer.
kernels-asan: build/fuzz_kernels
	build/fuzz_kernels 1000000

build/fuzz_kernels: $(KERNELS) tests/fuzz/fuzz_kernels.c
	mkdir -p build
	$(CC) -std=c11 -g -O1 -Wall -Wextra -Werror -DSALTUS_EXACT \
		-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer \
		tests/fuzz/fuzz_kernels.c $(filter-out %/module.c,$(filter %.c,$(KERNELS))) -lm -o $@

# 10,000 damaged files through every reader: none may crash, hang or make a number up. Half an hour.
fuzz: $(STAMP)
	$(BIN)/python benchmarks/fuzz_readers.py --count 10000

# 10,000 requests against a server that fails in every way: no answer lost or doubled. Minutes.
run-faults: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[run]"
	$(BIN)/python benchmarks/faults_run.py --requests 10000

# Eight sizes trained, served on 127.0.0.1, asked over HTTP and judged: minutes.
served-family: $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[train,run]"
	$(BIN)/python examples/served_family.py served-family

# Versions are pinned by constraints.txt: names and versions only.
$(STAMP): pyproject.toml constraints.txt setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(EXTRAS)]"
	@touch $@

clean:
	rm -rf $(VENV) demo build .mypy_cache .ruff_cache .pytest_cache
