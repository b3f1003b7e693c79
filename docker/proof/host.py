"""What the chroots borrow from this machine: the Debian mirror, pip's settings, the names of hosts."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .dockerfile import ProofError

SUITE = "bookworm"
DIR = "/run/host"
_APT = Path("/etc/apt")


def output(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no words"]
        raise ProofError(f"{command[0]} failed ({done.returncode}): {said[-1][:300]}")
    return done.stdout


def apt_sources(folder: Path = _APT) -> list[tuple[str, str]]:
    """(address, suite) of each of this machine's sources for Debian's :data:`SUITE`, the release itself first."""
    found = []
    for path in [folder / "sources.list", *sorted((folder / "sources.list.d").glob("*"))]:
        if not path.is_file():
            continue
        for block in re.split(r"\n\s*\n", path.read_text("utf-8")):
            fields = dict(re.findall(r"^(URIs|Suites|Components):\s*(.+)$", block, re.M))
            lines = re.findall(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.*)$", block, re.M)
            if "main" in fields.get("Components", "").split():
                lines += [(u, s, "main") for u in fields["URIs"].split() for s in fields["Suites"].split()]
            found += [(u, s) for u, s, parts in lines if s.split("-")[0] == SUITE and "main" in parts.split()]
    found = sorted(set(found), key=lambda source: source[1])
    if not found or found[0][1] != SUITE:
        raise ProofError(f"this machine's apt sources name no mirror of Debian {SUITE}")
    return found


def apt_settings() -> str:
    """This machine's way to its mirrors (proxies, checks of dates), as lines of an apt.conf."""
    wanted = ("Acquire::http", "Acquire::Check")
    return "".join(f"{x}\n" for x in output("apt-config", "dump").splitlines() if x.startswith(wanted))


def pip_settings(python: str = sys.executable) -> tuple[str, dict[Path, str]]:
    """pip's settings here as one pip.conf, and the files and folders that it names: host path -> path in the chroot."""
    mounts, values = dict[Path, str](), dict[str, str]()
    for line in output(python, "-m", "pip", "config", "list").splitlines():  # ':env:' last: it wins
        key, _, value = line.partition("=")
        values[key.rpartition(".")[2]] = " ".join(_inside(w, mounts) for w in ast.literal_eval(value).split())
    return "[global]\n" + "".join(f"{k} = {v}\n" for k, v in sorted(values.items()) if v), mounts


def _inside(word: str, mounts: dict[Path, str]) -> str:
    """``word`` as it must read in the chroot; a path of this machine is noted in ``mounts``."""
    scheme, path = ("file://", word[7:]) if word.startswith("file://") else ("", word)
    if not path.startswith("/") or not os.path.exists(path):
        return word
    host = Path(path.rstrip("/"))
    top = host.parent if scheme else host  # pages of a local index name files beside its folder
    mounts.setdefault(top, f"{DIR}/{len(mounts)}{top.suffix if top.is_file() else ''}")
    return scheme + mounts[top] + (f"/{host.name}" if scheme else "")


def proxies(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Docker hands these to every RUN, too."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {k: v for k, v in environment.items() if k.lower() in names}
