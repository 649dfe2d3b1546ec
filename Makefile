# make setup    virtual environment in .venv with the tested versions
# make train    set-up, then train all three stages on the built-in scenes; ARGS="experiment=camvid data.root=DIR"
# make test     set-up, then the tests; ARGS="--precision=float32|bfloat16" is what precision=auto means (float32)
# make test-all the slow tests, too
# make torture  kills, damaged files and images, the resume matrix, ranks: 10 to 30 minutes; ARGS="--scale=0.05" for a look
# make bench    speed, ours against alternatives and limits, under 40 minutes; ARGS="--quick --only='fc6*'" for a look
# make check    format, lint, types, tests
# make format   rewrite the files the way `make check` wants them
# make cityscapes-scripts   the official evaluation of Cityscapes, which a test compares ours with

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CITYSCAPES := .venv-cityscapes
ARGS ?=
.DEFAULT_GOAL := help
.PHONY: help setup train test test-all torture bench check format cityscapes-scripts

help:
	@sed -n 's/^# make/make/p' Makefile

setup: $(VENV)/.ready

# Installing brings the dependencies alone: the programs run from here. The stamp is written last, so that an interrupted
# set-up is done again.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt ".[test]"
	@touch $@

train: setup
	$(BIN)/python train.py $(ARGS)

test: setup
	$(BIN)/python -m pytest $(ARGS)

test-all: setup
	$(BIN)/python -m pytest -m "slow or not slow" $(ARGS)

torture: setup
	$(BIN)/python -m tests.torture $(ARGS)

bench: setup
	$(BIN)/python -m benchmarks $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(ARGS)

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# An environment of its own: it wants the obsolete package `typing`, and a numpy that still has in1d.
cityscapes-scripts: $(CITYSCAPES)/.ready

$(CITYSCAPES)/.ready:
	$(PYTHON) -m venv $(CITYSCAPES)
	$(CITYSCAPES)/bin/pip install --quiet "cityscapesscripts==2.3.0" "numpy<2.4"
	@touch $@
