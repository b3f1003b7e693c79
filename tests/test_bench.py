"""The measurements of searching and asking, on little data: they run, and what they report is what they did."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from media_files import pattern
from vidrag.jobs import build, profile
from vidrag.jobs.bench import made_up, query, search, settings
from vidrag.query.asker import Asker
from vidrag.query.find.search import SearchOptions
from vidrag.store import engines
from vidrag.store.archive.archive import Archive
from world import VIDRAG


@pytest.fixture(scope="module")
def make() -> Any:
    loaded = profile.load("embedded")

    def asker(archive: Archive) -> Asker:
        return build.asker(archive, loaded)

    return asker


def test_the_index_beside_a_flat_search() -> None:
    told = search.run(6000, 64, 50, 5, SearchOptions(index_rows=0), None)
    assert 0.9 <= told["recall_of_10"] <= 1
    assert told["append"] == "appended" and told["videos"] == 5
    assert told["flat_over_index"]["min"] > 0


def test_real_rows_are_moved_a_little() -> None:
    rows = made_up.hard(500, 32, 1)
    near = made_up.perturbed(rows, 200, 2)
    assert near.shape == (200, 32) and np.allclose(np.linalg.norm(near, axis=1), 1, atol=1e-5)
    nearest = (near @ rows.T).max(1)
    assert nearest.max() < 0.99999 and nearest.min() > 0.5


def test_documents_are_of_realistic_length() -> None:
    texts = made_up.sentences(2000)
    lengths = [len(t.split()) for t in texts]
    assert 12 < np.mean(lengths) < 14 and min(lengths) >= 5 and max(lengths) <= 25
    more = made_up.spliced(texts[:10], 50)
    assert more[:10] == texts[:10] and len(set(more)) > 30


def test_the_published_algorithm_beside_ours(make: Any, tmp_path: Path) -> None:
    """Both find rows; the published one encodes every document again, and that is what it costs."""
    (told,) = query.beside_published(make, [40], made_up.sentences(40), 2, batch=3)
    assert told["documents"] == 40
    assert told["published_over_retrieval"]["median"] > 10
    encoder = engines.load("text_encoder", "minilm")  # the published threshold is for inner products like its
    texts = ["The lockers are beside the blue staircase.", "Bread is made of flour."]
    assert query.published(encoder, texts, "Where are the lockers?") == 1


def test_warm_and_concurrent(make: Any, tmp_path: Path) -> None:
    texts = made_up.sentences(30)
    encoder = make(Archive.create(tmp_path / "none")).text_encoder
    archive = made_up.archive(tmp_path / "archive", texts, encoder.documents(texts), encoder.spec, 2)
    asked = made_up.questions(8)
    warm = query.warm(make(archive), asked)
    assert warm["questions"] == 8 and warm["texts_encoded"]["min"] >= 1
    assert {"encode", "find", "total"} <= warm["steps_ms"].keys()
    side = query.concurrent(make(archive), asked, 8, 3)
    assert (side["asked"], side["errors"]) == (24, 0)


@pytest.mark.long
def test_engines_under_every_setting_that_is_known() -> None:
    calls = [("documents", (["The lockers are beside the blue staircase."],), {})]
    told = settings.run(profile.load("embedded").ingest, {"text_encoder": calls, "asr": []})
    assert told["engines"].keys() == {"text_encoder"}
    tried = told["engines"]["text_encoder"]["settings"]
    assert tried.keys() >= {"as chosen", "denormal numbers as zero", "threads=2"}
    assert all(t["same_answers"] for t in tried.values())
    assert told["engines_over_best_setting"] >= 1
    formats = [label for label in settings.known("asr", "faster-whisper") if "compute_type" in label]
    assert len(formats) == 3


def test_the_commands_print_json() -> None:
    ran = subprocess.run(
        [VIDRAG, "--offline", "bench", "search", "--vectors", "2000", "--queries", "20", "--videos", "3"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(ran.stdout)["vectors"] == 2000


@pytest.mark.long
def test_memory_and_cpu_of_a_video_and_of_a_folder(tmp_path: Path) -> None:
    """Run by the command: the peak of a child counts from that of the process that starts it."""
    (tmp_path / "folder").mkdir()
    for i in range(2):
        pattern(tmp_path / "folder" / f"{i}.mp4", seconds=2 + i)
    command = [str(VIDRAG), "bench", "memory", str(tmp_path / "folder" / "0.mp4"), str(tmp_path / "folder")]
    told = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    one, both = told["sources"]
    assert one["exit"] == both["exit"] == 0
    assert one["media_s"] == pytest.approx(2, abs=0.3) and both["media_s"] == pytest.approx(5, abs=0.5)
    assert 50 < one["peak_mib"] < 3000 and one["cpu_s"] > 0.2
    assert told["last_over_first"]["peak_mib"] == pytest.approx(both["peak_mib"] / one["peak_mib"], abs=0.01)
