"""Reads an archive of vidrag without vidrag: pyarrow and faiss are enough.

    python docs/read_archive.py archive/

prints a line of JSON for each row that is said, read or seen.  The format: docs/format.md.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import pyarrow.parquet as pq

STAGES = {"speech": "speech", "text": "text", "frames": "frames", "labels": "frame_vectors", "chapters": "chapters"}
VECTORS = {"speech": "speech_vectors", "text": "text_vectors", "frames": "frame_vectors"}


def videos(archive: Path) -> Iterator[Video]:
    """Every video that is in the archive."""
    if json.loads((archive / "archive.json").read_text())["format"] > 1:
        raise SystemExit(f"{archive}: is of a later format")
    for folder in sorted((archive / "videos").iterdir()):
        if re.fullmatch("[0-9a-f]{16}", folder.name) and (body := newest(folder)) and not body["deleted"]:
            yield Video(folder, body)


def newest(folder: Path) -> dict[str, Any] | None:
    """The newest valid manifest."""
    numbers = [(int(m[1]), p) for p in folder.iterdir() if (m := re.fullmatch(r"manifest-(\d{6,})\.json", p.name))]
    for _, path in sorted(numbers, reverse=True):
        try:
            body: dict[str, Any] = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
            checksum = body.pop("checksum")
        except (ValueError, KeyError):
            continue
        if hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest() == checksum:
            if body["format"] > 1:
                raise SystemExit(f"{path}: is of a later format")
            return body
    return None


class Video:
    """The cells of the last ingest of one video."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder, self.manifest = folder, manifest

    def cell(self, stage: str) -> dict[str, Any]:
        """The current cell of a stage; empty where it found nothing, failed or was not run."""
        wanted = (stage, self.manifest["current"].get(stage), "ok")
        found = (c for c in self.manifest["cells"] if (c["stage"], c["fingerprint"], c["status"]) == wanted)
        return next(found, {})

    def file(self, stage: str, kind: str) -> Path | None:
        """A file whose size and hash are those of the manifest; None where the stage has none."""
        told = next((f for f in self.cell(stage).get("files", ()) if f["kind"] == kind), None)
        if told is None:
            return None
        data = (self.folder / told["name"]).read_bytes()
        if (len(data), hashlib.sha256(data).hexdigest()) != (told["bytes"], told["sha256"]):
            raise SystemExit(f"{self.folder / told['name']}: is damaged")
        return self.folder / told["name"]

    def rows(self, kind: str) -> list[dict[str, Any]]:
        """Rows of ``speech``, ``text``, ``frames``, ``labels`` or ``chapters``."""
        path = self.file(STAGES[kind], kind)
        found: list[dict[str, Any]] = pq.read_table(path).to_pylist() if path else []
        return found

    def vectors(self, kind: str) -> np.ndarray | None:
        """Vectors of the rows of ``speech``, ``text`` or ``frames``, float32 ``(rows, dim)``."""
        path = self.file(VECTORS[kind], f"{kind}.faiss")
        index = faiss.read_index(str(path)) if path else None
        return None if index is None else index.reconstruct_n(0, index.ntotal)

    def picture(self, row: int) -> bytes:
        """The JPEG of one frame; no other is read."""
        frame = self.rows("frames")[row]
        if "jpeg" in frame:  # an archive of before pictures lay apart
            return bytes(frame["jpeg"])
        told = next(f for f in self.cell("frames")["files"] if f["kind"] == "pictures.mjpeg")
        with (self.folder / told["name"]).open("rb") as f:
            f.seek(frame["picture"]["offset"])
            data = f.read(frame["picture"]["size"])
        if zlib.crc32(data) != frame["picture"]["crc32"]:
            raise SystemExit(f"{self.folder / told['name']}: is damaged")
        return data


if __name__ == "__main__":
    for video in videos(Path(sys.argv[1])):
        for kind, column in (("speech", "text"), ("text", "text"), ("labels", "caption"), ("chapters", "title")):
            for row in video.rows(kind):
                told = {"video": video.manifest["video"], "kind": kind, "start": row["start"], "end": row["end"]}
                print(json.dumps({**told, "text": row[column]}))
