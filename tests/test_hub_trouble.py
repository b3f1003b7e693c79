"""What a hub may do to a user: fetches that are cut short, and answers that are none."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hub_server import Hub
from world import VIDRAG

pytest.importorskip("huggingface_hub")
REPO = "maker/whisper"
BIG = np.random.default_rng(0).bytes((9 << 20) + 12_345)
FILES = {"model.bin": BIG, "config.json": b"{}", "tokenizer.json": b"{}", "vocabulary.txt": b"a\n"}
ETAG = hashlib.sha256(BIG).hexdigest()
Start = Callable[[], "subprocess.Popen[str]"]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as made:
        made.commit(REPO, FILES)
        yield made


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    return tmp_path / "hf" / "hub" / f"models--{REPO.replace('/', '--')}" / "blobs"


@pytest.fixture
def start(hub: Hub, tmp_path: Path, child_env: dict[str, str]) -> Start:
    """``vidrag models pull`` of a profile whose only weights of a hub are those of :data:`REPO`."""
    env = {k: v for k, v in child_env.items() if not k.startswith(("HF_", "HUGGING", "VIDRAG_OFFLINE"))}
    env |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "VIDRAG_CACHE": str(tmp_path / "cache")}
    env |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1"}
    command = [VIDRAG, "models", "pull", "--profile", "embedded", "--set", f"asr.model=hf:{REPO}"]

    def call() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return call


def ended(process: subprocess.Popen[str]) -> tuple[int, str, list[str]]:
    """Exit code, output, and what vidrag itself says is wrong."""
    out, err = process.communicate(timeout=200)
    assert "Traceback" not in out + err, err
    return process.returncode, out, [line for line in err.splitlines() if line.startswith("vidrag: ")]


@pytest.mark.parametrize("killed_at", [0, 1, 4 << 20, len(BIG) - 1])
def test_a_fetch_that_is_killed_goes_on_where_it_stopped(killed_at: int, hub: Hub, start: Start, blobs: Path) -> None:
    hub.cuts["model.bin"] = [killed_at] + [0] * 50  # nothing more comes: then the process is killed
    hub.pause_s = 0.02
    process = start()
    deadline = time.monotonic() + 60
    while hub.fetched.count("model.bin") < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.communicate()
    part = blobs / f"{ETAG}.part"
    had = part.stat().st_size if part.exists() else 0
    assert had == killed_at and (not had or part.read_bytes() == BIG[:had])
    hub.cuts.clear()
    hub.sent, hub.pause_s = 0, 0.0
    code, _, said = ended(start())
    assert (code, said) == (0, []), said
    assert hub.sent <= len(BIG) - had + 1000
    assert (blobs / ETAG).read_bytes() == BIG and not part.exists()


def test_two_processes_at_once_fetch_once(hub: Hub, start: Start, blobs: Path) -> None:
    hub.pause_s = 0.01
    both = [start(), start()]
    for process in both:
        code, _, said = ended(process)
        assert (code, said) == (0, [])
    assert (blobs / ETAG).read_bytes() == BIG
    assert hub.sent < 1.5 * len(BIG)


def test_a_line_that_breaks_now_and_then(hub: Hub, start: Start, blobs: Path) -> None:
    hub.cuts["model.bin"] = [3 << 20, 3 << 20]
    code, _, said = ended(start())
    assert (code, said) == (0, [])
    assert (blobs / ETAG).read_bytes() == BIG and hub.sent <= len(BIG) + 1000


PAGE = b"<html><body>Please log in to this network</body></html>"
LOOP = {"Location": f"/{REPO}/resolve/main/model.bin"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("what", "answer"),
    [
        ("model.bin", (404, b"{}", {"X-Error-Code": "EntryNotFound"})),
        ("model.bin", (429, b"{}", {"Retry-After": "0"})),
        ("model.bin", (500, b"oops", {})),
        ("model.bin", (302, b"", LOOP)),
        ("model.bin", (200, PAGE, {"Content-Type": "text/html"})),
        ("api", (200, PAGE, {"Content-Type": "text/html"})),
        ("api", (429, b"{}", {"Retry-After": "0"})),
        ("api", (500, b"oops", {})),
    ],
)
def test_an_answer_that_is_none_is_one_line_and_the_next_try_is_whole(
    what: str, answer: tuple[int, bytes, dict[str, str]], hub: Hub, start: Start, blobs: Path
) -> None:
    hub.answers[what] = answer
    code, out, said = ended(start())
    assert code == 5 and len(said) == 1 and REPO in said[0], (code, said)
    assert "1 weights are missing" in out
    hub.answers.clear()
    code, _, said = ended(start())
    assert (code, said) == (0, [])
    assert (blobs / ETAG).read_bytes() == BIG


@pytest.mark.long
def test_other_bytes_than_the_hub_names_are_not_used(hub: Hub, start: Start, blobs: Path) -> None:
    wrong = bytes(len(BIG))
    hub.answers["model.bin"] = (200, wrong, {"ETag": f'"{ETAG}"', "X-Repo-Commit": hub.commit(REPO, FILES)})
    code, _, said = ended(start())
    assert code == 5 and len(said) == 1 and "other bytes than the hub names" in said[0], said
    assert not (blobs / ETAG).exists()
    hub.answers.clear()
    assert ended(start())[0] == 0


@pytest.mark.long
def test_a_cache_that_cannot_be_written(hub: Hub, start: Start, tmp_path: Path) -> None:
    (tmp_path / "hf").write_text("a file where the folder would be")
    code, _, said = ended(start())
    assert code == 5 and len(said) == 1 and REPO in said[0], (code, said)
