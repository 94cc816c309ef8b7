#!/usr/bin/env bash
# Native tests, then Python tests. Both always run; the exit status is 1 when either fails.
set -uo pipefail
cd "$(dirname "$0")/.."

started=$SECONDS
log=$(mktemp)
trap 'rm -f "$log"' EXIT

echo "== native tests"
scripts/native_test.sh build/native 2>&1 | tee "$log"
native=${PIPESTATUS[0]}
native_line=$(grep -E 'tests passed' "$log" | tail -n 1)

echo "== python tests"
scripts/python_test.sh 2>&1 | tee "$log"
python=${PIPESTATUS[0]}
python_line=$(tail -n 1 "$log")

echo "== summary"
echo "native: ${native_line:-did not run (exit status $native)}"
echo "python: ${python_line}"
echo "wall time: $((SECONDS - started)) s"
[ "$native" -eq 0 ] && [ "$python" -eq 0 ]
