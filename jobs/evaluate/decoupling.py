"""How questions are decoupled: requests of whole data sets, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...query.types import Request


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
