"""A client made from the document of the API by a generator works, typed and all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from serve_tools import serving

pytest.importorskip("openapi_python_client")

USES = """
import sys
from made import Client
from made.api.archive import archive_api_v1_archive_get as archive
from made.api.questions import ask_api_v1_ask_post as ask, search_api_v1_search_get as search
from made.api.videos import rows_api_v1_videos_video_rows_get as rows, videos_api_v1_videos_get as videos
from made.models import Question

with Client(base_url=sys.argv[1]) as client:
    print(archive.sync(client=client).videos)
    [video] = videos.sync(client=client).videos
    print(video.name)
    print(rows.sync(video.id, client=client).rows[0].start >= 0)
    print(search.sync(client=client, q="staircase", top=1).hits[0].name)
    answer = ask.sync(client=client, body=Question(question="Where are the lockers?"))
    print(answer.citations[0] in {row.id for row in answer.evidence})
"""


def test_it_is_generated_and_asks(sample_archive: Path, tmp_path: Path) -> None:
    with serving(sample_archive, tmp_path) as running, running.client() as client:
        (tmp_path / "openapi.json").write_bytes(client.get("/openapi.json").content)
        command = [
            sys.executable,
            "-m",
            "openapi_python_client",
            "generate",
            "--path",
            "openapi.json",
            "--meta",
            "none",
        ]
        made = subprocess.run(
            [*command, "--output-path", "made"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )
        assert made.returncode == 0, made.stdout + made.stderr
        assert "WARNING" not in made.stdout, made.stdout
        used = subprocess.run(
            [sys.executable, "-c", USES, running.url],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert used.stdout.split("\n") == ["1", "sample.mp4", "True", "sample.mp4", "True", ""], used.stderr
