#!/usr/bin/env bash
# Installs llama.cpp from its PyPI package into build/llama-cpp-venv, compiled for this machine.
# It takes about ten minutes of one core, once; JOBS=N uses more. Only benchmarks/peers.py needs it.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=build/llama-cpp-venv
if "$venv/bin/python" -c "import gguf, llama_cpp" 2>/dev/null; then
  echo "$venv is ready"
  exit 0
fi
python3 -m venv "$venv"
# The helpers for images and for command lines are left out: they double the compile time.
export CMAKE_ARGS="-DCMAKE_BUILD_TYPE=Release -DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_OPENSSL=OFF"
export CMAKE_BUILD_PARALLEL_LEVEL="${JOBS:-1}"
nice -n 10 "$venv/bin/pip" install --quiet --disable-pip-version-check \
  --no-binary llama-cpp-python --config-settings=build.targets=llama \
  "llama-cpp-python>=0.3.36" "gguf>=0.19"
"$venv/bin/python" -c "
import llama_cpp
print('llama-cpp-python', llama_cpp.__version__)
print(llama_cpp.llama_print_system_info().decode())"
