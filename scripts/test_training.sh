#!/usr/bin/env bash
# The tests of the training, with torch, in an environment of their own: build/training-venv.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/training-venv
if [ ! -x "$venv/bin/python" ]; then
  .venv/bin/python -m venv "$venv"
fi
"$venv/bin/python" -m pip install --quiet -r training/requirements.txt
"$venv/bin/python" -m pip install --quiet -c constraints.txt pytest pytest-timeout
# Without the configuration and the fixtures of the server's own tests, which import the server.
exec "$venv/bin/python" -m pytest -q -c /dev/null --noconftest --rootdir=. -p no:cacheprovider \
  tests/unit/training
