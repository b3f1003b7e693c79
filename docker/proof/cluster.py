"""compose.yaml's services as chroots on a bridge of their own: each has an address and knows the others by name.

Run as ``python -m proof.cluster`` inside fresh network, mount and process namespaces; all of it vanishes with them.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .chroot import Box, Image, Mount, run, start
from .dockerfile import ProofError


def services(compose: Path, settings: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The services, ``${NAME:-default}`` replaced as compose does."""

    def value(found: re.Match[str]) -> str:
        return settings.get(found[1], found[2])

    text = re.sub(r"\$\{(\w+):-([^}]*)\}", value, compose.read_text("utf-8"))
    found: dict[str, dict[str, Any]] = yaml.safe_load(text)["services"]
    return found


@dataclass(frozen=True)
class Service:
    """What a container of one service is started with."""

    command: list[str]
    box: Box

    @staticmethod
    def of(given: Mapping[str, Any], volumes: Mapping[str, Path], namespace: str | None, extra: list[Mount]) -> Service:
        """Refuses what would make the container freer than the proof's."""
        if given.get("cap_drop") != ["ALL"] or given.get("security_opt") != ["no-new-privileges:true"]:
            raise ProofError("a service keeps privileges")
        mounts = list(extra)
        for volume in given.get("volumes", []):
            if isinstance(volume, dict):
                source, target, ro = volume["source"], volume["target"], bool(volume.get("read_only"))
            else:
                source, target, *mode = volume.split(":")
                ro = mode == ["ro"]
            mounts.append(Mount(volumes.get(source, Path(source)), target, ro))
        box = Box(
            tuple(mounts),
            tuple(given.get("tmpfs", ())),
            bool(given.get("read_only")),
            network=False,
            namespace=namespace,
            hostname=namespace or "",
            shm=given.get("shm_size", "64m"),
        )
        return Service([*given["entrypoint"], *given["command"]], box)


def play(plan: Mapping[str, Any]) -> None:
    """Head, two workers, then the ingest command to its end; prints what it printed."""
    image = Image(Path(plan["root"]), plan["env"], plan["user"], plan["workdir"])
    work, volumes = Path(plan["work"]), {k: Path(v) for k, v in plan["volumes"].items()}
    given = services(Path(plan["compose"]), plan["settings"])
    names = ["head", "worker", "worker2", "ingest"]
    hosts = work / "hosts"
    hosts.write_text("127.0.0.1 localhost\n" + "".join(f"10.0.0.{n} {name}\n" for n, name in enumerate(names, 2)))
    _network(names)
    boxes = {}
    for name in names:
        hostname = work / f"hostname-{name}"
        hostname.write_text(name + "\n")
        extra = [Mount(hosts, "/etc/hosts", True), Mount(hostname, "/etc/hostname", True)]
        boxes[name] = Service.of(given[name.rstrip("2")], volumes, name, extra)
    for name in names[:3]:
        start(image, boxes[name].command, boxes[name].box, work, log=work / f"{name}.log")
        _until_healthy(image, given[name.rstrip("2")]["healthcheck"]["test"], boxes[name].box, work, name)
    print(run(image, boxes["ingest"].command, boxes["ingest"].box, work))


def _until_healthy(image: Image, test: list[str], box: Box, work: Path, name: str) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until:
        try:
            run(image, test[1:], box, work, timeout=60)
        except ProofError:
            time.sleep(2)
        else:
            return
    log = (work / f"{name}.log").read_text("utf-8", "replace").splitlines()
    raise ProofError(f"{name} is not healthy after two minutes: {' | '.join(log[-5:])}")


def _network(names: list[str]) -> None:
    lines = ["mount -t tmpfs tmpfs /run", "ip link set lo up", "ip link add br0 type bridge", "ip link set br0 up"]
    for n, name in enumerate(names, 2):
        lines += [
            f"ip netns add {name}",
            f"ip link add v{n} type veth peer name eth0 netns {name}",
            f"ip link set v{n} master br0 up",
            f"ip -n {name} link set lo up",
            f"ip -n {name} addr add 10.0.0.{n}/24 dev eth0",
            f"ip -n {name} link set eth0 up",
        ]
    subprocess.run(["sh", "-euc", "\n".join(lines)], check=True)


if __name__ == "__main__":
    try:
        play(json.load(sys.stdin))
    except ProofError as e:
        sys.exit(f"{e}")
