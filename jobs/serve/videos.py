"""What is stored of the archive and its videos: lists, rows, pictures, captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pyarrow.compute as pc
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from ...store.archive.entries import Entry, entry
from ...store.archive.pictures import on_screen
from ...store.archive.shard import Shard
from ...store.archive.stored_files import version
from ...store.errors import UsageError
from ...store.fingerprints import digest
from ...store.records import Segment
from .. import export, pictures
from ..library import Library
from . import links
from .errors import Refused
from .media import Originals, can_be_copied, media_info
from .shapes import (
    ArchiveInfo,
    ChapterInfo,
    Ingesting,
    Media,
    OriginalInfo,
    Row,
    Rows,
    Stage,
    Video,
    VideoDetails,
    Videos,
)

_KEPT = "private, max-age=86400"
_ASK_AGAIN = "private, no-cache"
_TYPES = {"vtt": "text/vtt", "srt": "application/x-subrip", "jsonl": "application/jsonl"}


def router(library: Library, originals: Originals, ingest: Ingesting, media: bool) -> APIRouter:
    routes = APIRouter()

    async def shard_of(video: str) -> Shard:
        return await run_in_threadpool(library.shard, video)

    @routes.get("/archive", tags=["archive"])
    def archive() -> ArchiveInfo:
        """The archive as a whole."""
        table = library.listing.table()
        languages, speakers = library.languages_and_speakers()
        return ArchiveInfo(
            name=library.name,
            videos=table.num_rows,
            seconds=round(pc.sum(table["seconds"]).as_py() or 0.0, 3),
            profile=library.profile.name,
            version=version(),
            model=library.model,
            languages=languages,
            speakers=speakers,
            media=media,
            ingest=ingest,
        )

    @routes.get("/videos", tags=["videos"])
    def videos(
        q: str = "",
        sort: str = "name",
        status: str = "",
        cursor: str = "0",
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
    ) -> Videos:
        """The videos, a page at a time."""
        page = library.listing.page(q, sort, status, _start(cursor), limit)
        return Videos(
            videos=[Video(**_video(e)) for e in page.entries],
            total=page.total,
            next=None if page.next is None else str(page.next),
        )

    @routes.get("/videos/{video}", tags=["videos"])
    async def details(video: str) -> VideoDetails:
        """All that is known of one video but its rows."""
        return await run_in_threadpool(lambda: _details(library.shard(video), originals))

    @routes.get("/videos/{video}/rows", tags=["videos"], response_model=Rows, response_model_exclude_defaults=True)
    async def rows(
        request: Request,
        video: str,
        kind: Literal["speech", "text", "frame"] = "speech",
        start: Annotated[float, Query(alias="from", ge=0)] = 0.0,
        end: Annotated[float | None, Query(alias="to", ge=0)] = None,
        cursor: str = "0",
        limit: Annotated[int, Query(ge=1, le=5000)] = 1000,
    ) -> Any:
        """What is said, written or seen, in order of time."""
        shard, first = await shard_of(video), _start(cursor)

        def found() -> Rows:
            every = [r for r in _rows(shard, kind) if r.end > start and (end is None or r.start < end)]
            last = first + limit
            return Rows(rows=every[first:last], total=len(every), next=str(last) if last < len(every) else None)

        def text() -> bytes:
            return found().model_dump_json(exclude_defaults=True).encode()

        return await _conditional(request, shard, text, "application/json", _ASK_AGAIN)

    @routes.get("/videos/{video}/frame", tags=["videos"], response_class=Response)
    async def frame(
        request: Request,
        video: str,
        t: Annotated[float | None, Query(ge=0)] = None,
        n: Annotated[int | None, Query(ge=0)] = None,
        w: Literal["160", "320", "640", ""] = "",
    ) -> Response:
        """The stored picture on screen at second ``t``, or number ``n``, as JPEG; ``w``: at most so wide."""
        shard = await shard_of(video)

        def picture() -> bytes:
            number = n if n is not None else _number(shard, t or 0.0)
            if number >= len(shard.frames):
                raise Refused(404, f"{shard.name} has no frame {number}", "NoFrame")
            return pictures.scaled(shard.jpeg(number), int(w or 0))

        return await _conditional(request, shard, picture, "image/jpeg", _KEPT)

    @routes.get("/videos/{video}/captions.{form}", tags=["videos"], response_class=Response)
    async def captions(request: Request, video: str, form: Literal["vtt", "srt"], download: bool = False) -> Response:
        """What is said, as subtitles."""
        return await exported(request, video, form, download)

    @routes.get("/videos/{video}/rows.jsonl", tags=["videos"], response_class=Response)
    async def jsonl(request: Request, video: str) -> Response:
        """Every stored row as a line of JSON."""
        return await exported(request, video, "jsonl", True)

    async def exported(request: Request, video: str, form: str, download: bool) -> Response:
        shard = await shard_of(video)

        def text() -> bytes:
            return "".join(f"{line}\n" for line in export.LINES[form](shard)).encode("utf-8", "backslashreplace")

        reply = await _conditional(request, shard, text, f"{_TYPES[form]}; charset=utf-8", _ASK_AGAIN)
        if download:
            reply.headers["content-disposition"] = f'attachment; filename="{_ascii(shard.name)}.{form}"'
        return reply

    return routes


async def _conditional(request: Request, shard: Shard, make: Callable[[], bytes], kind: str, cache: str) -> Response:
    """What ``make`` makes of a video; nothing where the client has it already."""
    state = shard.video, shard.manifest.version, sorted(shard.manifest.current.items())
    tag = f'"{digest([state, request.url.path, request.url.query])}"'
    headers = {"etag": tag, "cache-control": cache}
    given = [t.strip().removeprefix("W/") for t in request.headers.get("if-none-match", "").split(",")]
    if tag in given:
        return Response(status_code=304, headers=headers)
    return Response(await run_in_threadpool(make), media_type=kind, headers=headers)


def _start(cursor: str) -> int:
    if not cursor.isdecimal() or len(cursor) > 12:
        raise UsageError("cursor: give what an earlier reply named as 'next'")
    return int(cursor)


def _ascii(name: str) -> str:
    stem = name.rpartition(".")[0] or name
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "_" for c in stem)[:80] or "video"


def _video(one: Entry) -> dict[str, Any]:
    frames = one.counts["frames"]
    return {
        "id": one.id,
        "name": one.name,
        "names": list(one.names),
        "seconds": one.seconds,
        "recorded": one.recorded.isoformat() if one.recorded else None,
        "indexed": one.indexed,
        **one.counts,
        "failed": list(one.failed),
        "url": links.moment(one.id),
        "frame_url": links.numbered_frame(one.id, frames // 3) if frames else None,
    }


def _details(shard: Shard, originals: Originals) -> VideoDetails:
    manifest, media = shard.manifest, media_info(shard.manifest)
    found = originals.find(manifest)
    base = f"{links.API}/videos/{shard.video}"
    here = found.location is not None
    return VideoDetails(
        **_video(entry(manifest)),
        media=media
        and Media(
            format=media.format,
            width=media.width,
            height=media.height,
            video_codec=media.video_codec,
            audio_codecs=[a.codec for a in media.audio],
            has_video=media.has_video,
            has_audio=media.has_audio,
        ),
        stages={
            s: Stage(status=c.status, message=c.message, rows=max((f.rows for f in c.files), default=0))
            for s, c in shard.status().items()
        },
        notes=_notes(shard),
        chapter_list=[
            ChapterInfo(start=c.start, end=c.end, title=c.title, terms=list(c.terms)) for c in shard.chapters
        ],
        profiles=sorted(filter(None, manifest.profiles)),
        languages=sorted({s.language for s in shard.speech if s.language}),
        original=OriginalInfo(
            state=found.state,
            message=found.message,
            mime=found.mime,
            url=f"{base}/original" if here else None,
            copy_url=f"{base}/copy.mp4" if here and can_be_copied(manifest) else None,
            play_url=f"{base}/play.mp4" if here else None,
            clip_url=f"{base}/clip.mp4" if here else None,
        ),
    )


def _notes(shard: Shard) -> list[str]:
    """What a viewer should know: stages that failed, and parts that could not be read."""
    told = []
    for stage, cell in shard.status().items():
        if cell.status == "failed":
            told.append(f"{stage} failed: {cell.message or cell.error}")
        elif cell.coverage is not None and cell.coverage < 0.95:
            told.append(f"{stage}: only {cell.coverage:.0%} of the video could be read")
        elif cell.message:
            told.append(f"{stage}: {cell.message}")
    doubtful = sum(bool(s.flags) for s in shard.speech)
    if doubtful:
        told.append(f"{doubtful} of {len(shard.speech)} spoken rows are doubtful and are left out of answers")
    return told


def _number(shard: Shard, time: float) -> int:
    """The number of the frame shown at ``time``; 404 where none is stored."""
    number = on_screen(shard.frames, time)
    if number is None:
        raise Refused(404, f"no frames of {shard.name} are stored", "NoFrame")
    return number


def _rows(shard: Shard, kind: str) -> Sequence[Row]:
    starts = [f.start for f in shard.frames]

    def frame_at(time: float) -> dict[str, Any]:
        if not starts:
            return {}
        number = max(0, int(np.searchsorted(starts, time, side="right")) - 1)
        return {"frame": number, "frame_url": links.numbered_frame(shard.video, number)}

    if kind == "speech":
        return [Row(kind="speech", row=i, **_spoken(s), **frame_at(s.start)) for i, s in enumerate(shard.speech)]
    if kind == "text":
        return [
            Row(kind="text", row=i, start=t.start, end=t.end, text=t.text, **frame_at(t.start))
            for i, t in enumerate(shard.text)
        ]
    captions = [x.caption.removeprefix("a photo of ") for x in shard.labels]
    captions += [""] * (len(shard.frames) - len(captions))
    return [
        Row(kind="frame", row=i, start=f.start, end=f.end, text=captions[i], **frame_at(f.start))
        for i, f in enumerate(shard.frames)
    ]


def _spoken(said: Segment) -> dict[str, Any]:
    words = [(round(w.start, 2), round(w.end, 2), w.text) for w in said.words]
    rest = {"speaker": said.speaker, "language": said.language, "doubts": list(said.flags), "words": words}
    return {"start": said.start, "end": said.end, "text": said.text, **rest}
