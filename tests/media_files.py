"""Small video files made when a test needs them, and engines for their ingest that count calls and fail when told."""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
from vidrag.ingest.asr import Transcript
from vidrag.jobs import profile
from vidrag.store.encoders import EncoderSpec, ImageBatch
from vidrag.store.records import Label, Segment, Word

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
TONE = "sine=f=440:r=16000"


def ffmpeg_program() -> str:
    """The program that makes test videos; vidrag itself needs none."""
    return shutil.which("ffmpeg") or str(imageio_ffmpeg.get_ffmpeg_exe())


def ffmpeg(*arguments: str | Path) -> None:
    """Runs ffmpeg; its complaint is the message where it fails."""
    command = [ffmpeg_program(), "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)}: {ran.stderr}")


def lavfi(source: str) -> list[str]:
    return ["-f", "lavfi", "-i", source]


def pattern(path: Path, seconds: float = 2, size: str = "64x48", rate: int = 10, *more: str) -> Path:
    """Moving test pattern without sound."""
    ffmpeg(*lavfi(f"testsrc2=s={size}:r={rate}:d={seconds:g}"), *(more or X264), path)
    return path


def with_tone(path: Path, seconds: float = 2, size: str = "64x48", *more: str) -> Path:
    """Moving test pattern with a tone."""
    given = [*lavfi(f"testsrc2=s={size}:r=10:d={seconds:g}"), *lavfi(f"{TONE}:d={seconds:g}")]
    ffmpeg(*given, *X264, "-c:a", "aac", *more, path)
    return path


def beep(at: float, seconds: float) -> list[str]:
    """Input of ffmpeg: silence with a beep of 0.2 s that starts at ``at``."""
    return lavfi(f"aevalsrc='if(between(t,{at:g},{at + 0.2:g}),0.8*sin(2*PI*880*t),0)':s=16000:d={seconds:g}")


def painted(path: Path, times: Sequence[float], pictures: Sequence[np.ndarray], codec: str = "libx264") -> Path:
    """A video of ``pictures`` (uint8 RGB of even sides) at ``times``, exact to a millisecond."""
    h, w = pictures[0].shape[:2]
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=Fraction(10))
        stream.width, stream.height = w, h
        stream.pix_fmt = "bgr0" if codec == "ffv1" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if codec == "libx264":
            stream.options = {"preset": "ultrafast", "crf": "10", "bf": "0"}
        for time, picture in zip(times, pictures, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = round(time * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


def grey(level: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    return np.full((*size, 3), level, np.uint8)


def quarters(h: int = 48, w: int = 64) -> np.ndarray:
    """Red, green, blue, white from the top left in reading order."""
    out = np.zeros((h, w, 3), np.uint8)
    out[: h // 2, : w // 2] = (250, 0, 0)
    out[: h // 2, w // 2 :] = (0, 250, 0)
    out[h // 2 :, : w // 2] = (0, 0, 250)
    out[h // 2 :, w // 2 :] = (250, 250, 250)
    return out


def corner_colours(picture: np.ndarray) -> list[str]:
    """Names of the colours in the middle of the four quarters, in reading order."""
    h, w = picture.shape[:2]
    names = {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 1): "white"}
    spots = [picture[h * y // 4, w * x // 4] for y in (1, 3) for x in (1, 3)]
    return [names.get(tuple(int(v > 128) for v in s), str(s)) for s in spots]


def turned(path: Path, degrees: int) -> None:
    """Sets the display matrix of the first track of an MP4: turned clockwise by 90, 180 or 270 degrees."""
    one = 0x10000
    a, b, c, d = {90: (0, one, -one, 0), 180: (-one, 0, 0, -one), 270: (0, -one, one, 0)}[degrees]
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # after version, times, id, duration, layer, volume
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 0x40000000)
    path.write_bytes(data)


def overwritten(path: Path, size: int = 3000) -> None:
    """Garbage in the middle of the media data of an MP4 whose index is at its end."""
    data = bytearray(path.read_bytes())
    first, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    middle = (first + end) // 2
    for k in range(middle - size // 2, middle + size // 2):
        data[k] = (k * 37 + 11) & 255
    path.write_bytes(data)


def cut_between_packets(path: Path) -> None:
    """Drops the second half of a file whose index is in front, at the border of two packets."""
    half = path.stat().st_size // 2
    with av.open(str(path)) as given:
        end = min(p.pos for p in given.demux() if p.pos is not None and p.pos > half)
    path.write_bytes(path.read_bytes()[:end])


def declared_long(path: Path) -> None:
    """Makes every duration that an MP4 declares 0x7fffffff."""
    data = bytearray(path.read_bytes())
    for box, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16), (b"elst", 8)):
        at = 0
        while (at := data.find(box, at)) >= 0:
            at += 4
            struct.pack_into(">I", data, at + offset, 0x7FFFFFFF)
    path.write_bytes(data)


def declared_wide(path: Path, width: int, height: int) -> None:
    """Changes the picture size that a Matroska header declares; both sides were 256 or more (two bytes)."""
    data = bytearray(path.read_bytes())
    for element, value in ((b"\xb0\x82", width), (b"\xba\x82", height)):
        struct.pack_into(">H", data, data.index(element) + 2, value)
    path.write_bytes(data)


SPEC = EncoderSpec("local", "space-1", 8)


def vectors(texts: Any) -> np.ndarray:
    rows = [np.frombuffer(hashlib.sha256(str(t).encode()).digest(), np.uint8)[:8] + 1.0 for t in texts]
    out = np.array(rows, np.float32).reshape(-1, 8)
    return out / np.linalg.norm(out, axis=1, keepdims=True)


class Local:
    """Engines for ``ingest_video``; counts calls, and raises where told to."""

    def __init__(self, *overrides: str) -> None:
        self.settings = profile.load("embedded", overrides).ingest
        self.calls: Counter[str] = Counter()
        self.broken: dict[str, Exception] = {}
        self.on_call: Callable[[str], None] = lambda what: None
        self.spec = SPEC

    def get(self, kind: str) -> Local:
        if f"load {kind}" in self.broken:
            raise self.broken[f"load {kind}"]
        return self

    def _called(self, what: str) -> None:
        self.calls[what] += 1
        self.on_call(what)
        if what in self.broken:
            raise self.broken[what]

    def transcribe(self, audio: np.ndarray, language: str | None, fallback: str | None = None) -> Transcript:
        self._called("asr")
        word = Word(0.2, 0.6, "hello.", 0.9)
        return Transcript((Segment(0.2, 0.6, "hello.", (word,), "en", None, -0.1, 0.1, 1.0),), "en", 0.9)

    def detect(self, picture: np.ndarray) -> np.ndarray:
        self._called("ocr")
        return np.array([[[0.1, 0.1], [0.9, 0.1], [0.9, 0.2], [0.1, 0.2]]], np.float32)

    def recognise(self, picture: np.ndarray, quads: np.ndarray) -> list[tuple[str, float]]:
        return [("Seats: 12", 0.95)] * len(quads)

    def documents(self, texts: list[str]) -> np.ndarray:
        self._called("text_encoder")
        return vectors(texts)

    def images(self, pictures: list[np.ndarray]) -> ImageBatch:
        self._called("image_text_encoder")
        one = (Label("cup", 0.9),)
        return ImageBatch(
            vectors(p.mean() for p in pictures), ("a cup",) * len(pictures), (one,) * len(pictures), ((),)
        )
