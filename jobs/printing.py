"""Answers and what a search found as lines of text, for terminals and notebooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from ..query.find.results import Listed, Results
from ..query.types import Answer
from ..store.archive.archive import Archive
from ..store.records import PERCEIVED, Evidence, clock
from ..store.shell import is_address, path_word, printable, quoted


def shown_rows(answer: Answer, more: bool = False) -> list[Evidence]:
    """The cited rows of an answer, the nearest where none is cited; ``more``: then all others, the best first."""
    by_id = {e.id: e for e in answer.evidence}
    rows = answer.cited() or [by_id[i] for i in answer.nearest]
    return rows + [e for e in sorted(answer.evidence, key=lambda e: e.rank) if e not in rows] if more else rows


def opener(archive: Archive) -> Callable[[Evidence], str]:
    """Tells how to see a row of an answer in its video."""

    def hint(row: Evidence) -> str:
        return f"open: {open_hint(archive.shard(row.video).manifest.source.paths[0], row.start)}"

    return hint


def answer_lines(answer: Answer, hint: Callable[[Evidence], str], more: bool = False) -> Iterator[str]:
    """What ``vidrag ask`` prints: the answer, its rows, below each how to see it as ``hint`` tells, and notes."""
    letter = f"{answer.choice}. " if answer.choice else ""
    yield from (letter + "\n".join(map(printable, answer.text.splitlines()))).split("\n")
    rows = shown_rows(answer, more)
    if rows:
        yield ""
        yield "Evidence:" if answer.citations else "Nearest:"
    for e in rows:
        yield (
            f"  [{e.id}] {printable(e.name)} {clock(e.start)}-{clock(e.end)}  "
            f"{how(e.kind, e.speaker, bool(e.doubts))}: {printable(e.text)}"
        )
        yield f"       {hint(e)}"
    for note in answer.notes:
        yield f"note: {printable(note)}"


def result_lines(
    results: Results, page: int = 1, pictures: Mapping[int, str] | None = None, more: str = "--page"
) -> Iterator[str]:
    """What ``vidrag search`` prints of a page of results.  ``pictures``: files, by rank; ``more``: how to ask for the
    next page.
    """
    for f in results.found:
        yield from _hit_lines(f)
        if pictures and f.rank in pictures:
            yield f"     picture: {printable(pictures[f.rank])}"
    if not results.found:
        yield "nothing matches" if page == 1 else f"page {page}: nothing more matches"
    if results.more:
        yield f"more: {more} {page + 1}"
    for note in results.notes:
        yield f"note: {printable(note)}"


def _hit_lines(hit: Listed) -> Iterator[str]:
    what = how(hit.kind, hit.speaker, bool(hit.doubts))
    yield f"{hit.rank:>3}. {printable(hit.name)} {clock(hit.start)}-{clock(hit.end)}  {what}: {printable(hit.text)}"
    if hit.kind != "frame":
        for label, near in (("before", hit.before), ("after", hit.after)):
            if near:
                yield f"     {label}: {printable(near)}"
    yield f"     open: {open_hint(hit.path, hit.start)}"


def how(kind: str, speaker: str | None, doubtful: bool) -> str:
    """How a row was perceived: ``said by Anna (doubtful)``."""
    return PERCEIVED[kind] + (f" by {printable(speaker)}" if speaker else "") + (" (doubtful)" if doubtful else "")


def open_hint(path: str, start: float) -> str:
    """How to see a moment: a command for mpv that is safe to paste, or the address and the time."""
    if is_address(path):  # mpv would fetch whatever an archive from elsewhere names
        return f"{quoted(path)} at {start:.1f} s"
    return f"mpv --start={start:.1f} -- {path_word(path)}"
