#!/usr/bin/env bash
# Builds and runs the native micro-benchmarks. Numbers only; nothing passes or fails here.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH

directory=build/native-bench
cmake -S native -B "$directory" -G Ninja -DSTERNA_BUILD_BENCH=ON \
  -DPython_EXECUTABLE="$PWD/.venv/bin/python" >/dev/null
cmake --build "$directory" --parallel "${JOBS:-$(nproc)}"

found=0
for program in "$directory"/*_bench; do
  [ -x "$program" ] || continue
  found=1
  echo "== $(basename "$program")"
  "$program"
done
[ "$found" -eq 1 ] || { echo "bench: no benchmarks were built" >&2; exit 1; }
