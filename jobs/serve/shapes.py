"""The JSON objects of the API.  Answers and hits are those of the command line with links added."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Ingesting(BaseModel):
    """What may be indexed from the page: ``roots`` are names of folders."""

    allowed: bool = False
    roots: list[str] = []
    uploads: bool = False


class ArchiveInfo(BaseModel):
    """``model``: the language model that writes answers, empty where they are quotes; ``media``: originals may be
    played; ``languages`` and ``speakers``: those of the rows, empty in archives too large to look.
    """

    name: str
    videos: int
    seconds: float
    profile: str
    version: str
    model: str
    languages: list[str]
    speakers: list[str]
    media: bool
    ingest: Ingesting


class Video(BaseModel):
    """``speech``, ``text``, ``frames``, ``chapters``: stored rows; ``failed``: names of stages."""

    id: str
    name: str
    names: list[str]
    seconds: float
    recorded: str | None
    indexed: str
    speech: int
    text: int
    frames: int
    chapters: int
    failed: list[str]
    url: str
    frame_url: str | None


class Videos(BaseModel):
    videos: list[Video]
    total: int
    next: str | None


class Media(BaseModel):
    format: str
    width: int | None
    height: int | None
    video_codec: str | None
    audio_codecs: list[str]
    has_video: bool
    has_audio: bool


class Stage(BaseModel):
    status: str
    message: str | None
    rows: int


class ChapterInfo(BaseModel):
    start: float
    end: float
    title: str
    terms: list[str]


class OriginalInfo(BaseModel):
    """Links are null where the file cannot be had; ``mime``: its type with codecs, a best guess.

    ``copy_url``: the same pictures in an MP4; null where they do not fit into one.
    """

    state: Literal["here", "missing", "changed", "outside"]
    message: str
    mime: str
    url: str | None
    copy_url: str | None
    play_url: str | None
    clip_url: str | None


class VideoDetails(Video):
    """``notes``: what a viewer should know of the index, a line each."""

    media: Media | None
    stages: dict[str, Stage]
    notes: list[str]
    chapter_list: list[ChapterInfo]
    profiles: list[str]
    languages: list[str]
    original: OriginalInfo


class Row(BaseModel):
    """``row``: its number among the rows of its kind; ``words``: ``[start, end, text]`` each; ``frame``: the stored
    frame on screen when it begins.
    """

    kind: Literal["speech", "text", "frame"]
    row: int
    start: float
    end: float
    text: str
    speaker: str | None = None
    language: str | None = None
    doubts: list[str] = []
    words: list[tuple[float, float, str]] = []
    frame: int | None = None
    frame_url: str | None = None


class Rows(BaseModel):
    rows: list[Row]
    total: int
    next: str | None


class Hit(BaseModel):
    model_config = ConfigDict(extra="allow")

    rank: int
    kind: Literal["speech", "text", "frame"]
    video: str
    name: str
    start: float
    end: float
    text: str
    before: str
    after: str
    score: float
    near: float
    doubts: list[str]
    frame: int | None
    speaker: str | None
    url: str
    frame_url: str | None


class Hits(BaseModel):
    query: str
    kinds: list[str]
    hits: list[Hit]
    videos: int
    rows: int
    next: str | None
    notes: list[str]


class Turn(BaseModel):
    """An earlier question of a conversation and its answer."""

    model_config = ConfigDict(extra="forbid")

    question: str = Field(max_length=10_000)
    answer: str = Field(max_length=20_000)


class Question(BaseModel):
    """``videos``: ids or names, null for all; ``conversation``: what was asked before, oldest first."""

    model_config = ConfigDict(extra="forbid")

    question: str
    videos: list[str] | None = Field(None, max_length=1000)
    options: list[str] = Field([], max_length=26)
    conversation: list[Turn] = Field([], max_length=50)


class EvidenceRow(BaseModel):
    model_config = ConfigDict(extra="allow")

    id: str
    kind: Literal["speech", "text", "detection", "frame"]
    video: str
    name: str
    start: float
    end: float
    text: str
    score: float
    rank: int
    speaker: str | None
    doubts: list[str] = []
    url: str
    frame_url: str | None


class AnswerInfo(BaseModel):
    """The object of ``vidrag ask --json`` with links; ``asked``: the question as it was asked of the archive."""

    model_config = ConfigDict(extra="allow")

    question: str
    asked: str
    answer: str
    choice: str | None
    abstained: bool
    confidence: float | None
    scores: list[float]
    citations: list[str]
    nearest: list[str]
    evidence: list[EvidenceRow]
    request: dict[str, Any]
    notes: list[str]
    timings: dict[str, float]
    profile: str
    fingerprints: dict[str, str]
