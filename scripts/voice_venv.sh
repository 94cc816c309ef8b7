#!/usr/bin/env bash
# Makes build/voice-venv: what `make setup` installed, with torch and the extra `voice`.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/training_venv.sh
mapfile -t packages < <(.venv/bin/python scripts/requirements.py voice)
scripts/side_venv.sh build/voice-venv --sees .venv --sees build/training-venv \
  -c constraints.txt torch "${packages[@]}"
