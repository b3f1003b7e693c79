"""Frame scores become key frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...store.options import Options
from ...store.records import Frame


class KeyframeOptions(Options):
    """``method``: ``topk`` (the best frames at least ``apart_s`` seconds from each other), ``aks`` (Tang et al., 2025,
    arXiv 2502.21271: the timeline is split until scores peak), ``bolt`` (Liu et al., 2025, arXiv 2503.21483: inverse
    transform sampling of sharpened scores), ``uniform``, or ``paper`` (Video-RAG's threshold rule).  ``count``: the
    most key frames.  ``votes``: how much a frame gains that is on screen with a row found by words, as a share of the
    spread of scores.  ``sharpness``: the power to which ``bolt`` raises scores.  ``counted``: the most frames in which
    things are counted over time, 0 for none.
    ``threshold`` and ``beta``: of ``paper``.
    ``shot_s``: frames without a cut between them stand for one, so many seconds long at most; 0 takes each frame by
    itself.  ``scene_graph``: how what is detected in them is told, in our sentences or in the published form.
    """

    method: Literal["topk", "aks", "bolt", "uniform", "paper"] = "topk"
    count: int = Field(8, ge=1, le=256)
    counted: int = Field(48, ge=0, le=1000)
    votes: float = Field(1.0, ge=0, le=10)
    apart_s: float = Field(2.0, ge=0)
    sharpness: float = Field(3.0, ge=0, le=20)
    threshold: float = Field(0.3, ge=0, le=100)
    beta: float = Field(3.0, gt=0, le=100)
    shot_s: float = Field(10.0, ge=0)
    scene_graph: Literal["sentences", "published"] = "sentences"


def choose(frames: Sequence[Frame], scores: NDArray[np.float32], options: KeyframeOptions) -> list[int]:
    """Rows of the key frames, best first.

    ``scores``: float32 ``(n,)``, how well each of ``frames`` fits; comparable among frames of one encoder only.
    """
    if not len(frames):
        return []
    if options.method == "topk":
        return _topk(frames, scores, options)
    if options.method == "paper":
        return _paper(scores, options)
    if options.method == "uniform":
        rows = sorted(set(_uniform(frames, options.count)))
    elif options.method == "aks":
        rows = sorted(_adaptive(scores, 0, len(frames), options.count))
    else:
        rows = _inverse_transform(scores, options)
    return sorted(rows, key=lambda r: (-scores[r], r))


def voted(
    frames: Sequence[Frame], scores: NDArray[np.float32], spans: Sequence[tuple[float, float]], options: KeyframeOptions
) -> NDArray[np.float32]:
    """Scores with the votes of ``spans`` (seconds) of rows found by words, best first; float32 ``(n,)``."""
    if not options.votes or not spans or not len(frames):
        return scores
    votes = np.zeros(len(frames), np.float32)
    for rank, (start, end) in enumerate(spans, 1):
        votes[[f.start < end and start < f.end for f in frames]] += 1 / rank
    spread = float(scores.std()) or 1.0
    raised: NDArray[np.float32] = (scores + options.votes * spread * votes / max(1e-6, float(votes.max()))).astype(
        np.float32
    )
    return raised


def _uniform(frames: Sequence[Frame], count: int) -> list[int]:
    """What is on screen in the middle of ``count`` equal parts of the time; of the frames, where several videos are
    asked and their times are no one time.
    """
    if len(frames) <= count:
        return list(range(len(frames)))
    starts = np.array([f.start for f in frames])
    parts = (np.arange(count) + 0.5) / count
    if np.any(np.diff(starts) < 0):
        return [int(p * len(frames)) for p in parts]
    times = starts[0] + parts * (frames[-1].end - starts[0])
    found: list[int] = (np.searchsorted(starts, times, "right") - 1).tolist()
    return found


_PEAK = 2.5
_DEPTH = 5


def _adaptive(scores: NDArray[np.float32], first: int, last: int, count: int, depth: int = 0) -> list[int]:
    """Adaptive keyframe sampling: takes the top frames of ``[first, last)`` where they stand out from its mean, else
    halves it and gives each half its share of the budget.
    """
    if count <= 0 or last <= first:
        return []
    part = scores[first:last]
    best = np.argsort(-part, kind="stable")[:count]
    spread = float(scores.std()) or 1.0
    if last - first <= count or depth == _DEPTH or float(part[best].mean() - part.mean()) / spread >= _PEAK:
        return [first + int(i) for i in best]
    middle, half = (first + last) // 2, (count + 1) // 2
    return [
        *_adaptive(scores, first, middle, half, depth + 1),
        *_adaptive(scores, middle, last, count - half, depth + 1),
    ]


def _inverse_transform(scores: NDArray[np.float32], options: KeyframeOptions) -> list[int]:
    """Frames where the cumulative sum of sharpened scores passes equal steps: many where it rises, some everywhere."""
    spread = float(scores.max() - scores.min())
    risen = ((scores - scores.min()) / spread if spread > 0 else np.ones_like(scores)) ** options.sharpness + 1e-6
    steps = np.cumsum(risen) / risen.sum()
    wanted = (np.arange(options.count) + 0.5) / options.count
    rows = np.minimum(np.searchsorted(steps, wanted), len(scores) - 1)
    return [int(r) for r in dict.fromkeys(rows.tolist())]


def _topk(frames: Sequence[Frame], scores: NDArray[np.float32], options: KeyframeOptions) -> list[int]:
    chosen: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        start = frames[row].start
        if all(abs(start - frames[c].start) >= options.apart_s for c in chosen):
            chosen.append(row)
            if len(chosen) == options.count:
                break
    return chosen


def _paper(scores: NDArray[np.float32], options: KeyframeOptions) -> list[int]:
    """Video-RAG's rule (arXiv 2411.13093): ``score * alpha / sum(scores) > threshold`` with ``alpha = beta * n / 16``.

    With the published values that is "more than 1.6 times the mean", so that often nothing passes.
    """
    total = float(scores.sum())
    if total <= 0:
        return []
    passing = np.flatnonzero(scores * (options.beta * len(scores) / 16) / total > options.threshold)
    best: list[int] = passing[np.argsort(-scores[passing], kind="stable")].tolist()
    return best[: options.count]
