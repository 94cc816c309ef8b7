#!/usr/bin/env bash
# The tests of speech, with the extra `voice`, in an environment of their own: build/voice-venv.
# Nothing is skipped but what needs real weights (see tests/voice/test_real_weights.py), and
# espeak-ng where it is not there and cannot be installed.
#   test_voice.sh [--prepare]     (--prepare: only installs espeak-ng, which needs no environment)
set -euo pipefail
cd "$(dirname "$0")/.."

command -v espeak-ng >/dev/null || scripts/apt_install.sh espeak-ng
[ "${1:-}" = --prepare ] && exit
scripts/voice_venv.sh
if [ -z "${STERNA_REAL_WHISPER:-}" ] || [ -z "${STERNA_REAL_TTS:-}" ]; then
  echo "NOT TESTED with real speech weights: set STERNA_REAL_WHISPER and STERNA_REAL_TTS"
fi
# shellcheck disable=SC2086
exec build/voice-venv/bin/python -m pytest -q -rs tests/voice \
  tests/fault/test_kill_loop.py ${PYTEST:-}
