#!/usr/bin/env bash
# Cross-compiles the engine for 64-bit Arm and runs the kernel tests under qemu, NEON against the
# reference. Needs g++-aarch64-linux-gnu and qemu-user; as root on Debian or Ubuntu it installs them.
#
#   test_neon.sh [--if-possible | --prepare]
#
# Without the tools and without a way to get them this fails; with --if-possible it says so in one
# line and exits 0. With --prepare it only installs them.
set -euo pipefail
cd "$(dirname "$0")/.."

have_tools() {
  command -v aarch64-linux-gnu-g++ >/dev/null &&
    { command -v qemu-aarch64-static >/dev/null || command -v qemu-aarch64 >/dev/null; }
}

have_tools ||
  scripts/apt_install.sh g++-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
[ "${1:-}" = --prepare ] && exit

if ! have_tools; then
  missing="test-neon: NOT RUN: no aarch64-linux-gnu-g++ and qemu-aarch64 here; install the packages \
g++-aarch64-linux-gnu and qemu-user-static"
  echo "$missing" >&2
  [ "${1:-}" = --if-possible ] && exit 0
  exit 1
fi

directory=${STERNA_NEON_BUILD:-build/native-neon}
jobs=${JOBS:-$(nproc)}
python=${PYTHON:-$PWD/.venv/bin/python}
export PATH=$PWD/.venv/bin:$PATH

mkdir -p "$directory"
cmake -S native -B "$directory" -G Ninja \
  -DCMAKE_TOOLCHAIN_FILE="$PWD/native/cmake/aarch64-toolchain.cmake" \
  -DSTERNA_BUILD_TESTS=ON -DPython_EXECUTABLE="$python" >"$directory/configure.log" ||
  { cat "$directory/configure.log" >&2; exit 1; }

targets=()
for source in native/tests/kernels_*_test.cc; do
  targets+=("$(basename "$source" .cc)")
done
cmake --build "$directory" --parallel "$jobs" --target "${targets[@]}"
ctest --test-dir "$directory" --output-on-failure --no-tests=error --parallel "$jobs" -R '^kernels_'
