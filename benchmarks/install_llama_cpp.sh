#!/usr/bin/env bash
# Installs llama.cpp from its PyPI package into build/llama-cpp/venv, compiled for this machine.
# It takes about eight minutes of one core, once; JOBS=N uses more. Only benchmarks/peers.py needs it.
set -euo pipefail
cd "$(dirname "$0")/.."
version=0.3.36

work=$PWD/build/llama-cpp
venv=$work/venv
if "$venv/bin/python" -c "import gguf, llama_cpp" 2>/dev/null; then
  echo "$venv is ready"
  exit 0
fi
python3 -m venv "$venv"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@"; }
# Unpacked here and not by pip, so that a build that was interrupted goes on where it was.
source=$work/llama_cpp_python-$version
if [ ! -f "$source/CMakeLists.txt" ]; then
  pip download --quiet --no-deps --no-binary :all: --dest "$work" "llama-cpp-python==$version"
  tar -x -C "$work" -f "$source.tar.gz"
fi
# What only command lines and images need is left out: it doubles the compile time.
export CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF"
export CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-1}"
nice -n 10 "$venv/bin/python" -m pip --disable-pip-version-check install --quiet \
  --config-settings=build-dir="$work/build" --config-settings=cmake.verbose=false \
  --config-settings="build.targets=llama;llama-common" "$source" "gguf>=0.19"
"$venv/bin/python" -c "
import llama_cpp
print('llama-cpp-python', llama_cpp.__version__)
print(llama_cpp.llama_print_system_info().decode())"
