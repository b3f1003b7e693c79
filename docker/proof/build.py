"""Executes a Dockerfile's instructions, in order, in copies of a Debian base."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from . import host
from .chroot import PATH, Image, Mount, step
from .dockerfile import Copy, Ignore, Instruction, ProofError, expand, parse, parse_copy

Say = Callable[[str], None]
_SLIM = "\n".join(f"path-exclude /usr/share/{x}/*" for x in ("doc", "man", "info", "locale", "groff", "lintian"))
_CLEAN = """DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";
"""  # as in Debian's images


def debian_base(cache: Path, say: Say) -> Path:
    """A minimal Debian like the ``-slim`` images, made once by debootstrap from this machine's mirror."""
    base = cache / f"{host.SUITE}-slim"
    if base.is_dir():
        return base
    if not shutil.which("debootstrap"):
        raise ProofError("debootstrap is not installed: apt-get install debootstrap")
    began, part = time.monotonic(), cache / f"{host.SUITE}-slim.part"
    shutil.rmtree(part, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    sources = host.apt_sources()
    host.output("debootstrap", "--variant=minbase", host.SUITE, str(part), sources[0][0])
    (part / "etc/apt/sources.list").write_text("".join(f"deb {uri} {suite} main\n" for uri, suite in sources))
    (part / "etc/dpkg/dpkg.cfg.d/slim").write_text(_SLIM + "\n")
    (part / "etc/apt/apt.conf.d/docker-clean").write_text(_CLEAN)
    for place in ("var/cache/apt/archives", "var/lib/apt/lists", *(f"usr/share/{x}" for x in ("doc", "man", "locale"))):
        shutil.rmtree(part / place, ignore_errors=True)
        (part / place).mkdir()
    part.rename(base)
    say(f"base: Debian {host.SUITE} in {time.monotonic() - began:.0f} s")
    return base


class Builder:
    """Builds one Dockerfile; the folders of its stages lie in ``work``."""

    def __init__(self, base: Path, work: Path, context: Path, say: Say) -> None:
        self.base, self.work, self.context, self.say = base, work, context, say
        self._files = Ignore((context / ".dockerignore").read_text("utf-8")).files(context)
        self._stages: dict[str, Image] = {}
        self._args: dict[str, str] = {}
        self._image: Image | None = None

    def build(self, dockerfile: Path) -> Image:
        """The image of the last stage."""
        outer = dict[str, str]()
        with _borrowed(self.work) as (env, mounts):
            for instruction in parse(dockerfile.read_text("utf-8")):
                where = f"{dockerfile.name}:{instruction.line}"
                try:
                    if instruction.name == "ARG" and self._image is None:
                        outer |= instruction.pairs({})
                    elif instruction.name == "FROM":
                        self._from(instruction, outer)
                    else:
                        self._do(instruction, where, env, mounts)
                except ProofError as e:
                    raise ProofError(f"{where}: {e}") from e
        return self._now

    @property
    def _now(self) -> Image:
        if self._image is None:
            raise ProofError("an instruction before FROM")
        return self._image

    def _from(self, instruction: Instruction, outer: Mapping[str, str]) -> None:
        name, *alias = expand(instruction.value, outer).split()
        if name != f"debian:{host.SUITE}-slim":
            raise ProofError(f"the proof has a debian:{host.SUITE}-slim only, not {name}")
        label = alias[1] if len(alias) == 2 else f"stage{len(self._stages)}"
        root = self.work / label
        host.output("cp", "-a", str(self.base), str(root))
        self._image = self._stages[label] = Image(root)
        self._args = {}

    def _do(self, instruction: Instruction, where: str, env: Mapping[str, str], mounts: list[Mount]) -> None:
        image, known = self._now, {**self._args, "PATH": "", **self._now.env}
        match instruction.name:
            case "ARG":
                self._args |= instruction.pairs(known)
            case "ENV":
                image.env |= instruction.pairs({**known, "PATH": image.env.get("PATH", PATH)})
            case "USER":
                image.user = expand(instruction.value, known)
            case "WORKDIR":
                image.workdir = expand(instruction.value, known)
                (image.root / image.workdir.lstrip("/")).mkdir(parents=True, exist_ok=True)
            case "ENTRYPOINT":
                image.entrypoint, image.cmd = instruction.words(), []
            case "CMD":
                image.cmd = instruction.words()
            case "COPY":
                self._copy(image, parse_copy(instruction, known))
            case "RUN":
                began = time.monotonic()
                step(image, ["/bin/sh", "-c", instruction.value], {**self._args, **env, **image.env}, mounts)
                self.say(f"{where}: RUN {instruction.value[:60]}... ({time.monotonic() - began:.0f} s)")
            case "LABEL":
                instruction.pairs(known)

    def _copy(self, image: Image, copy: Copy) -> None:
        target = image.root / os.path.join(image.workdir, copy.target).lstrip("/")
        for source in copy.sources:
            if copy.stage is not None:
                if copy.stage not in self._stages:
                    raise ProofError(f"no stage named {copy.stage}")
                origin = self._stages[copy.stage].root / source.lstrip("/")
                names = None
            else:
                origin = self.context / source
                names = [f for f in self._files if f == source or f.startswith(source.rstrip("/") + "/")]
                if not names:
                    raise ProofError(f"COPY {source}: not in the build context (see .dockerignore)")
            place = target / origin.name if copy.target.endswith("/") and not origin.is_dir() else target
            place.parent.mkdir(parents=True, exist_ok=True)
            if names is None:
                host.output("cp", "-a", f"{origin}/." if origin.is_dir() else str(origin), str(place))
            else:
                _from_context(self.context, names, origin, place)
            if copy.owner:
                host.output("chown", "-R", copy.owner, str(place))


def _from_context(context: Path, names: list[str], origin: Path, place: Path) -> None:
    """Files of the build context belong to root in the image; modes stay."""
    for name in names:
        source = context / name
        target = place / source.relative_to(origin) if origin.is_dir() else place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, target)
        os.chown(target, 0, 0)


@contextmanager
def _borrowed(work: Path) -> Iterator[tuple[dict[str, str], list[Mount]]]:
    """What a build step gets from this machine and leaves no trace of: name service, proxies, pip's settings."""
    text, named = host.pip_settings()
    (work / "pip.conf").write_text(text)
    (work / "apt.conf").write_text(host.apt_settings())
    mounts = [Mount(work / n, f"{host.DIR}/{n}", True) for n in ("pip.conf", "apt.conf")]
    mounts += [Mount(source, target, True) for source, target in named.items()]
    mounts += [Mount(Path(p), p, True) for p in ("/etc/resolv.conf", "/etc/hosts") if Path(p).exists()]
    yield {"PIP_CONFIG_FILE": f"{host.DIR}/pip.conf", "APT_CONFIG": f"{host.DIR}/apt.conf", **host.proxies()}, mounts
