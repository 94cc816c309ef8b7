#!/usr/bin/env bash
# Fuzzes the readers of untrusted files that are Python, one after the other.
#   scripts/fuzz_python.sh [SECONDS_PER_TARGET] [TARGET...]     (default: 60, all targets)
# Findings are written to build/fuzz/crash-*; what was learned stays in build/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-60}
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(gguf tokenizer)

python=$PWD/.venv/bin/python
build=build/fuzz
# Beside the environment, not in it: nothing else needs the fuzzer.
[ -d "$build/tools/atheris" ] || "$python" -m pip install --quiet --target "$build/tools" atheris==3.0.0
export PYTHONPATH=$PWD/$build/tools
for target in "${targets[@]}"; do
  "$python" -m tests.fuzz.seeds "$target" "$build/seeds/$target"
  mkdir -p "$build/corpus/$target"
  echo "== $target, $seconds s"
  "$python" -m "tests.fuzz.${target}_fuzz" -max_total_time="$seconds" -max_len=200000 -timeout=10 \
    -rss_limit_mb=2048 -artifact_prefix="$build/" -print_final_stats=1 \
    "$build/corpus/$target" "$build/seeds/$target" 2>&1 |
    grep -vE '^(#|"|INFO: )|NEW_FUNC' || [ "${PIPESTATUS[0]}" -eq 0 ]
done
