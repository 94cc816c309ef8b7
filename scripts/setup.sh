#!/usr/bin/env bash
# Creates .venv, installs both distributions in place and builds the extension.
#
# A stamp holds a digest of everything the result depends on, so that a second run costs well
# under a second. Set STERNA_PYTHON to choose the interpreter of a new environment.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/.sterna-setup

fail() {
  printf 'setup: %s\n' "$1" >&2
  exit 1
}

# What the environment is made of, and what the extension is compiled from.
digest() {
  {
    sha256sum pyproject.toml constraints.txt clients/python/pyproject.toml scripts/setup.sh
    find native/include native/src native/bindings native/CMakeLists.txt -type f -print0 2>/dev/null |
      LC_ALL=C sort -z | xargs -0 sha256sum
  } | sha256sum | cut -d' ' -f1
}

check_toolchain() {
  local python=$1 version
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "$python" -c 'import venv, ensurepip' >/dev/null 2>&1 ||
    fail "$python cannot make virtual environments. On Debian or Ubuntu: sudo apt install python$version-venv"
  "$python" -c 'import pathlib, sys, sysconfig
sys.exit(not (pathlib.Path(sysconfig.get_paths()["include"]) / "Python.h").is_file())' ||
    fail "the headers of $python are missing. On Debian or Ubuntu: sudo apt install python$version-dev"
  if ! command -v "${CXX:-c++}" >/dev/null 2>&1; then
    fail "no C++ compiler (${CXX:-c++}) was found. On Debian or Ubuntu: sudo apt install g++"
  fi
  echo 'int main() { auto f = []<class T>(T x) { return x; }; return f(0); }' |
    "${CXX:-c++}" -std=c++20 -x c++ -fsyntax-only - 2>/dev/null ||
    fail "${CXX:-c++} does not compile C++20; gcc 11 or clang 14 is needed. On Debian or Ubuntu: sudo apt install g++"
}

wanted=$(digest)
if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && [ -x "$venv/bin/python" ]; then
  exit 0
fi

# Two setups at once would install over each other.
mkdir -p build
exec 9>build/.setup.lock
flock 9

python=$(scripts/find_python.sh)
if [ -e "$venv" ] && [ "$python" != "$PWD/$venv/bin/python" ]; then
  echo "setup: .venv holds an unusable Python; making it anew"
  rm -rf "$venv"
fi
check_toolchain "$python"
if [ ! -x "$venv/bin/python" ]; then
  echo "setup: creating .venv with $("$python" --version)"
  "$python" -m venv "$venv"
fi

export PATH=$PWD/$venv/bin:$PATH
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=$PWD/constraints.txt
pip() { "$venv/bin/python" -m pip --quiet "$@"; }

# Dependencies first, without the project itself: they are read from pyproject.toml, so that the
# list stands in one place.
echo "setup: installing dependencies"
mapfile -t requirements < <("$venv/bin/python" scripts/requirements.py)
pip install "${requirements[@]}"

echo "setup: installing sterna and building sterna-server (the first build takes a few minutes)"
pip install --no-deps --no-build-isolation --editable clients/python
pip install --no-deps --no-build-isolation --editable . ||
  fail "the native extension did not build; the compiler's messages are above."

printf '%s\n' "$wanted" >"$stamp"
echo "setup: done"
