# Everything is made from Python (3.11 or newer) and make alone, into .venv.
#   make demo                 train a VAE, a GAN and a diffusion model on handwritten digits and compare them
#   make lecture              every equation on one page, with its function, its tests' results and a picture
#   make equations            write the map of docs/equations.toml into docs/equations.md and the families' docstrings
#   make test                 the tests, in minutes; `make test-all` adds the slow ones
#   make install JAX=cuda13   choose the accelerator build of JAX (cpu, cuda12, cuda13, tpu)
PYTHON ?= python3
JAX ?= cpu
BIN := .venv/bin
# -n 2: two workers; XLA's CPU devices are virtual, so more workers than cores only slow each other down.
# worksteal: neighbours stay together, so that a fixture or a compiled program of a module is made once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal
RUNS ?= runs
DEMO := digits_vae digits_gan digits_ddpm

ifeq ($(JAX),cpu)
EXTRA :=
else
EXTRA := jax[$(JAX)]
endif

.PHONY: install demo lecture equations test test-all lint clean

install: .venv/.installed-$(JAX)

.venv/.installed-$(JAX): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,data,tensorboard,codec]" $(EXTRA)
	rm -f .venv/.installed-*
	touch $@

demo: install
	for name in $(DEMO); do $(BIN)/jaxgen train $$name --run $(RUNS)/$$name || exit; done
	$(BIN)/jaxgen compare $(DEMO:%=$(RUNS)/%) --out $(RUNS)/comparison

lecture: install
	$(BIN)/python notebooks/lecture_page.py --out lecture.html

equations: install
	$(BIN)/python notebooks/equation_map.py

# Runs and pages of the docs go as a user's program does, without checks of every annotation: a third of their time.
test: install
	$(PYTEST) -m "not slow" --ignore tests/runs --ignore tests/test_docs.py tests
	JAXGEN_TESTS_PLAIN=1 $(PYTEST) -m "not slow" tests/test_docs.py tests/runs

test-all: install
	JAXGEN_TESTS_OPTIMIZED=1 $(PYTEST) tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

clean:
	rm -rf .venv runs
