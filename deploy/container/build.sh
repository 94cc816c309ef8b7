#!/bin/sh
# Installs the server and what it needs into a virtual environment of its own, without pip.
#
#   deploy/container/build.sh DIRECTORY [EXTRAS]
#
# It runs from the root of the repository. It needs Python 3.11 or newer with venv and headers, and a
# C++ compiler; on Debian or Ubuntu: apt install python3-venv python3-dev g++. PYTHON names another
# interpreter than python3. The engine chooses its instruction set at run time, so the result runs
# on every processor of this architecture.
set -eu
prefix=$1
extras=${2:-search,otel}

python=${PYTHON:-python3}
"$python" -m venv --without-pip "$prefix"
# A pip that is gone afterwards.
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT
"$python" -m venv "$tools"
# Build requirements are held to the same versions.
PIP_CONSTRAINT="$PWD/constraints.txt"
export PIP_CONSTRAINT
"$tools/bin/python" -m pip --python "$prefix/bin/python" install --no-cache-dir \
  --disable-pip-version-check ./clients/python ".[$extras]"
"$prefix/bin/sterna" version
