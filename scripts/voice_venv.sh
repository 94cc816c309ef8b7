#!/usr/bin/env bash
# Makes build/voice-venv: what `make setup` installed, with torch and the extra `voice`.
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
# The command as it is with the extra.
printf '#!%s\nfrom sterna_server.cli import main\n\nmain()\n' "$PWD/$venv/bin/python" >"$venv/bin/sterna"
chmod +x "$venv/bin/sterna"
