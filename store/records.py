"""What evidence is: frozen records shared by ingest, store and query.

Times are float seconds on one axis per video: 0 is the container's start, intervals are half-open
``[start, end)``.  Boxes are ``(x0, y0, x1, y1)`` as fractions of the displayed picture, 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Box = tuple[float, float, float, float]
Status = Literal["ok", "none", "failed"]
EvidenceKind = Literal["speech", "text", "detection", "frame"]
PERCEIVED: Mapping[str, str] = {"speech": "said", "text": "on screen", "detection": "detected", "frame": "seen"}
"""How a row of each kind was perceived, for people and for models."""


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open interval ``[start, end)`` in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        return max(0.0, self.end - self.start)

    def overlaps(self, other: Span, slack: float = 0.0) -> bool:
        """True where the two share time, allowing ``slack`` seconds between them."""
        return self.start < other.end + slack and other.start < self.end + slack


@dataclass(frozen=True, slots=True)
class Word:
    """One spoken word; ``probability`` is the recogniser's, 0..1."""

    start: float
    end: float
    text: str
    probability: float


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of speech, or a subtitle cue.

    ``avg_logprob``, ``no_speech_prob`` and ``compression_ratio`` are the recogniser's own measures of doubt
    (None for subtitles); ``flags`` names the reasons to distrust the segment (empty: none).
    """

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()
    language: str | None = None
    speaker: str | None = None
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    flags: tuple[str, ...] = ()


def moved(segment: Segment, by: float) -> Segment:
    """The segment ``by`` seconds later, its words too."""
    words = tuple(replace(w, start=w.start + by, end=w.end + by) for w in segment.words)
    return replace(segment, start=segment.start + by, end=segment.end + by, words=words)


@dataclass(frozen=True, slots=True)
class TextLine:
    """One line of text recognised in one picture; ``confidence`` 0..1."""

    text: str
    confidence: float
    box: Box


@dataclass(frozen=True, slots=True)
class TextTrack:
    """A paragraph of on-screen text and the interval in which it stays on screen."""

    start: float
    end: float
    text: str
    confidence: float
    box: Box
    sightings: int = 1


@dataclass(frozen=True, slots=True)
class StoredPicture:
    """Where a JPEG lies in the file of a video's pictures: ``size`` bytes from byte ``offset`` on, and their CRC-32."""

    offset: int
    size: int
    crc32: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A kept frame: shown at ``start``, and nothing different enough follows until ``end``.

    ``width`` and ``height`` are those of the stored picture; ``change`` is how much of the picture differed
    from the frame kept before it (0..1); ``cut`` marks a scene cut.  ``picture`` is None where none is stored, and in
    archives that are older than the file of pictures.
    """

    start: float
    end: float
    width: int
    height: int
    change: float
    cut: bool
    picture: StoredPicture | None = None


@dataclass(frozen=True, slots=True)
class Label:
    """A class name given to a whole picture or a part of it; ``score`` 0..1."""

    name: str
    score: float


@dataclass(frozen=True, slots=True)
class Detection:
    """One object found in one picture."""

    label: str
    score: float
    box: Box


@dataclass(frozen=True, slots=True)
class FrameLabels:
    """What an image-text encoder read off one frame, kept as data beside its vector."""

    start: float
    end: float
    caption: str
    labels: tuple[Label, ...] = ()
    detections: tuple[Detection, ...] = ()


@dataclass(frozen=True, slots=True)
class Moment:
    """A stored row by what it is and when, so that it is found again however rows are numbered."""

    kind: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Chapter:
    """A part of a video; all of them together cover it without a gap.

    ``title_from`` says what named it: text on ``screen``, a sentence of ``speech``, what the ``picture`` shows, or
    ``none``.  ``terms``: words that tell it from the other chapters, the most telling first.  ``moments``: rows of
    speech and text that stand for it, best first.
    """

    start: float
    end: float
    title: str
    title_from: str = "none"
    terms: tuple[str, ...] = ()
    moments: tuple[Moment, ...] = ()


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row that an answer may cite.

    ``rank`` is 1 for the row that matters most; ``score`` is comparable within one ``kind`` only.  ``frame`` is the
    index of the stored frame behind a detection or frame row.  ``doubts``: why speech may not be what was said;
    ``speaker``: who said it, where that is known.
    """

    id: str
    kind: EvidenceKind
    video: str
    name: str
    start: float
    end: float
    text: str
    score: float
    rank: int
    frame: int | None = None
    doubts: tuple[str, ...] = ()
    speaker: str | None = None

    @property
    def searched(self) -> str:
        """The text that a question is held against: speech with its speaker before it."""
        return spoken_text(self.text, self.speaker)

    @property
    def span(self) -> Span:
        return Span(self.start, self.end)


