#!/usr/bin/env bash
# Monitoring with the real programs: Prometheus' own checks of its configuration, of the alerts and
# of a server's page; when each alert fires (tests/deploy/alerts_test.yml); and every panel of the
# dashboard against a server under load (tests/deploy/test_prometheus.py). Needs prometheus and
# promtool; as root on Debian or Ubuntu it installs them.
#
#   test_prometheus.sh [--if-possible]
#
# Without the programs and without a way to get them this fails; with --if-possible it says so in
# one line and exits 0.
set -euo pipefail
cd "$(dirname "$0")/.."

have_tools() { command -v prometheus >/dev/null && command -v promtool >/dev/null; }

if ! have_tools && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "test-prometheus: installing prometheus"
  # The package would start a server of its own; a policy keeps it from doing so.
  policy=/usr/sbin/policy-rc.d
  [ -e "$policy" ] || { printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy" && ours=1; }
  { apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends prometheus; } \
    >/dev/null 2>&1 || true
  [ -z "${ours:-}" ] || rm -f "$policy"
fi
if ! have_tools; then
  echo "test-prometheus: NOT RUN: no prometheus and promtool here; install the package prometheus" >&2
  [ "${1:-}" = --if-possible ] && exit 0
  exit 1
fi

promtool check config deploy/prometheus/prometheus.yml
promtool check rules --lint=all --lint-fatal deploy/prometheus/alerts.yml
promtool test rules tests/deploy/alerts_test.yml
export STERNA_TEST_PROMETHEUS=1
# shellcheck disable=SC2086
exec .venv/bin/python -m pytest -q -rs tests/deploy/test_prometheus.py ${PYTEST:-}
