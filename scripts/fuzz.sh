#!/usr/bin/env bash
# Fuzzes every reader of untrusted files, one after the other.
#   scripts/fuzz.sh [SECONDS_PER_TARGET] [TARGET...]     (default: 60, all targets)
# Needs clang with libFuzzer (Debian: apt-get install clang libclang-rt-14-dev). Findings are
# written to build/fuzz/crash-*; what was learned stays in build/fuzz/corpus for the next run.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in native/fuzz/*_fuzz.cc; do
    target=$(basename "$source" _fuzz.cc)
    targets+=("$target")
  done
fi

build=build/fuzz
python=$(command -v python3)
[ -x .venv/bin/python ] && python=$PWD/.venv/bin/python
# The library, too, must tell the fuzzer which branches an input takes.
cmake -S native -B "$build" \
  -DCMAKE_CXX_COMPILER="${CXX:-clang++}" -DCMAKE_BUILD_TYPE=RelWithDebInfo \
  -DCMAKE_CXX_FLAGS="-fsanitize=fuzzer-no-link -fno-sanitize-recover=undefined" \
  -DPython_EXECUTABLE="$python" \
  -DSTERNA_SANITIZE=address,undefined -DSTERNA_BUILD_FUZZERS=ON >/dev/null
for target in "${targets[@]}"; do
  cmake --build "$build" --parallel 2 --target "${target}_fuzz" >/dev/null
  mkdir -p "$build/corpus/$target"
  options=(-max_total_time="$seconds" -max_len=16384 -timeout=10 -rss_limit_mb=1024
    -malloc_limit_mb=256 -artifact_prefix="$build/" -print_final_stats=1)
  if [ "$target" != config ]; then
    options+=(-dict=native/fuzz/safetensors.dict)
  fi
  echo "== $target, $seconds s"
  "$build/${target}_fuzz" "${options[@]}" "$build/corpus/$target" "native/fuzz/corpus/$target" \
    2>&1 | grep -vE '^(#|"|INFO: )|NEW_FUNC' || [ "${PIPESTATUS[0]}" -eq 0 ]
done
