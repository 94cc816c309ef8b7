#!/usr/bin/env bash
# Makes build/training-venv: what the training needs, torch above all, and pytest.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/side_venv.sh build/training-venv \
  -r training/requirements.txt -c constraints.txt pytest pytest-timeout
