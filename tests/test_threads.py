"""Many threads ask one Asker: no error, and the answers that each question has alone."""

from __future__ import annotations

import itertools
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from index_tools import put
from vidrag.jobs import build, profile
from vidrag.query.asker import Asker
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders.e5 import E5, E5Options

BIRDS = "heron otter badger falcon beaver marten".split()
QUESTIONS = ["Where does the heron sleep?", "Who fed the otter?", "Which room has the falcon?"]


@pytest.mark.long
def test_sixteen_threads_over_all_subsets_of_videos(tmp_path: Path) -> None:
    archive = Archive.create(tmp_path / "archive")
    spec = E5(E5Options()).spec
    for i, bird in enumerate(BIRDS):
        said = [f"the {bird} sleeps in room {i}", f"Anna Weber fed the {bird} at noon"]
        put(archive, f"{bird}.mp4", said, [f"Room {i}: {bird}"], seed=i, spec=spec)
    subsets = [s for n in range(1, 7) for s in itertools.combinations([f"{b}.mp4" for b in BIRDS], n)]
    work = [(q, s) for q in QUESTIONS for s in subsets] * 2
    random.Random(0).shuffle(work)
    asker = build.asker(archive, profile.load())
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change places in the middle of everything
    try:
        with ThreadPoolExecutor(16) as pool:
            found = list(pool.map(lambda w: _told(asker, *w), work))
    finally:
        sys.setswitchinterval(before)
    alone = build.asker(archive, profile.load())
    known = {w: _told(alone, *w) for w in set(work)}
    assert [known[w] for w in work] == found


def _told(asker: Asker, question: str, videos: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    answer = asker.ask(question, list(videos))
    return answer.text, tuple(e.text for e in answer.evidence)
