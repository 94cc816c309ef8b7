#!/usr/bin/env bash
# The tests of the pages that the server serves, in a real browser without a window.
# Needs Chromium: STERNA_CHROMIUM, or one on PATH; as root on Debian it installs one.
#   test_browser.sh [--prepare]     (--prepare: only installs that)
set -euo pipefail
cd "$(dirname "$0")/.."

find_chromium() {
  local name
  for name in "${STERNA_CHROMIUM:-}" chromium-headless-shell chromium chromium-browser google-chrome; do
    [ -n "$name" ] && command -v "$name" && return
  done
  return 1
}

find_chromium >/dev/null || scripts/apt_install.sh chromium-headless-shell
[ "${1:-}" = --prepare ] && exit
STERNA_CHROMIUM=$(find_chromium) || {
  echo "test-browser: no Chromium here; install the package chromium-headless-shell or chromium, or \
name one in STERNA_CHROMIUM" >&2
  exit 1
}
export STERNA_CHROMIUM

tools=build/browser-tools
if [ ! -d "$tools/playwright" ]; then
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --target "$tools" \
    -c constraints.txt playwright
fi
# shellcheck disable=SC2086
PYTHONPATH=$PWD/$tools exec .venv/bin/python -m pytest -q tests/browser ${PYTEST:-}
