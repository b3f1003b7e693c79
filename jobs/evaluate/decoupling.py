"""How questions are decoupled: requests of whole data sets counted, and hand-labelled ones scored by field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...query.types import Request
from ...query.understand.decouple import by_rules
from ...store.errors import UsageError, one_line

FIELDS = ("speech", "visual", "type", "scope", "time")


def distribution(requests: Sequence[Request]) -> dict[str, Any]:
    """What requests ask for, as counts."""
    counts: dict[str, Counter[str]] = {
        "scope": Counter(r.scope for r in requests),
        "time": Counter(t.kind for r in requests for t in r.time),
        "type": Counter(t for r in requests for t in r.type),
        "things": Counter(str(len(r.det)) for r in requests),
    }
    told: dict[str, Any] = {k: dict(c.most_common()) for k, c in counts.items()}
    told["speech"] = sum(r.asr is not None for r in requests)
    told["visual"] = sum(r.visual or bool(r.det) for r in requests)
    told["negations"] = sum(bool(r.negations) for r in requests)
    return {"questions": len(requests), **told}


def read_labels(path: Path) -> list[dict[str, Any]]:
    """Labelled questions: ``id`` and what each of :data:`FIELDS` and ``det`` should be."""
    try:
        rows = json.loads(path.read_text("utf-8"))
        if not all(isinstance(r, dict) and {"id", "det", *FIELDS} <= set(r) for r in rows):
            raise ValueError(f"every row needs id, det, {', '.join(FIELDS)}")
    except (OSError, ValueError, TypeError) as e:
        raise UsageError(f"{path}: no labels of requests: {one_line(e)}") from e
    return list(rows)


def score(
    labels: Sequence[Mapping[str, Any]], questions: Mapping[str, str], decouple: Callable[[str], Request] = by_rules
) -> dict[str, Any]:
    """Share of labelled questions whose field is right, and precision and recall of the things to detect."""
    right = Counter[str]()
    hits = extra = missed = asked = 0
    for label in labels:
        if (question := questions.get(label["id"])) is None:
            continue
        asked += 1
        request = decouple(question)
        found = told(request)
        right.update(f for f in FIELDS if found[f] == _plain(label[f]))
        near = [t for t in label["det"] if any(t in d or d in t for d in request.det)]
        hits, missed = hits + len(near), missed + len(label["det"]) - len(near)
        extra += sum(not any(t in d or d in t for t in label["det"]) for d in request.det)
    if not asked:
        raise UsageError("none of the labelled questions is in the questions given; ids look like 'videomme/001-1'")
    return {
        "questions": asked,
        **{f: round(right[f] / asked, 4) for f in FIELDS},
        "det_precision": round(hits / max(1, hits + extra), 4),
        "det_recall": round(hits / max(1, hits + missed), 4),
    }


def told(request: Request) -> dict[str, Any]:
    """A request as labels name it: right after counts as after, right before as before."""
    near = {"next": "after", "previous": "before"}
    return {
        "speech": request.asr is not None,
        "visual": request.visual or bool(request.det),
        "type": sorted(request.type),
        "scope": request.scope,
        "time": sorted({near.get(t.kind, t.kind) for t in request.time}),
    }


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value
