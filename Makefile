# One command per job. `make run` and `make test` need only Python 3.11+ and a C++ compiler.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup run test python-test train digits training-test voice-test postgres-test prometheus-test browser-test clients-test native-test test-neon lint type proto bench native image-test sanitize wheels clean

VENV := .venv
BIN := $(VENV)/bin
# Jobs for native builds: as many as this machine really has, unless told otherwise.
JOBS ?= $(shell nproc)
# Options for the server, for example: make run ARGS="--port 9000"
ARGS ?=
# Options for pytest, for example: make test PYTEST="-k chat -x"
PYTEST ?=

export JOBS PYTEST
export CMAKE_BUILD_PARALLEL_LEVEL ?= $(JOBS)

help:  ## List the commands.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1|/' | \
	  while IFS='|' read -r name text; do printf '  make %-12s %s\n' "$$name" "$$text"; done

setup:  ## Create .venv, install everything, build the extension. Cheap when nothing changed.
	@scripts/setup.sh

run: setup  ## Set up, then serve the embedded model on http://127.0.0.1:8000.
	@exec $(BIN)/sterna serve $(ARGS)

test: setup  ## Native tests and Python tests, with counts.
	@scripts/test.sh

train:  ## Train the embedded model from its texts: make train DATA=DIRECTORY (training/README.md).
	@$(MAKE) -C training all $(foreach name,DATA RUN,$(if $($(name)),$(name)=$(abspath $($(name)))))

digits: setup  ## Train the recogniser of spoken digits for tests: make digits DATA=ARCHIVE (training/digits).
	@scripts/voice_venv.sh
	@build/voice-venv/bin/python -m training.digits.train --data "$(DATA)" --out build/digits/model
	@build/voice-venv/bin/python -m training.digits.evaluate --data "$(DATA)" --model build/digits/model

training-test: setup  ## Tests of the training; installs torch into build/training-venv.
	@scripts/test_training.sh

voice-test: setup  ## Tests of speech; installs torch and the extra voice into build/voice-venv.
	@scripts/test_voice.sh

prometheus-test: setup  ## Tests of monitoring with a real Prometheus; installs it where that can be done.
	@scripts/test_prometheus.sh

browser-test: setup  ## Tests of the playground in a real browser; installs playwright into build/browser-tools.
	@scripts/test_browser.sh

clients-test: setup  ## Tests with clients of others; installs them and Node.js into build/.
	@scripts/test_clients.sh

postgres-test: setup  ## Tests of state on PostgreSQL, too; installs psycopg into build/postgres-venv.
	@scripts/test_postgres.sh

python-test: setup  ## Python tests only.
	@scripts/python_test.sh

native-test: setup  ## Native tests only.
	@scripts/native_test.sh build/native

test-neon: setup  ## Kernel tests for 64-bit Arm, cross-compiled and run under qemu.
	@scripts/test_neon.sh

lint: setup  ## Formatters, linters, protocol checks and import rules.
	@scripts/lint.sh

type: setup  ## Type checks.
	@$(BIN)/mypy

proto: setup  ## Regenerate the stubs from proto/.
	@$(BIN)/python scripts/generate_stubs.py

native: setup  ## Rebuild the Python extension after a change in native/.

image-test:  ## Build and run what deploy/container/Dockerfile says, without a container engine.
	@python3 scripts/rehearse_image.py

bench: setup  ## Kernel micro-benchmarks; prints numbers, decides nothing.
	@scripts/bench.sh

sanitize: setup  ## Native tests under the address, undefined and thread sanitizers.
	@scripts/native_test.sh build/native-asan address,undefined
	@scripts/native_test.sh build/native-tsan thread

wheels: setup  ## Build the wheels of both distributions into dist/.
	@$(BIN)/pip wheel --no-deps --wheel-dir dist ./clients/python .

clean:  ## Remove the environment and everything that was built.
	@rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
