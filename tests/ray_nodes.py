"""A Ray cluster of several nodes on this machine: child processes, stopped by process id."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

RAY = [str(script)] if (script := Path(sys.executable).with_name("ray")).exists() else [
    sys.executable, "-c", "import sys; sys.argv[0] = 'ray'; from ray.scripts.scripts import main; main()"
]  # fmt: skip
_STORE = 80 << 20


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Nodes:
    """A head without CPUs and any number of nodes with one or more.  Use as a context manager.

    ``grows_to``: so many nodes of one CPU come and go with the demand, started by Ray's autoscaler with a provider of
    machines that are processes.
    """

    def __init__(self, env: dict[str, str], dashboard: bool = False, grows_to: int = 0) -> None:
        self.port = free_port()
        self.address = f"{_own_address()}:{self.port}"
        self._folder = tempfile.TemporaryDirectory(prefix="ray-")
        self.env = {**env, "RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
        self.token = {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.env |= {**self.token, "RAY_AUTH_MODE": "token"}
        self.env |= {"RAY_health_check_failure_threshold": "3", "RAY_health_check_period_ms": "1000"}
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.dashboard = free_port() if dashboard else None
        shown = ["--include-dashboard=true", f"--dashboard-port={self.dashboard}", "--dashboard-host=127.0.0.1"]
        more = shown if dashboard else ["--include-dashboard=false"]
        if grows_to:
            config = Path(self._folder.name) / "autoscaler.json"
            config.write_text(json.dumps(_autoscaler(self.address, grows_to)))
            more.append(f"--autoscaling-config={config}")
            self.env |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1"}
        self.head = self._start(
            "--head", f"--port={self.port}", "--num-cpus=0", f"--temp-dir={self._folder.name}", *more
        )

        host, port = self.address.split(":")
        end = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((host, int(port)), 1).close()
                return
            except OSError:
                assert time.monotonic() < end, "the head does not answer"
                time.sleep(0.2)

    def _start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        command = [
            *RAY,
            "start",
            *arguments,
            f"--object-store-memory={_STORE}",
            "--block",
        ]
        quiet = subprocess.DEVNULL
        own = {**self.env, **(env or {})}
        return subprocess.Popen(
            command, cwd=own.get("PWD"), env=own, stdout=quiet, stderr=quiet, start_new_session=True
        )

    def add(self, cpus: int = 1, env: Mapping[str, str] | None = None, **resources: float) -> subprocess.Popen[bytes]:
        """``env``: what differs in the environment of this node and its workers."""
        more = [f"--num-gpus={resources['gpus']:g}"] if "gpus" in resources else []
        node = self._start(f"--address={self.address}", f"--num-cpus={cpus}", *more, env=env)
        self.nodes.append(node)
        return node

    def wait_for(self, cpus: int, seconds: float = 90) -> None:
        """Until so many CPUs have joined; asked in a process of its own, so that nothing here is connected."""
        code = f"import ray; ray.init('{self.address}', logging_level='ERROR', log_to_driver=False)"
        code += "; print(int(ray.cluster_resources().get('CPU', 0)))"
        end = time.monotonic() + seconds
        found = b""
        while time.monotonic() < end:
            ran = subprocess.run(
                [sys.executable, "-c", code], env=self.env, capture_output=True, timeout=120, check=False
            )
            found = ran.stdout
            if ran.returncode == 0 and int(found.split()[-1]) >= cpus:
                return
            time.sleep(0.5)
        raise AssertionError(f"the cluster has not grown to {cpus} CPUs within {seconds} s ({found!r})")

    def kill(self, node: subprocess.Popen[bytes]) -> None:
        """Ends a node and all that runs on it, as a power cut would."""
        for pid in [*_below(node.pid), node.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        node.wait()
        if node in self.nodes:
            self.nodes.remove(node)

    def workers(self) -> list[int]:
        """Process ids of the actors that ingest."""
        import psutil

        found = []
        for node in (self.head, *self.nodes):
            for pid in _below(node.pid):
                with contextlib.suppress(psutil.Error):
                    if "ray::Worker" in " ".join(psutil.Process(pid).cmdline()):
                        found.append(pid)
        return found

    def __enter__(self) -> Nodes:
        return self

    def __exit__(self, *_: object) -> None:
        for node in [*self.nodes, self.head]:
            self.kill(node)
        self._folder.cleanup()


def _autoscaler(address: str, most: int) -> dict[str, object]:
    """The configuration of an autoscaler; its checks want every key."""
    lists = ("initialization", "setup", "head_setup", "worker_setup", "head_start_ray", "worker_start_ray")
    provider = ("use_node_id_as_ip", "disable_node_updaters", "disable_launch_config_check", "launch_multiple")
    resources = {"CPU": 1, "object_store_memory": _STORE}  # the provider takes no memory
    return {
        "cluster_name": "test",
        "max_workers": most,
        "provider": {"type": "fake_multinode", "gcs_address": address, **dict.fromkeys(provider, True)},
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "small": {"resources": resources, "node_config": {}, "min_workers": 0, "max_workers": most},
        },
        "head_node_type": "ray.head.default",
        "idle_timeout_minutes": 0.05,
        "auth": {},
        "file_mounts": {},
        "file_mounts_sync_continuously": False,
        **{f"{n}_commands": [] for n in lists},
        **{n: [] for n in ("cluster_synced_files", "rsync_exclude", "rsync_filter")},
    }


def _own_address() -> str:
    """The address that Ray's nodes on this machine take."""
    import ray.util

    return str(ray.util.get_node_ip_address())


def _below(pid: int) -> list[int]:
    import psutil

    try:
        return [c.pid for c in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []
