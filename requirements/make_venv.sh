#!/bin/sh
# make_venv.sh PYTHON DIR: a virtual environment, also where Debian's Python came without venv.
set -eu
python=$1 dir=$2
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null || {
  echo "vidrag needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..." >&2
  exit 2
}
if "$python" -c 'import ensurepip, venv' 2> /dev/null; then
  "$python" -m venv "$dir"
elif command -v uv > /dev/null; then
  uv venv --quiet --seed --python "$python" "$dir"
elif command -v virtualenv > /dev/null; then
  virtualenv --quiet --python "$python" "$dir"
elif [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
  echo "this Python came without venv: installing Debian's python3-venv"
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv > /dev/null
  "$python" -m venv "$dir"
else
  echo "this Python came without venv; run: sudo apt install python3-venv" >&2
  exit 2
fi
