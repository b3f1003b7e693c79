"""What the tools of the Model Context Protocol give, as JSON."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class FoundRow(_Open):
    """``id`` is for ``fetch``; ``picture`` is a resource."""

    id: str
    title: str
    text: str
    url: str
    kind: Literal["speech", "text", "frame"]
    video: str
    name: str
    start: float
    end: float
    picture: str | None


class FoundRows(BaseModel):
    results: list[FoundRow]
    next_page: int | None
    notes: list[str]


class Document(BaseModel):
    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, Any]


class ListedVideo(BaseModel):
    """``speech``, ``text``, ``frames``, ``chapters``: stored rows."""

    id: str
    name: str
    seconds: float
    recorded: str | None
    speech: int
    text: int
    frames: int
    chapters: int
    url: str


class ListedVideos(BaseModel):
    """``next`` is the ``start`` of the next page."""

    videos: list[ListedVideo]
    total: int
    next: int | None


class TranscriptRow(BaseModel):
    kind: Literal["speech", "text"]
    start: float
    end: float
    text: str
    speaker: str | None
    language: str | None
    doubts: list[str]


class Transcript(BaseModel):
    """``next``: the time from which on to ask for more, null at the end."""

    video: str
    name: str
    url: str
    rows: list[TranscriptRow]
    next: float | None


class Picture(BaseModel):
    video: str
    name: str
    start: float
    end: float
    url: str
