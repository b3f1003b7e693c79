"""Questions of a batch asked one by one, and answers of an earlier batch kept where nothing relevant has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from ...query.asker import Asker
from ...query.types import Answer
from ...store import engines
from ...store.errors import EngineMissing, ModelMissing, UsageError, VidragError, one_line
from ...store.fingerprints import digest
from ..profile import Profile
from .batch import Asked


@dataclass(slots=True)
class Counts:
    """What a run took.  ``kept`` answers were taken over whole, ``asked`` were asked; ``calls`` replies of a language
    model, of which ``cached`` came from the cache; ``detected`` frames looked at, ``known`` ones that had been.
    """

    kept: int = 0
    asked: int = 0
    failed: int = 0
    calls: int = 0
    cached: int = 0
    detected: int = 0
    known: int = 0

    def text(self) -> str:
        return (
            f"answers: {self.kept} kept, {self.asked} asked ({self.failed} failed); "
            f"model replies: {self.cached} from the cache, {self.calls - self.cached} new; "
            f"detections: {self.known} from the cache, {self.detected} new"
        )


class Keys:
    """Names for all that an answer depends on: question, settings of every step, engines, code, versions of videos."""

    def __init__(self, profile: Profile, asker: Asker) -> None:
        self._archive = asker.archive
        prints = {k: v for k, v in asker.fingerprints.items() if k != "profile"}  # which holds options of ingest, too
        chat = engines.identity("chat", profile.chat.name, dict(profile.chat.options))
        self._settings = digest([profile.ask.identity(), profile.search.identity(), prints, chat, code()])
        self._states: dict[tuple[str, ...] | None, str] = {}

    def of(self, asked: Asked) -> str:
        """The key of a question as things are now; empty where its videos cannot be found."""
        if asked.videos not in self._states:
            try:
                self._states[asked.videos] = self._state(asked.videos)
            except VidragError:
                self._states[asked.videos] = ""
        state = self._states[asked.videos]
        told = [self._settings, state, asked.question, list(asked.options), asked.videos and list(asked.videos)]
        return digest(told) if state else ""

    def _state(self, videos: Sequence[str] | None) -> str:
        """Changes when a video comes, goes or gets a new version.  Looked up once: a batch that ingest overtakes is
        keyed by the older state, which costs a rerun and nothing else.
        """
        archive = self._archive
        if videos is None:
            numbers = archive.newest_numbers()
        else:
            numbers = {v: max(archive.versions(v), default=0) for v in (archive.find(name) for name in videos)}
        archive.fetch(numbers)
        return digest([[v, n, self._cells(v, n)] for v, n in numbers.items()])

    def _cells(self, video: str, number: int) -> list[tuple[str, str]]:
        """Which cells of a video the profile reads; none where it has none."""
        try:
            return sorted(self._archive.shard(video, number).manifest.current.items())
        except VidragError:
            return []


@cache
def code() -> str:
    """Changes with the code that answers, and with the weights that were fitted for it."""
    found = hashlib.sha256()
    for name in ("vidrag.query", "vidrag.store"):
        for folder in import_module(name).__path__:
            for path in sorted(p for p in Path(folder).rglob("*") if p.suffix in (".py", ".json")):
                found.update(f"{path.relative_to(folder)}\n".encode())
                found.update(path.read_bytes())
    return found.hexdigest()[:16]


def rows(
    asker: Asker,
    asked: Sequence[Asked],
    counts: Counts,
    keys: Keys | None = None,
    before: Sequence[Mapping[str, Any]] = (),
    source: str = "",
) -> Iterator[dict[str, Any]]:
    """One row of the schema ``answers`` for each question, in order.

    ``before``: the rows of the run ``source`` with the same questions; an answer of theirs is taken over where its key
    is that of today, and it was a whole one.
    """
    for i, one in enumerate(asked):
        key = keys.of(one) if keys and not one.problem else ""
        old = before[i] if i < len(before) else None
        if old is not None and key and old["key"] == key and not old["degraded"] and not old["error_type"]:
            counts.kept += 1
            yield {**old, "position": i, "kept_from": old["kept_from"] or source}
            continue
        yield {**_asked(one, i), "key": key, **_answered(asker, one, counts)}


def _asked(one: Asked, position: int) -> dict[str, Any]:
    return {
        "position": position,
        "id": json.dumps(one.id),
        "question": one.question,
        "options": list(one.options),
        "videos": None if one.videos is None else list(one.videos),
        "right": one.right,
        "problem": one.problem,
        "kept_from": "",
    }


def _answered(asker: Asker, one: Asked, counts: Counts) -> dict[str, Any]:
    counts.asked += 1
    hits, misses = asker.detections.hits, asker.detections.misses
    try:
        if one.problem:
            raise UsageError(one.problem)
        found = asker.ask(one.question, one.videos, one.options)
    except (EngineMissing, ModelMissing):  # no other question would fare better
        raise
    except VidragError as e:
        counts.failed += 1
        return {"error_type": type(e).__name__, "error": one_line(e), "degraded": False}
    detected = {"known": asker.detections.hits - hits, "detected": asker.detections.misses - misses}
    counts.known += detected["known"]
    counts.detected += detected["detected"]
    counts.calls += found.usage.calls
    counts.cached += found.usage.cached
    return {**_columns(found), **detected, "degraded": found.degraded}


def _columns(found: Answer) -> dict[str, Any]:
    told = found.as_json()
    return {
        "answer": found.text,
        "choice": found.choice,
        "abstained": found.abstained,
        "confidence": found.confidence,
        "scores": list(found.scores),
        "citations": list(found.citations),
        "evidence": told["evidence"],
        "request": json.dumps(told["request"]),
        "notes": list(found.notes),
        "timings": [{"step": k, "seconds": v} for k, v in found.timings.items()],
        "calls": found.usage.calls,
        "cached": found.usage.cached,
        "read": found.usage.read,
        "written": found.usage.written,
        "replies": list(found.usage.replies),
        "told": json.dumps(told),
    }


def told(row: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a row, as ``vidrag batch`` writes it; with ``error`` where there is no answer."""
    name = json.loads(row["id"])
    if row.get("error_type"):
        return {"id": name, "question": row["question"], "error": {"type": row["error_type"], "message": row["error"]}}
    return {"id": name, **json.loads(row["told"])}


def questions(before: Sequence[Mapping[str, Any]]) -> list[Asked]:
    """The questions of stored rows."""
    return [
        Asked(
            json.loads(r["id"]),
            r["question"],
            tuple(r["options"] or ()),
            None if r["videos"] is None else tuple(r["videos"]),
            r["problem"] or "",
            r["right"],
        )
        for r in before
    ]
