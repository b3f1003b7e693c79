"""A speech engine that recognises nothing: it looks up transcripts that were made elsewhere.

An engine is given sound and no more, so a transcript is kept under the hash of the sound that it belongs to::

    python -m vidrag_sidecar VIDEO TRANSCRIPT.json FOLDER

writes one file for each piece of sound that vidrag will hand over.  The transcript is a list of
``{"start": seconds, "end": seconds, "text": ..., "speaker": ... or null}``, or an object with that list as
``segments`` and the ``language``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from vidrag.ingest.asr import Transcript
from vidrag.store.engines import EngineOptions
from vidrag.store.errors import ModelMissing, UsageError, VidragError
from vidrag.store.records import Segment
from vidrag.store.weights import models


class SidecarOptions(EngineOptions):
    """``folder``: where the transcripts are.  ``required``: sound without one is an error, not silence."""

    folder: str = Field(min_length=1)
    required: bool = True


class Sidecar:
    """What vidrag's door for engines wants: options, what must be installed, weights, and the protocol's method."""

    Options = SidecarOptions
    requires = ("numpy",)
    extra = "ingest"

    @staticmethod
    def weights(options: SidecarOptions) -> Sequence[str]:
        """The folder counts as weights: when a transcript in it changes, speech is made anew."""
        return (options.folder,)

    def __init__(self, options: SidecarOptions) -> None:
        self.options = options
        self.folder = models.folder_of(options.folder)
        if not self.folder.is_dir():
            raise ModelMissing(f"{self.folder}: not a folder; write transcripts with 'python -m vidrag_sidecar'")

    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        path = self.folder / name_of(audio)
        if not path.is_file():
            if self.options.required:
                raise UsageError(f"{path.name}: no transcript of this sound in {self.folder}")
            return Transcript((), None, 0.0)
        told = read(path)
        spoken = told["language"] or language or fallback
        rows = tuple(segment(s, spoken) for s in told["segments"])
        return Transcript(rows, spoken, 1.0) if rows else Transcript((), None, 0.0)


def name_of(audio: NDArray[np.float32]) -> str:
    """The file of a piece of sound: the hash of its samples at 16 bits."""
    samples = (np.clip(audio, -1.0, 1.0) * 32767).astype("<i2")
    return f"{hashlib.sha256(samples.tobytes()).hexdigest()[:32]}.json"


def read(path: Path) -> dict[str, Any]:
    """A transcript; :class:`UsageError` says what is wrong with it."""
    try:
        told = json.loads(path.read_text("utf-8"))
        told = told if isinstance(told, dict) else {"segments": told}
        rows = [
            {**s, "start": float(s["start"]), "end": float(s["end"]), "text": str(s["text"])} for s in told["segments"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise UsageError(f"{path}: no transcript ({type(e).__name__}: {e})") from e
    if bad := next((r for r in rows if not 0 <= r["start"] < r["end"]), None):
        raise UsageError(f"{path}: a row ends before it begins ({bad['start']} to {bad['end']})")
    return {"language": told.get("language"), "segments": sorted(rows, key=lambda r: float(r["start"]))}


def segment(row: dict[str, Any], language: str | None) -> Segment:
    return Segment(row["start"], row["end"], row["text"].strip(), (), language, row.get("speaker"))


def write(video: Path, transcript: Path, folder: Path) -> int:
    """Cuts a transcript along the pieces that vidrag makes of a video's sound; returns how many it wrote."""
    from vidrag.ingest import media, speech

    told, options = read(transcript), media.MediaOptions()
    sound = media.audio(video, media.probe(video, options), options)
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for start, samples in speech.pieces(sound, speech.SpeechOptions().piece_s):
        end = start + len(samples) / 16_000
        own = [s for s in told["segments"] if start <= s["start"] < end]
        rows = [{**s, "start": s["start"] - start, "end": min(s["end"], end) - start} for s in own]
        (folder / name_of(samples)).write_text(json.dumps({"language": told["language"], "segments": rows}), "utf-8")
        count += 1
    return count


def main() -> int:
    if len(sys.argv) != 4:
        print("usage: python -m vidrag_sidecar VIDEO TRANSCRIPT.json FOLDER", file=sys.stderr)
        return 2
    video, transcript, folder = map(Path, sys.argv[1:])
    try:
        print(f"{write(video, transcript, folder)} transcripts in {folder}")
    except VidragError as e:
        print(f"vidrag_sidecar: {e}", file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
