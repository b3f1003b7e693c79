"""Frame scores become key frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..store.engines import Options
from ..store.records import Frame


class KeyframeOptions(Options):
    """``method``: ``topk`` (the best frames at least ``apart_s`` seconds from each other) or ``paper`` (the published
    threshold rule) or ``uniform`` (evenly spread, whatever is asked).  ``count``: the most key frames.
    """

    method: Literal["topk", "paper", "uniform"] = "topk"
    count: int = Field(8, ge=1, le=256)
    apart_s: float = Field(2.0, ge=0)


def choose(frames: Sequence[Frame], scores: NDArray[np.float32], options: KeyframeOptions) -> list[int]:
    """Rows of the key frames, best first.

    ``scores``: float32 ``(n,)``, how well each of ``frames`` fits; comparable among frames of one encoder only.
    """
    if options.method == "uniform":
        return sorted({int((i + 0.5) * len(frames) / options.count) for i in range(options.count)} if frames else ())
    if options.method == "paper":
        return _paper(scores, options.count)
    return _topk(frames, scores, options)


def _topk(frames: Sequence[Frame], scores: NDArray[np.float32], options: KeyframeOptions) -> list[int]:
    chosen: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        start = frames[row].start
        if all(abs(start - frames[c].start) >= options.apart_s for c in chosen):
            chosen.append(row)
            if len(chosen) == options.count:
                break
    return chosen


def _paper(scores: NDArray[np.float32], count: int) -> list[int]:
    """Video-RAG's rule (arXiv 2411.13093): ``score * alpha / sum(scores) > 0.3`` with ``alpha = 3n/16``.

    That is "more than 1.6 times the mean", so that often nothing passes.
    """
    total = float(scores.sum())
    if total <= 0:
        return []
    passing = np.flatnonzero(scores * (3 * len(scores) / 16) / total > 0.3)
    best: list[int] = passing[np.argsort(-scores[passing], kind="stable")].tolist()
    return best[:count]
