"""The extras of vidrag: every engine's is there, the profiles' are whole, and pip can resolve each of them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from vidrag.jobs import profile
from vidrag.store import engines

ROOT = Path(__file__).resolve().parent.parent
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
HEAVY = ("transformers", "open-clip", "onnx-export", "whisperx", "paddleocr", "easyocr", "full", "paper")


def brought(extra: str) -> set[str]:
    """``extra`` and every extra of vidrag that comes with it."""
    out = {extra}
    for line in EXTRAS[extra]:
        if match := re.fullmatch(r"vidrag\[(.+)\]", line):
            out |= {e for name in match[1].split(",") for e in brought(name)}
    return out


@pytest.mark.parametrize("kind", engines.KINDS)
def test_the_extra_of_every_engine_is_there(kind: engines.Kind) -> None:
    own = [i for i in engines.available(kind) if i.distribution == "vidrag"]
    assert own and {i.name: i.extra for i in own if i.extra not in EXTRAS} == {}


@pytest.mark.parametrize("name", profile.BUILT_IN)
def test_the_extra_of_a_profile_brings_its_engines(name: str) -> None:
    table = profile.table(name)
    lacking = {}
    for kind in engines.KINDS:
        known = {i.name: i.extra for i in engines.available(kind)}
        if (engine := table[kind]["engine"]) in known and known[engine] not in brought(name) | {"query"}:
            lacking[engine] = known[engine]
    assert lacking == {}


def test_no_extra_names_one_that_is_not_there() -> None:
    assert {e for name in EXTRAS for e in brought(name)} <= EXTRAS.keys()


def resolved(extra: str, folder: Path, python: str | None) -> dict[str, str]:
    """Names and versions that a plain ``pip install vidrag[extra]`` would bring; skips without a package index.
    ``python``: for this version of Python instead of this one, from wheels only.

    By a new pip: older ones download every wheel to read what it asks for.
    """
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--retries", "1"]
    fresh = [*pip, "--target", str(folder / "pip"), "--upgrade", "pip>=25"]
    near = subprocess.run(fresh, capture_output=True, text=True, timeout=120, check=False)
    if near.returncode:
        pytest.skip(f"no package index can be reached: {near.stderr.strip().splitlines()[-1][:200]}")
    made = folder / "wheel"
    wheel = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(made),
        str(ROOT),
    ]
    subprocess.run(wheel, check=True, capture_output=True, timeout=120)
    (file,) = made.glob("*.whl")
    more = ["--python-version", python, "--only-binary=:all:", "--target", str(folder / "x")] if python else []
    report = folder / "report.json"
    ran = subprocess.run(
        [*pip, "--dry-run", "--ignore-installed", *more, "--report", str(report), f"{file}[{extra}]"],
        env={**os.environ, "PYTHONPATH": str(folder / "pip")},
        capture_output=True,
        text=True,
        timeout=560,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    rows = json.loads(report.read_text())["install"]
    return {re.sub(r"[-_.]+", "-", r["metadata"]["name"]).lower(): r["metadata"]["version"] for r in rows}


def whole(extra: str, found: dict[str, str]) -> None:
    """What is told in docs/engines.md: each engine's package is there, and OpenCV comes twice with PaddleOCR only."""
    package = {"open-clip": "open-clip-torch", "onnx-export": "onnxscript", "paper": "easyocr", "full": "whisperx"}
    assert package.get(extra, extra) in found
    assert sum(name.startswith("opencv") for name in found) == (2 if "paddleocr" in brought(extra) else 1)


@pytest.mark.slow
@pytest.mark.timeout(800)
@pytest.mark.parametrize("python", [None, "3.11", "3.12"])
@pytest.mark.parametrize("extra", HEAVY)
def test_pip_resolves_every_heavy_extra(extra: str, python: str | None, tmp_path: Path) -> None:
    whole(extra, resolved(extra, tmp_path, python))
