"""The documentation is built without a warning, its references are up to date, and its blocks of code work."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from doc_pages import PAGES, README, ROOT, Block, blocks

sys.path.insert(0, str(ROOT / "docs"))
import make_reference

VIDRAG = Path(sys.executable).with_name("vidrag")
SERVER = "http://127.0.0.1:8477"
"""The address of a server in the pages; the tests put that of one of their own in its place."""
_SHIM = """#!/bin/sh
for word in "$@"; do [ "$word" = ingest ] && set -- "$@" --no-ray; done
exec "{vidrag}" --offline "$@"
"""


def _running(language: str) -> list[Path]:
    """The pages that have a block that is to be run."""
    return [p for p in PAGES if any(b.runs for b in blocks(p, language))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Path:
    """A home with a folder of videos, and an archive of it."""
    home = tmp_path_factory.mktemp("home")
    (home / "Videos").mkdir()
    for name in ("talk.mp4", "2024-03-14 talk.mp4"):  # one video with two names, one of which tells its day
        shutil.copy(sample, home / "Videos" / name)
    programs = home / "programs"
    programs.mkdir()
    (programs / "vidrag").write_text(_SHIM.format(vidrag=VIDRAG))
    (programs / "curl").write_text(f'#!/bin/sh\nexec {shutil.which("curl")} --fail-with-body "$@"\n')
    for one in programs.iterdir():
        one.chmod(0o755)
    _shell(home, home, "vidrag ingest archive/ ~/Videos")
    return home


@pytest.fixture(scope="module")
def server(place: Path) -> Iterator[str]:
    """The address of ``vidrag serve`` over the archive."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [VIDRAG, "--offline", "serve", place / "archive", "--port", str(port)]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health/live", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        assert process.poll() is None, f"the server ended with code {process.returncode}"
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the server does not answer")


def _shell(home: Path, folder: Path, script: str) -> None:
    path = f"{home / 'programs'}{os.pathsep}{VIDRAG.parent}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "HOME": str(home), "PATH": path},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert ran.returncode == 0, f"{script}\nended with code {ran.returncode}:\n{ran.stdout}{ran.stderr}"


@pytest.mark.long
@pytest.mark.parametrize("page", _running("sh"), ids=lambda p: p.stem)
def test_the_commands_run(page: Path, place: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Each block in turn, over an archive of the bundled sample."""
    shutil.copytree(place / "archive", tmp_path / "archive")
    for block in blocks(page, "sh"):
        if block.runs and not _is_make(block):
            script = block.text
            if SERVER in script:
                script = script.replace(SERVER, request.getfixturevalue("server"))
            _shell(place, tmp_path, script)


def _is_make(block: Block) -> bool:
    """Whether a block is one of README.md that makes the environment of this test."""
    return block.page == README and block.text.startswith("make ")


@pytest.mark.long
@pytest.mark.parametrize("page", _running("python"), ids=lambda p: p.stem)
def test_the_python_runs(page: Path, place: Path, tmp_path: Path) -> None:
    """All blocks of a page, one after the other in one process."""
    shutil.copytree(place / "archive", tmp_path / "archive")
    script = tmp_path / "page.py"
    script.write_text("\n".join(b.text for b in blocks(page, "python") if b.runs))
    environment = {**os.environ, "HOME": str(place), "VIDRAG_OFFLINE": "1"}
    ran = subprocess.run(
        [sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert ran.returncode == 0, ran.stderr


def test_data_in_the_pages_can_be_read() -> None:
    read = 0
    for page in PAGES:
        for block in blocks(page, "json"):
            json.loads(block.text.replace("...", ""))
            read += 1
        for block in blocks(page, "toml"):
            tomllib.loads(block.text)
            read += 1
    assert read >= 5


def test_a_block_that_fails_is_noticed(place: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="ended with code 2"):
        _shell(place, tmp_path, "vidrag ask nowhere/ hello")


@pytest.mark.long
def test_the_references_are_up_to_date() -> None:
    """``python docs/make_reference.py`` makes them anew."""
    for name, make in make_reference.pages().items():
        assert (make_reference.FOLDER / name).read_text("utf-8") == make(), f"docs/reference/{name}"


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    """And a browser fetches nothing of it from elsewhere."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    built = list((tmp_path / "site").rglob("*.html"))
    assert len(built) > len(PAGES)
    for page in built:
        html = page.read_text("utf-8")
        fetched = re.findall(r"<(?:script|img|iframe|video|source)\b[^>]*?\bsrc=[\"']?([^\"'\s>]+)", html)
        fetched += re.findall(r"<link\b[^>]*?rel=[\"']?(?:stylesheet|icon|preconnect|preload)[^>]*", html)
        assert [f for f in fetched if "//" in f.replace("data:", "")] == [], page.name
