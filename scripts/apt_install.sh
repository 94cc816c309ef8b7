#!/usr/bin/env bash
# Installs packages of Debian or Ubuntu if it can: as root, where apt-get is. It never fails;
# whoever needs them says so when they are not there.
#   apt_install.sh PACKAGE...
set -uo pipefail
cd "$(dirname "$0")/.."

[ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || exit 0
mkdir -p build
exec 9>build/.apt.lock
flock 9
echo "installing $*"
{
  apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
} >/dev/null 2>&1
exit 0
