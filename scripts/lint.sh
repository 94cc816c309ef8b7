#!/usr/bin/env bash
# Every check of style and structure. All of them run; the exit status is 1 when any fails.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH=$PWD/.venv/bin:$PATH

failed=()
check() {
  local name=$1
  shift
  if output=$("$@" 2>&1); then
    printf 'ok    %s\n' "$name"
  else
    printf 'FAIL  %s\n%s\n' "$name" "$output"
    failed+=("$name")
  fi
}

native_format() {
  find native -type f \( -name '*.cc' -o -name '*.h' \) -print0 |
    xargs -0 clang-format --dry-run -Werror
}

# Compares with the previous commit; the first commit with a protocol has nothing to break.
protocol_compatible() {
  if ! git cat-file -e HEAD~1:buf.yaml 2>/dev/null; then
    return 0
  fi
  buf breaking --against '.git#ref=HEAD~1'
}

check "ruff check" ruff check .
check "ruff format" ruff format --check .
check "clang-format" native_format
check "import rules" lint-imports
check "buf lint" buf lint
check "buf format" buf format --diff --exit-code
check "buf breaking" protocol_compatible
check "container image" hadolint deploy/container/Dockerfile
check "dashboard is current" python scripts/make_dashboard.py --check
check "stubs are current" python scripts/generate_stubs.py --check

if [ ${#failed[@]} -gt 0 ]; then
  echo "lint: ${#failed[@]} failed: ${failed[*]}"
  exit 1
fi
echo "lint: all clean"
