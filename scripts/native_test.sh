#!/usr/bin/env bash
# Builds and runs the native tests: native_test.sh BUILD_DIRECTORY [SANITIZERS]
set -euo pipefail
cd "$(dirname "$0")/.."

directory=$1
sanitizers=${2:-}
jobs=${JOBS:-$(nproc)}
export PATH=$PWD/.venv/bin:$PATH

# `make setup` has compiled the engine already, with the same options; the sanitizers need their own.
engine=
if [ -z "$sanitizers" ]; then
  for built in "build/$(python -c 'import sys; print("cp{}{}".format(*sys.version_info))')"-*; do
    [ -f "$built/CMakeCache.txt" ] || continue
    cmake --build "$built" --parallel "$jobs" --target sterna_engine
    engine=$PWD/$built/libsterna_engine.a
  done
fi

mkdir -p "$directory"
cmake -S native -B "$directory" -G Ninja \
  -DSTERNA_BUILD_TESTS=ON -DSTERNA_BUILD_BENCH=ON -DSTERNA_SANITIZE="$sanitizers" \
  -DSTERNA_ENGINE_LIBRARY="$engine" \
  -DPython_EXECUTABLE="$PWD/.venv/bin/python" >"$directory/configure.log" ||
  { cat "$directory/configure.log" >&2; exit 1; }
# The benchmarks, too: nothing else would notice that they no longer compile.
cmake --build "$directory" --parallel "$jobs"
ctest --test-dir "$directory" --output-on-failure --no-tests=error --parallel "$jobs"
