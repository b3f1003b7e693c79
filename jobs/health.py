"""What is installed and usable on this machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from ..ingest.decoder.confine import landlock_version
from ..store import engines
from ..store.cache_dir import cache_dir
from ..store.engines import devices
from ..store.errors import VidragError, one_line
from ..store.weights import models
from . import build, machine
from .places import local_gpus
from .profile import Profile


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at; ``needed`` by the profile; ``detail`` says what is there, or how to get it."""

    what: str
    ok: bool
    needed: bool
    detail: str


def checks(profile: Profile) -> list[Check]:
    """Every check, in reading order.  Loads no model and opens no socket."""
    return [*_machine(), *_decoder(), *_engines(profile), *_weights(profile), *_devices(profile), *_ray()]


def _machine() -> Iterator[Check]:
    yield Check("python", sys.version_info >= (3, 11), True, f"{platform.python_version()} on {platform.machine()}")
    free = shutil.disk_usage(cache_dir().anchor).free / 1e9
    yield Check("cores", True, False, f"{machine.available().cpus:g}; {free:.0f} GB of disk free")


def _decoder() -> Iterator[Check]:
    have = importlib.util.find_spec("av") is not None
    yield Check("PyAV", have, True, importlib.metadata.version("av") if have else "pip install 'vidrag[ingest]'")
    version = landlock_version()
    told = f"Landlock {version}" if version else "this kernel has no Landlock: the decoder may read other files"
    yield Check("confined decoder", bool(version), False, told)


def _engines(profile: Profile) -> Iterator[Check]:
    for kind in engines.KINDS:
        chosen = build.choice_of(profile, kind).name
        for info in engines.available(kind):
            detail = (
                f"from {info.distribution}"
                if not info.missing
                else (f"needs {', '.join(info.missing)}: pip install 'vidrag[{info.extra}]'")
            )
            mark = " (profile)" if info.name == chosen else ""
            yield Check(f"{kind} {info.name}{mark}", not info.missing, info.name == chosen, detail)


def weights_of(profile: Profile) -> list[str]:
    """References of all weights that the engines of a profile read."""
    return sorted({ref for kind in engines.KINDS for ref in _refs(profile, kind)})


def _weights(profile: Profile) -> Iterator[Check]:
    for ref in weights_of(profile):
        try:
            yield Check(f"weights {ref}", True, True, models.check(ref))
        except VidragError as e:
            yield Check(f"weights {ref}", False, True, one_line(e).removeprefix(f"weights '{ref}' "))


def _refs(profile: Profile, kind: engines.Kind) -> list[str]:
    choice = build.choice_of(profile, kind)
    cls = engines.find(kind, choice.name)
    return list(cls.weights(engines.options(kind, choice.name, choice.options)))


def _devices(profile: Profile) -> Iterator[Check]:
    """GPUs, where the profile wants any: for its workers, or by name for an engine."""
    count = len(local_gpus())
    pools = {n: p.gpus for n, p in profile.pools.items() if p.gpus}
    if pools:
        lacking = "none found; a cluster's are not looked at. On CPUs: " + " ".join(
            f"--set pools.{n}.gpus=0" for n in pools
        )
        yield Check("GPUs", count > 0, False, str(count) if count else lacking)
    for kind in engines.KINDS:
        wanted = build.device_of(build.choice_of(profile, kind))
        if not wanted:
            continue
        try:
            yield Check(f"device {wanted} for {kind}", True, True, devices.device(wanted))
        except VidragError as e:
            yield Check(f"device {wanted} for {kind}", False, True, one_line(e))


def _ray() -> Iterator[Check]:
    have = importlib.util.find_spec("ray") is not None
    detail = importlib.metadata.version("ray") if have else "pip install 'vidrag[ray]'; --no-ray works without"
    yield Check("ray", have, False, detail)
