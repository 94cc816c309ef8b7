#!/usr/bin/env bash
# The tests of speech, with the extra `voice`, in an environment of their own: build/voice-venv.
# It adds torch and the speech libraries to what `make setup` installed; nothing is skipped but what
# needs real weights: see tests/voice/test_real_weights.py.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/voice-venv
if [ ! -x "$venv/bin/python" ]; then
  .venv/bin/python -m venv "$venv"
fi
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
base=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
printf 'import site; site.addsitedir("%s")\n' "$base" >"$site/_sterna.pth"
mapfile -t packages < <(.venv/bin/python scripts/requirements.py voice)
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$PWD/constraints.txt
"$venv/bin/python" -m pip install --quiet torch "${packages[@]}"
if [ -z "${STERNA_REAL_WHISPER:-}" ] || [ -z "${STERNA_REAL_TTS:-}" ]; then
  echo "NOT TESTED with real speech weights: set STERNA_REAL_WHISPER and STERNA_REAL_TTS"
fi
# shellcheck disable=SC2086
exec "$venv/bin/python" -m pytest -q -rs tests/voice ${PYTEST:-}
