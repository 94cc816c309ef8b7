#!/usr/bin/env bash
# Prints the interpreter that environments are made with: that of .venv when there is one, else
# STERNA_PYTHON, else the newest that this machine has. Fails with a remedy when there is none.
set -euo pipefail
cd "$(dirname "$0")/.."

in_range() {
  "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' >/dev/null 2>&1
}

for candidate in "$PWD/.venv/bin/python" ${STERNA_PYTHON:-python3.13 python3.12 python3.11 python3}; do
  if in_range "$candidate"; then
    printf '%s\n' "$candidate"
    exit
  fi
done
if [ -n "${STERNA_PYTHON:-}" ]; then
  echo "setup: STERNA_PYTHON=$STERNA_PYTHON is not a working Python 3.11, 3.12 or 3.13." >&2
else
  echo "setup: Python 3.11, 3.12 or 3.13 is needed and none was found. On Debian or Ubuntu: sudo apt install python3 python3-venv python3-dev" >&2
fi
exit 1
