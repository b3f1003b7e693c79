"""Key-frame methods on labelled moments: how often a frame of the moment that answers is among the first few.

Methods see the same stored frames and scores and have the same budget.  ``uniform`` takes equal steps in time, as
Video-RAG and most video-language models do; ``votes`` is ``topk`` with the votes of the rows found by words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ...query.asker import Asker
from ...query.look.keyframes import KeyframeOptions
from ...query.look.visual import VisualIndex
from ...store.archive.archive import Archive
from ...store.errors import UsageError
from ...store.records import Span
from .. import build
from ..profile import Profile
from . import corpus, stats
from .dataset import Question

METHODS: Mapping[str, Mapping[str, Any]] = {
    "uniform": {"method": "uniform"},
    "paper": {"method": "paper"},
    "topk": {"method": "topk"},
    "aks": {"method": "aks"},
    "bolt": {"method": "bolt"},
    "votes": {"method": "topk", "votes": 1.0},
}
COUNTS = (8, 16, 32, 64, 128, 256)
_VOTERS = 6


def opened(pair: str, profile: Profile) -> tuple[Asker, tuple[Question, ...]]:
    """``ARCHIVE=QUESTIONS``, a corpus file; :class:`~vidrag.store.errors.UsageError` where it is none."""
    archive, equals, questions = pair.rpartition("=")
    if not equals:
        raise UsageError(f"{pair}: expected ARCHIVE=QUESTIONS, for example films=films/questions.json")
    return build.asker(Archive.open(archive), profile), corpus.read(Path(questions)).questions


@dataclass(frozen=True, slots=True)
class Moment:
    """One labelled place; ``found``: for each method and budget whether one of its frames is shown within the place;
    ``frames``: how many shots the video has.
    """

    question: str
    modality: str
    frames: int
    found: Mapping[tuple[str, int], bool]


def moments(asker: Asker, questions: Iterable[Question], counts: Sequence[int] = COUNTS) -> list[Moment]:
    """Every labelled place of the questions that name one video."""
    out, opened = [], dict[str, VisualIndex]()
    for q in questions:
        if q.videos is None or len(q.videos) != 1 or not q.evidence:
            continue
        ready = asker.prepare(q.question, [q.videos[0][0]])
        shard = asker.archive.shard(asker.archive.find(q.videos[0][0]))
        if shard.video not in opened:
            opened[shard.video] = VisualIndex([shard], asker.image_text_encoder)
        visual = opened[shard.video]
        captions = asker.image_text_encoder.queries(ready.request.captions or [q.question])
        rows = sorted((e for e in ready.task.evidence if e.kind in ("speech", "text")), key=lambda e: e.rank)
        votes = {shard.video: [(e.start, e.end) for e in rows[:_VOTERS]]}
        shown: dict[tuple[str, int], list[Span]] = {}
        for name, values in METHODS.items():
            for count in counts:
                best = visual.best(captions, KeyframeOptions(count=count, **values), votes=votes)
                frames = [shard.frames[row] for _, row, _ in best]
                shown[name, count] = [Span(f.start, f.end) for f in frames]
        for place in q.evidence:
            found = {k: any(s.overlaps(place.span) for s in spans) for k, spans in shown.items()}
            out.append(Moment(q.id, place.modality, len(visual.shots), found))
    return out


def table(found: Sequence[Moment], counts: Sequence[int] = COUNTS, seed: int = 0) -> list[dict[str, Any]]:
    """For each modality, budget and method the share of moments found, and the paired difference to ``uniform``.

    A budget counts the moments of those videos only that have more shots than it: elsewhere every method takes all.
    """
    rows = []
    for modality in ("all", *sorted({m.modality for m in found})):
        of = [m for m in found if modality in ("all", m.modality)]
        for count in counts:
            tight = [m for m in of if m.frames > count]
            base = [float(m.found["uniform", count]) for m in tight]
            for name in METHODS:
                mine = [float(m.found[name, count]) for m in tight]
                share, gain = stats.mean(mine, seed), stats.paired(mine, base, seed)
                if share and gain:
                    rows.append(
                        {
                            "modality": modality,
                            "count": count,
                            "method": name,
                            "recall": asdict(share),
                            "over_uniform": asdict(gain),
                        }
                    )
    return rows
