#!/usr/bin/env bash
# Makes an environment beside .venv, or brings it up to date:
#   side_venv.sh DIRECTORY [--sees OTHER]... PIP_INSTALL_ARGUMENT...
# What an OTHER environment holds can be imported in this one and is not installed again.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=$1
shift
others=()
while [ "${1:-}" = --sees ]; do
  others+=("$2")
  shift 2
done
export PIP_DISABLE_PIP_VERSION_CHECK=1

# Two at once would install over each other.
mkdir -p "$(dirname "$venv")"
exec 9>"$venv.lock"
flock 9

# An environment that was left half made has an interpreter and no pip.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
  "$(scripts/find_python.sh)" -m venv --clear "$venv"
fi
# Where Python packages of an environment are.
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
for other in "${others[@]}"; do
  printf 'import site; site.addsitedir("%s")\n' "$(packages "$other")"
done >"$(packages "$venv")/_sterna.pth"
case " ${others[*]} " in
  *" .venv "*)
    # The command as it is with what this environment adds.
    printf '#!%s\nfrom sterna_server.cli import main\n\nmain()\n' "$PWD/$venv/bin/python" \
      >"$venv/bin/sterna"
    chmod +x "$venv/bin/sterna"
    ;;
esac
"$venv/bin/python" -m pip install --quiet "$@"
