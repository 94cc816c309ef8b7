#!/usr/bin/env bash
# The tests of the training, with torch, in an environment of their own: build/training-venv.
#   test_training.sh [--prepare]     (--prepare: only makes the environment)
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/training_venv.sh
[ "${1:-}" = --prepare ] && exit
# Without the configuration and the fixtures of the server's own tests, which import the server.
exec build/training-venv/bin/python -m pytest -q -c /dev/null --noconftest --rootdir=. -p no:cacheprovider \
  tests/unit/training
