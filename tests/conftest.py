"""Fixtures of all tests: the plugin of fakes, the bundled sample, an empty archive.

``tests/plugin`` is put on ``sys.path`` as an installed plugin would be, before anything asks for engines; ``tests``
itself is there too, for the helper modules of the tests.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
PLUGIN = HERE / "plugin"
for _folder in (HERE, PLUGIN):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

import s3_server as s3_server_module  # noqa: E402

hypothesis.settings.register_profile("no clock", deadline=None)  # examples take longer under load
hypothesis.settings.load_profile("no clock")

FAKE_PROFILE = """\
name = "fake"

[asr]
engine = "fake"

[ocr]
engine = "fake"

[text_encoder]
engine = "fake"

[image_text_encoder]
engine = "fake"

[detector]
engine = "fake"

[chat]
engine = "fake"
"""


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A cache of the tests' own for what is kept of archives; weights and hashes are those of this machine's user."""
    from vidrag.store.cache_dir import cache_dir

    before, real, own = os.environ.get("VIDRAG_CACHE"), cache_dir(), tmp_path_factory.mktemp("cache")
    for name in ("weights", "verified", "hashes"):
        (real / name).mkdir(parents=True, exist_ok=True)
        (own / name).symlink_to((real / name).resolve())
    os.environ["VIDRAG_CACHE"] = str(own)
    yield
    if before is None:
        del os.environ["VIDRAG_CACHE"]
    else:
        os.environ["VIDRAG_CACHE"] = before


@pytest.fixture
def child_env() -> dict[str, str]:
    """The environment for a child process that sees the fakes too."""
    paths = [str(HERE), str(PLUGIN), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


@pytest.fixture
def fake_profile(tmp_path: Path) -> Path:
    """A profile file in which every engine is a fake."""
    path = tmp_path / "fake.toml"
    path.write_text(FAKE_PROFILE)
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Any:
    """An empty archive."""
    from vidrag.store.archive.archive import Archive

    return Archive.create(tmp_path / "archive")


@pytest.fixture(scope="session")
def sample() -> Path:
    """The bundled video: slides, photographs and a voice."""
    return Path(str(resources.files("vidrag.jobs.demo") / "sample.mp4"))


@pytest.fixture(scope="session")
def sample_archive(sample: Path, tmp_path_factory: pytest.TempPathFactory, _own_cache: None) -> Path:
    """An archive of the bundled video, made once for all test processes; not to be written to."""
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    base = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    made, log = base / "sample-archive", base / "sample-archive.log"
    with FileLock(base / "sample-archive.lock"):
        if not log.exists():
            command = [sys.executable, "-c", "from vidrag.jobs.cli import main; main()", "--offline", "ingest"]
            found = subprocess.run(
                [*command, str(made), str(sample), "--no-ray"], capture_output=True, text=True, check=False
            )
            log.write_text(f"{found.returncode}\n{found.stdout}{found.stderr}")
    code, _, said = log.read_text().partition("\n")
    if code == "5":
        pytest.skip(f"the engines of the embedded profile are not all installed: {said}")
    assert code == "0", said
    return made


@pytest.fixture(scope="session")
def truth(sample: Path) -> dict[str, Any]:
    """What is said, written and shown in the bundled video, and when."""
    told: dict[str, Any] = json.loads(sample.with_suffix(".truth.json").read_text("utf-8"))
    return told


@pytest.fixture(scope="session")
def sample_sound(sample: Path) -> NDArray[np.float32]:
    """The whole sound of the bundled video, float32 mono at 16 kHz."""
    from vidrag.ingest import media

    options = media.MediaOptions()
    return np.concatenate(list(media.audio(sample, media.probe(sample, options), options)))


@pytest.fixture(scope="session")
def sample_picture(sample: Path) -> Callable[[float], NDArray[np.uint8]]:
    """The picture on screen at a given second of the bundled video."""
    from vidrag.ingest import media

    options = media.MediaOptions()
    found = list(media.frames(sample, media.probe(sample, options), options, 0.5, 640))

    def at(second: float) -> NDArray[np.uint8]:
        return [f.picture for f in found if f.time <= second + 1e-3][-1]

    return at


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server on loopback."""
    with s3_server_module.running() as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """``s3://`` and a new bucket; the environment leads this process and its children there."""
    name = f"b-{secrets.token_hex(6)}"
    s3_server_module.make_bucket(s3_server, name)
    for key in [k for k in os.environ if k.startswith(("AWS_", "VIDRAG_OBJECT"))]:
        monkeypatch.delenv(key)
    for key, value in s3_server_module.environment(s3_server).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("VIDRAG_CACHE", str(tmp_path / "cache"))
    return f"s3://{name}"
