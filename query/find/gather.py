"""Rows of a set as candidates for evidence: those found, what is said beside them, and what is told in order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...store.archive.entries import recorded
from ...store.archive.pictures import on_screen
from ...store.archive.shard import Shard
from ...store.records import Chapter, clock
from ...store.shell import counted
from ..text.things import FITS
from ..text.words import stop_words, terms
from ..types import LINES, Candidate, Found, Part, Stretch, of_frame
from ..understand.times import in_stretch
from .retrieve import Hit, beside
from .rows import RowSet
from .windows import Scores

LEAST_WORDS = 5
"""Terms of a row from which on it can tell what a part is about."""
TOLD, ROWS_OF_A_CHAPTER = 12, 6
"""Rows that a question about the whole is told with where chapters are few, and the most of one chapter."""
LONG_S = 120
"""Seconds of a chapter from which on single words tell it from others."""
BEYOND = 3
"""Rows that are told of what comes after or before another one."""
DETAILED = 20
"""Videos of which everything is told that is known of them."""
SIDES, ROWS_OF_A_SIDE = 4, 3
"""Videos that are compared, and rows that are told of each."""


def candidate(rows: RowSet, at: int, score: float = 0.0) -> Candidate:
    """The row at a place of the set."""
    row = rows.rows[at]
    shard = rows.shards[row.shard]
    return Candidate(
        kind=row.kind,
        video=shard.video,
        name=shard.name,
        start=row.start,
        end=row.end,
        text=row.text,
        score=score,
        doubts=row.doubts,
        speaker=row.speaker,
    )


def plain_hits(places: Sequence[int]) -> list[Hit]:
    """Rows that were not ranked."""
    return [Hit(at=at, score=0.0) for at in places]


def found_rows(rows: RowSet, hits: Sequence[Hit], sure: float, neighbours: int, usable: NDArray[np.bool_]) -> Found:
    """The rows found as candidates, the first ``neighbours`` spoken ones with what is said right before and after."""
    out, places = Found(sure=sure), list[int]()
    for hit in hits:
        one = candidate(rows, hit.at, hit.score)
        same = next((i for i, c in enumerate(out.rows) if same_slide(c, one)), None)
        if same is None:
            out.rows.append(one)
            places.append(hit.at)
        else:
            out.rows[same] = replace(out.rows[same], text=out.rows[same].text + LINES + one.text)
    known = dict(zip(places, out.rows, strict=True))
    spoken = [(c, at) for at, c in known.items() if c.kind == "speech"]
    for c, at in spoken[:neighbours]:
        for n in (at - 1, at + 1):
            if 0 <= n < len(rows.rows) and usable[n] and beside(rows, at, n):
                out.beside.setdefault(c, []).append(known.setdefault(n, candidate(rows, n)))
    return out


def same_slide(a: Candidate, b: Candidate) -> bool:
    """Whether two rows of screen text share their time: lines of one slide."""
    if a.kind != "text" or b.kind != "text" or a.video != b.video:
        return False
    shared = min(a.end, b.end) - max(a.start, b.start)
    return shared > 0.8 * max(a.end - a.start, b.end - b.start, 1e-6)


def chapters(rows: RowSet, usable: NDArray[np.bool_], most: int) -> list[Part]:
    """The chapters of all videos in order, each with its most telling rows; of too many videos one part each."""
    found = list[Part]()
    count = sum(max(1, len(s.chapters)) for s in rows.shards)
    each = max(1, min(ROWS_OF_A_CHAPTER, TOLD // count))
    for i, shard in enumerate(rows.shards):
        own = np.flatnonzero(usable & (rows.shard == i))
        titles = _titles(shard.chapters, rows.languages[i])
        cuts = [(c.start, c.end, t) for c, t in zip(shard.chapters, titles, strict=True)]
        cuts = cuts or [(0.0, shard.manifest.duration, "")]
        pictures = {c.start: _seen(shard, c.start, c.end, c.title) for c in shard.chapters if c.title_from == "picture"}
        if len(rows.shards) * 3 > most or len(cuts) * len(rows.shards) > most:
            cuts = [(0.0, shard.manifest.duration, "")]
        starts = np.array([rows.rows[at].start for at in own])
        for start, end, title in cuts:
            if start in pictures:
                found.append(Part(row=pictures[start]))
                continue
            inside = own[(starts >= start - 0.01) & (starts < end)] if len(own) else own
            for n, at in enumerate(_spread(rows, inside, max(1, min(each, len(inside) // 3)))):
                found.append(Part(row=candidate(rows, at), title="" if n else title))
    return found[:most]


def _seen(shard: Shard, start: float, end: float, text: str) -> Candidate:
    """What frames of a stretch of time are named, with the one on screen when it begins."""
    return of_frame("frame", shard, on_screen(shard.frames, start) or 0, start, end, text, FITS)


def pictures(rows: RowSet, within: Stretch, most: int) -> list[Part]:
    """What the frames of a stretch of time are named, in order; those that are named alike as one, evenly taken."""
    found = list[Candidate]()
    for shard in rows.shards:
        named = [x for x in shard.labels if x.labels and in_stretch(within, shard.manifest.duration, x.start, x.end)]
        for _, own in groupby(named, key=lambda x: x.labels[0].name):
            frames = [*own]
            text = frames[0].caption.removeprefix("a photo of ")
            found.append(_seen(shard, frames[0].start, frames[-1].end, text))
    return [Part(row=found[i]) for i in sorted({i * len(found) // most for i in range(most)})] if found else []


def stretch(rows: RowSet, inside: NDArray[np.bool_], most: int) -> list[Part]:
    """What is said and shown in a stretch of time, in order, at most ``most`` rows."""
    return mentions(rows, _spread(rows, np.flatnonzero(inside), most))


def _spread(rows: RowSet, places: NDArray[np.int64], most: int) -> list[int]:
    """Some rows in order of time: all, or where they are more than ``most`` the most telling one of each of so many
    equal groups.
    """
    ordered = sorted(places.tolist(), key=lambda at: (rows.rows[at].shard, rows.rows[at].start))
    told: dict[tuple[int, str], int] = {}
    for at in ordered:
        told.setdefault((rows.rows[at].shard, rows.rows[at].text), at)  # slides come again
    order = np.array([*told.values()], np.int64)
    groups = [np.array([at]) for at in order] if len(order) <= most else np.array_split(order, most)
    return [telling(rows, group) for group in groups]


def beyond(rows: RowSet, at: int, forwards: bool, usable: NDArray[np.bool_]) -> list[Part]:
    """A row and the :data:`BEYOND` ones of its video and kind that follow it, or come before it."""
    row = rows.rows[at]
    own = [i for i in rows.of(row.kind).tolist() if usable[i] and rows.rows[i].shard == row.shard]
    place = own.index(at)
    return mentions(rows, own[place : place + BEYOND + 1] if forwards else own[max(0, place - BEYOND) : place + 1])


def mentions(rows: RowSet, found: Sequence[int]) -> list[Part]:
    """Every row of ``found``, video by video in time order."""
    order = sorted(found, key=lambda at: (rows.rows[at].shard, rows.rows[at].start))
    return [Part(row=candidate(rows, at)) for at in order]


def sides(rows: RowSet, scores: Scores | None, usable: NDArray[np.bool_]) -> list[Part]:
    """Of each of some videos the rows with the best ``scores`` ``(n_rows,)``, or without these those that tell most of
    its chapters, in time order; of more than :data:`SIDES` videos those with the best rows.
    """
    if scores is None:
        return chapters(rows, usable, SIDES * ROWS_OF_A_SIDE)
    videos = [np.flatnonzero(usable & (rows.shard == i)) for i in range(len(rows.shards))]
    best = sorted((v for v in videos if len(v)), key=lambda own: -float(scores[own].max()))[:SIDES]
    chosen = [at for own in best for at in own[np.argsort(-scores[own], kind="stable")[:ROWS_OF_A_SIDE]].tolist()]
    return mentions(rows, chosen)


def details(rows: RowSet, usable: NDArray[np.bool_]) -> list[Part]:
    """What is known of each of the first :data:`DETAILED` videos, with the first row of each speaker."""
    found = list[Part]()
    for i, shard in enumerate(rows.shards[:DETAILED]):
        own = np.flatnonzero(usable & (rows.shard == i)).tolist()
        speakers = Counter(s.speaker for s in shard.speech if s.speaker)
        languages = Counter(s.language for s in shard.speech if s.language)
        first = {rows.rows[at].speaker: at for at in reversed(own)}
        named = [first[s] for s, _ in speakers.most_common(TOLD) if s in first]
        told = [f"{clock(shard.manifest.duration)} long"]
        if day := recorded(shard.manifest):
            told.append(f"recorded on {day}")
        if languages:
            told.append(f"language {', '.join(c for c, _ in languages.most_common())}")
        if speakers:
            each = [f"{s} ({counted(n, 'sentence')})" for s, n in speakers.most_common()]
            told.append(f"{'speaker' if len(each) == 1 else f'{len(each)} speakers'}: {', '.join(each)}")
        elif shard.speech:
            told.append("speakers not known")
        for part in mentions(rows, named or own[:1]):
            found.append(replace(part, title=", ".join(told)))
    return found


def telling(rows: RowSet, places: NDArray[np.int64]) -> int:
    """Of some rows the one that tells most of them: like the others (near their mean) and with many of the words that
    tell these rows from all (term frequency times inverse document frequency).  A short one only where all are.
    """
    vectors, known = rows.vectors
    own = [at for at in places.tolist() if len(rows.terms[at]) >= LEAST_WORDS and known[at]]
    if not own:
        return int(max(places.tolist(), key=lambda at: len(rows.terms[at])))
    used = Counter(t for at in own for t in rows.held[at])
    sizes = np.array([len(rows.terms[at]) for at in own], np.float32)
    central = vectors[own] @ (vectors[own] * sizes[:, None]).sum(0)
    weight = {t: count * rows.rarity(t) for t, count in used.items()}
    worth = [sum(weight[t] for t in rows.held[at]) / (3 + len(rows.terms[at])) ** 0.5 for at in own]
    return int(own[np.argmax(standard(central) + standard(np.array(worth)))])


def standard(values: NDArray[Any]) -> NDArray[np.float64]:
    """Values in standard deviations from their mean."""
    out: NDArray[np.float64] = (values - values.mean()) / (values.std() + 1e-9)
    return out


def _titles(chapters: Sequence[Chapter], language: str | None) -> list[str]:
    """A heading on screen, else the words, not numbers, that tell a long chapter from the others."""
    spread = Counter(t for c in chapters for t in c.terms)
    plain = stop_words(language) | {t for t, n in spread.items() if n > max(2, len(chapters) / 10)}
    plain |= {t for t in spread if any(stem.isdigit() for stem in terms(t, language))}
    words = [
        [t for t in c.terms if len(t) > 1 and t not in plain] if c.end - c.start >= LONG_S else [] for c in chapters
    ]
    return [c.title if c.title_from == "screen" else ", ".join(w[:4]) for c, w in zip(chapters, words, strict=True)]
