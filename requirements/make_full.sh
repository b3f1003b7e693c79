#!/bin/sh
# make_full.sh PYTHON DIR [ENV]: a virtual environment DIR for the tests of the torch engines.
# With ENV it is laid over that environment, which brings torch and the engines and is not changed; without, the extras
# are installed from the package index: several GB.
set -eu
python=$1 dir=$2 env=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")
if [ -n "$env" ]; then
  [ -x "$env/bin/python" ] || { echo "FULL_ENV=$env: no environment, there is no $env/bin/python" >&2; exit 2; }
  python=$env/bin/python
fi
log=$dir.log
mkdir -p "$(dirname "$dir")"
sh "$here/make_venv.sh" "$python" "$dir"
pip() {
  "$dir/bin/python" -m pip --disable-pip-version-check --quiet "$@" >> "$log" 2>&1 || { tail -5 "$log" >&2; echo "see $log" >&2; exit 1; }
}
: > "$log"
pip install --upgrade 'setuptools>=77'
if [ -z "$env" ]; then
  echo "installing the extras into $dir (once; several GB)"
  pip install "$root[full,easyocr,onnx-export,offline,dev]"
else
  echo "laying $dir over $env"
  "$dir/bin/python" - "$env" << 'P'
import subprocess, sys, sysconfig
from pathlib import Path
site = subprocess.run([sys.argv[1] + "/bin/python", "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"],
                      capture_output=True, text=True, check=True).stdout.strip()
Path(sysconfig.get_paths()["purelib"], "full_env.pth").write_text(f"import site; site.addsitedir({site!r})\n")
P
fi
# what is still missing, at our versions; an OpenCV or onnxruntime that is there stays the only one
"$dir/bin/python" - "$here" > "$dir.txt" << 'P'
import importlib.metadata, importlib.util, re, sys
from pathlib import Path
other = {"opencv-python-headless": "cv2", "onnxruntime": "onnxruntime"}
for name in ("embedded.txt", "dev.txt", "full.txt"):
    for line in Path(sys.argv[1], name).read_text().splitlines():
        wanted = re.match(r"[A-Za-z0-9._-]+", line)
        if wanted is None or (wanted[0] in other and importlib.util.find_spec(other[wanted[0]])):
            continue
        try:
            importlib.metadata.version(wanted[0])
        except importlib.metadata.PackageNotFoundError:
            print(line)
P
pip install --no-deps -r "$dir.txt"
pip install --no-deps --no-build-isolation -e "$root"
