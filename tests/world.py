"""A folder to work in and the ``vidrag`` command as a user runs it, with engines that are fakes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from media_files import TONE, X264, ffmpeg, lavfi
from vidrag.store.engines import KINDS

VIDRAG = Path(sys.executable).with_name("vidrag")
HERE = Path(__file__).resolve().parent


@dataclass
class World:
    """A folder with videos, an archive of them made by fakes, and the command."""

    root: Path
    env: dict[str, str]

    @classmethod
    def make(cls, root: Path) -> World:
        """With ``fake.toml``, a profile of fakes."""
        paths = [str(HERE), str(HERE / "plugin"), os.environ.get("PYTHONPATH", "")]
        (root / "fake.toml").write_text('name = "fake"\n' + "".join(f'[{k}]\nengine = "fake"\n' for k in KINDS))
        return cls(root, {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))})

    def command(self, *arguments: str | Path, fake: bool = True) -> list[str | Path]:
        more = (
            ["--profile", "fake.toml"] if fake and arguments[0] in ("ask", "batch", "index", "ingest", "search") else []
        )
        return [VIDRAG, "--offline", *arguments, *more]

    def start(self, *arguments: str | Path, **env: str) -> subprocess.Popen[str]:
        """The same in the background, in a process group of its own."""
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.root,
            env={**self.env, **env},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, *arguments: str | Path, fake: bool = True, timeout: float = 100, **env: str
    ) -> subprocess.CompletedProcess[str]:
        """``vidrag ARGUMENTS`` in the folder; no traceback is ever shown."""
        ran = subprocess.run(
            self.command(*arguments, fake=fake),
            cwd=self.root,
            env={**self.env, **env},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
        assert "Traceback" not in ran.stdout + ran.stderr
        assert "unexpected" not in ran.stderr
        return ran


def clip(path: Path, frequency: int, colour: str) -> None:
    """One second: a sign of ``colour`` on black and a tone."""
    path.parent.mkdir(exist_ok=True)
    sign = f"color=black:s=160x96:r=5:d=1,drawbox=x=20:y=20:w=60:h=20:color={colour}:t=fill"
    ffmpeg(*lavfi(sign), *lavfi(f"{TONE.replace('440', str(frequency))}:d=1"), *X264, "-c:a", "aac", path)


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    """Waits for a condition; fails where it does not come true in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"not true within {seconds} s"
        time.sleep(0.02)