def spoken_text(text: str, speaker: str | None) -> str:
    """What is said, with who says it before it, as a transcript has it and as it is searched."""
    return f"{speaker}: {text}" if speaker else text


@dataclass(frozen=True, slots=True)
class SubtitleTrack:
    """A subtitle stream of a video file: ``index`` among all its streams; ``text`` is False for pictures of text."""

    index: int
    codec: str
    text: bool
    language: str | None = None
    default: bool = False
    forced: bool = False


@dataclass(frozen=True, slots=True)
class SoundTrack:
    """A sound track of a video file: ``index`` among all its streams; ``commentary``: it speaks about the video, or
    describes it; ``end``: where it ends, None where the file does not say.
    """

    index: int
    codec: str
    channels: int = 0
    language: str | None = None
    title: str | None = None
    default: bool = False
    commentary: bool = False
    end: float | None = None


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What the probe found.

    ``duration`` is the declared one in seconds (None where the container names none or a nonsensical one);
    ``width`` and ``height`` are as displayed, after rotation and pixel aspect; ``video_end`` is where the pictures end
    or say that they do.  ``timeline``: how packets lie on the time axis, where that takes more than ``start_time`` (see
    ``vidrag.ingest.decoder.timeline``); then all ends are those of the packets.  ``read_share``: how much of the file's
    bytes come before the last packet's end; less than nearly all where something was joined behind that cannot be read.
    ``recorded``: when it was recorded as the container says, ISO 8601.
    """

    format: str
    duration: float | None
    start_time: float
    has_video: bool
    has_audio: bool
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    rotation: int = 0
    video_codec: str | None = None
    video_index: int | None = None
    subtitle_tracks: int = 0
    video_end: float | None = None
    subtitles: tuple[SubtitleTrack, ...] = ()
    audio: tuple[SoundTrack, ...] = ()
    timeline: Mapping[str, Any] = field(default_factory=dict)
    read_share: float | None = None
    recorded: str | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> MediaInfo:
        """From what the probe or a manifest says; TypeError where that is something else.

        Keys that a later version has added are passed over.
        """
        tracks = tuple(SubtitleTrack(**t) for t in data.get("subtitles", ()))
        sounds = tuple(SoundTrack(**t) for t in data.get("audio", ()))
        known = {k: v for k, v in data.items() if k in cls.__dataclass_fields__}
        return cls(**{**known, "subtitles": tracks, "audio": sounds})

    @property
    def reachable(self) -> float:
        """The share of the file that can be read; 1 where all but an index or padding at its end can."""
        return self.read_share if self.read_share is not None and self.read_share < 0.9 else 1.0

    @property
    def end(self) -> float | None:
        """The last second that the file declares; None where it does not say."""
        ends = [e for e in (self.duration, self.video_end, *(t.end for t in self.audio)) if e]
        return max(ends) if ends else None


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One published file of a cell, as its manifest names it."""

    kind: str
    name: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, slots=True)
class Cell:
    """The result of one stage of one video under one fingerprint.

    ``none`` means that there is nothing to find (no audio stream, no text on screen); ``failed`` carries the cause.
    ``extent`` is the last second that was read, ``coverage`` the share of the declared duration that decoded
    (None where the duration is unknown).  ``encoder`` is the :class:`~vidrag.store.encoders.EncoderSpec` of vectors.
    """

    stage: str
    fingerprint: str
    status: Status
    files: tuple[StoredFile, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    encoder: Mapping[str, Any] | None = None
    error: str | None = None
    message: str | None = None
    permanent: bool = False
    attempts: int = 1
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    extent: float | None = None
    coverage: float | None = None
    engine: Mapping[str, Any] = field(default_factory=dict)

    def file(self, kind: str) -> StoredFile | None:
        return next((f for f in self.files if f.kind == kind), None)


def clock(seconds: float) -> str:
    """``MM:SS`` (``H:MM:SS`` from an hour on), rounded down, as players show it."""
    whole = max(0, int(seconds))
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60:02d}:{rest % 60:02d}"


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes, 0..1; 0 where neither has an area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(0.0, width) * max(0.0, height)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both
    return both / union if union > 0 else 0.0
