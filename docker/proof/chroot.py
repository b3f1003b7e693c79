"""Runs commands in a folder as in a container: namespaces of their own, a chroot, no privileges.

Everything is mounted in the command's own mount namespace and started in its own process namespace, whose first
process dies with this one.  So nothing stays mounted or running, also when the proof is killed.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .dockerfile import ProofError

APART = ("setpriv", "--pdeathsig=KILL", "unshare", "--fork", "--kill-child", "--mount", "--pid")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Mount:
    """A file or folder of this machine that is seen at ``target``."""

    source: Path
    target: str
    read_only: bool = False


@dataclass
class Image:
    """A built image: its files, and what a container of it starts with."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    cmd: list[str] = field(default_factory=list)

    def megabytes(self) -> int:
        """The size of the files, each hard link counted once, as ``docker images`` would say."""
        seen, total = set[tuple[int, int]](), 0
        for folder, _, names in os.walk(self.root):
            for name in names:
                st = os.lstat(os.path.join(folder, name))
                if (st.st_dev, st.st_ino) not in seen:
                    seen.add((st.st_dev, st.st_ino))
                    total += st.st_size
        return round(total / 1e6)


@dataclass(frozen=True)
class Box:
    """How a container is closed in.  ``namespace``: a named network namespace to run in, instead of one of its own."""

    mounts: tuple[Mount, ...] = ()
    tmpfs: tuple[str, ...] = ("/tmp:mode=1777",)
    read_only: bool = True
    network: bool = False
    namespace: str | None = None
    hostname: str = ""
    shm: str = "64m"
    env: Mapping[str, str] = field(default_factory=dict)


def step(image: Image, command: Sequence[str], env: Mapping[str, str], mounts: Sequence[Mount]) -> None:
    """A build step: as the image's user, with the network, and what it writes stays in the image."""
    script = [*_system(image.root, "1g"), *(line for m in mounts for line in _bind(image.root, m))]
    started = _start(image, command, env, script, image.root, ["--ipc", "--uts"], bare=True)
    said, _ = started.communicate()
    if started.returncode:
        last = [line for line in said.splitlines() if line.strip()][-3:]
        raise ProofError(f"exit {started.returncode} of '{shlex.join(command)[:120]}': {' | '.join(last)[:600]}")


def start(
    image: Image, command: Sequence[str], box: Box, scratch: Path, log: Path | None = None
) -> subprocess.Popen[str]:
    """A container: its writes go to memory and are gone with it; no capabilities, none to be gained."""
    root = Path(tempfile.mkdtemp(prefix="box-", dir=scratch))
    script = [
        f"mount -t tmpfs tmpfs {root} && cd {root} && mkdir upper work root",
        f"mount -t overlay overlay -o lowerdir={image.root},upperdir=upper,workdir=work root",
        *_system(root / "root", box.shm),
        *(line for m in box.mounts for line in _bind(root / "root", m)),
    ]
    for place, _, options in (t.partition(":") for t in box.tmpfs):
        script.append(f"mkdir -p root{place} && mount -t tmpfs -o {options or 'mode=1777'} tmpfs root{place}")
    if box.read_only:
        script.append("mount -o remount,ro,bind root")
    if box.hostname:
        script.append(f"hostname {box.hostname}")
    own = ["--ipc", "--uts"]
    if not box.network and not box.namespace:
        own.append("--net")
        script.append("ip link set lo up")
    env = {**image.env, **box.env}
    return _start(image, command, env, script, root / "root", own, bare=False, namespace=box.namespace, log=log)


def run(image: Image, command: Sequence[str], box: Box, scratch: Path, expect: int = 0, timeout: float = 900) -> str:
    """Runs a container to its end; returns what it printed on stdout."""
    started = start(image, command, box, scratch)
    try:
        out, _ = started.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as e:
        started.kill()
        raise ProofError(f"'{shlex.join(command)[:120]}' takes longer than {timeout:.0f} s") from e
    if started.returncode != expect:
        raise ProofError(
            f"exit {started.returncode} of '{shlex.join(command)[:120]}': {' | '.join(out.splitlines()[-4:])}"
        )
    return out


def _start(
    image: Image,
    command: Sequence[str],
    env: Mapping[str, str],
    script: Sequence[str],
    root: Path,
    own: Sequence[str],
    bare: bool,
    namespace: str | None = None,
    log: Path | None = None,
) -> subprocess.Popen[str]:
    uid, _, gid = image.user.partition(":")
    ids = ["setpriv", f"--reuid={uid}", f"--regid={gid or uid}", "--clear-groups"]
    ids.append("--pdeathsig=KILL")  # again: changing the user takes back what --kill-child has set
    if not bare:
        ids += ["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    given = [f"{k}={v}" for k, v in {"PATH": PATH, "HOME": "/root", **env}.items()]
    inner = ["chroot", str(root), *ids, "env", "-i", f"--chdir={image.workdir}", *given, *command]
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    outer = [*inside, *APART, *own, "sh", "-euc", "\n".join([*script, f"exec {shlex.join(inner)}"])]
    out = log.open("wb") if log else subprocess.PIPE
    nothing, both = subprocess.DEVNULL, subprocess.STDOUT
    return subprocess.Popen(outer, stdin=nothing, stdout=out, stderr=both, text=True, errors="replace")


def _system(root: Path, shm: str) -> list[str]:
    """The mounts that every container has: /proc, /sys, a small /dev, /run."""
    nodes = {"null": "1 3", "zero": "1 5", "full": "1 7", "random": "1 8", "urandom": "1 9"}
    return [
        f"mkdir -p {root}/proc {root}/sys {root}/dev {root}/run",
        f"mount -t proc proc {root}/proc",
        f"mount --rbind /sys {root}/sys && mount --make-rslave {root}/sys && mount -o remount,ro,bind {root}/sys",
        f"mount -t tmpfs -o mode=755 tmpfs {root}/dev && mkdir {root}/dev/shm {root}/dev/pts",
        *(f"mknod -m 666 {root}/dev/{name} c {number}" for name, number in nodes.items()),
        f"ln -s /proc/self/fd {root}/dev/fd",
        f"mount -t tmpfs -o mode=1777,size={shm} tmpfs {root}/dev/shm",
        f"mount -t tmpfs -o mode=755 tmpfs {root}/run",
    ]


def _bind(root: Path, mount: Mount) -> list[str]:
    target = f"{root}{mount.target}"
    made = f"mkdir -p {target}" if mount.source.is_dir() else f"mkdir -p $(dirname {target}) && touch {target}"
    ro = [f"mount -o remount,ro,bind {target}"] if mount.read_only else []
    return [f"test -e {target} || {{ {made}; }}", f"mount --bind {mount.source} {target}", *ro]
