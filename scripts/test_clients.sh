#!/usr/bin/env bash
# Clients that others wrote, for Python and Node.js, each doing its main job against a real server.
# They are installed into build/clients-venv and build/clients-node, in the versions that
# tests/clients names, and share nothing with the server's environment. Nothing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/clients-venv
node=build/clients-node
source=tests/clients

if [ ! -x "$venv/bin/python" ]; then
  .venv/bin/python -m venv "$venv"
fi
PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --quiet \
  --requirement "$source/requirements.txt" --constraint "$source/constraints.txt"
export PATH=$PWD/$venv/bin:$PATH

mkdir -p "$node"
if ! cmp -s "$source/node/package-lock.json" "$node/.installed"; then
  cp "$source/node/package.json" "$source/node/package-lock.json" "$node/"
  npm ci --prefix "$node" --no-audit --no-fund --loglevel=error
  cp "$source/node/package-lock.json" "$node/.installed"
fi
rm -f "$node"/*.test.mjs
cp "$source"/node/*.test.mjs "$node/"

export STERNA_COMMAND=$PWD/.venv/bin/sterna
# shellcheck disable=SC2086
exec "$venv/bin/python" -m pytest -q --confcutdir="$source" "$source" ${PYTEST:-}
