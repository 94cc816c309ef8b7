#!/usr/bin/env bash
# Clients that others wrote, for Python and Node.js, each doing its main job against a real server.
# They are installed into build/clients-venv and build/clients-node, in the versions that
# tests/clients names, and share nothing with the server's environment. Nothing is skipped.
#   test_clients.sh [--prepare]     (--prepare: only installs them)
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/clients-venv
node=build/clients-node
source=tests/clients

scripts/side_venv.sh "$venv" \
  --requirement "$source/requirements.txt" --constraint "$source/constraints.txt"
export PATH=$PWD/$venv/bin:$PATH

mkdir -p "$node"
exec 9>"$node.lock"
flock 9
if ! cmp -s "$source/node/package-lock.json" "$node/.installed"; then
  cp "$source/node/package.json" "$source/node/package-lock.json" "$node/"
  npm ci --prefix "$node" --no-audit --no-fund --loglevel=error
  cp "$source/node/package-lock.json" "$node/.installed"
fi
exec 9>&-
[ "${1:-}" = --prepare ] && exit
rm -f "$node"/*.test.mjs
cp "$source"/node/*.test.mjs "$node/"

export STERNA_COMMAND=$PWD/.venv/bin/sterna
# shellcheck disable=SC2086
exec "$venv/bin/python" -m pytest -q --confcutdir="$source" "$source" ${PYTEST:-}
