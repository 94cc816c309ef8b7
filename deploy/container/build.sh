#!/bin/sh
# Installs the server and what it needs into a virtual environment of its own, without pip.
#
#   deploy/container/build.sh DIRECTORY [EXTRAS]
#
# It runs from the root of the repository. The engine chooses its instruction set at run time, so
# the result runs on every processor of this architecture.
set -eu
prefix=$1
extras=${2:-search,otel}

python -m venv --without-pip "$prefix"
# Build requirements are held to the same versions.
PIP_CONSTRAINT="$PWD/constraints.txt"
export PIP_CONSTRAINT
python -m pip --python "$prefix/bin/python" install --no-cache-dir --disable-pip-version-check \
  ./clients/python ".[$extras]"
"$prefix/bin/sterna" version
