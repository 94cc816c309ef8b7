#!/usr/bin/env bash
# The tests of speech, with the extra `voice`, in an environment of their own: build/voice-venv.
# Nothing is skipped but what needs real weights (see tests/voice/test_real_weights.py), and
# espeak-ng where it is not there and cannot be installed.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v espeak-ng >/dev/null && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "test-voice: installing espeak-ng"
  { apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends espeak-ng; } \
    >/dev/null 2>&1 || true
fi
scripts/voice_venv.sh
if [ -z "${STERNA_REAL_WHISPER:-}" ] || [ -z "${STERNA_REAL_TTS:-}" ]; then
  echo "NOT TESTED with real speech weights: set STERNA_REAL_WHISPER and STERNA_REAL_TTS"
fi
# shellcheck disable=SC2086
exec build/voice-venv/bin/python -m pytest -q -rs tests/voice ${PYTEST:-}
