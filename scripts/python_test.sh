#!/usr/bin/env bash
# The Python tests, in as many processes as JOBS says. PYTEST adds options, for example "-n0 -x".
set -euo pipefail
cd "$(dirname "$0")/.."

# A file's tests share servers; neighbours stay together until a process has nothing left to do.
# shellcheck disable=SC2086
exec .venv/bin/python -m pytest -n "${JOBS:-$(nproc)}" --dist worksteal ${PYTEST:-}
