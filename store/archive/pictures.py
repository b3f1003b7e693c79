"""The pictures of a video: JPEGs one after the other in a file of their own; the table of frames says where each lies.

Such a file is what players know as Motion JPEG (``.mjpeg``).  One picture is read without the others.
"""

from __future__ import annotations

import dataclasses
import zlib
from bisect import bisect_right
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..encoders import Picture
from ..errors import ArchiveDamaged, StorageError, one_line
from ..records import Frame, StoredFile, StoredPicture
from ..storage.faults import storage_errors
from ..storage.protocol import Backend
from .schema import TableWriter
from .stored_files import stored

KIND = "pictures.mjpeg"


class FrameWriter:
    """Writes kept frames and their pictures; memory does not grow with their number."""

    def __init__(self, folder: Path, video: str) -> None:
        self._table = TableWriter(folder / "frames.parquet", "frames", video)
        self._path, self._offset = folder / KIND, 0
        with storage_errors(self._path):
            self._file = self._path.open("wb")

    def write(self, frame: Frame, jpeg: bytes) -> None:
        with storage_errors(self._path):
            self._file.write(jpeg)
        place = StoredPicture(self._offset, len(jpeg), zlib.crc32(jpeg))
        self._table.write([dataclasses.replace(frame, picture=place)])
        self._offset += len(jpeg)

    def close(self, fingerprint: str) -> dict[StoredFile, Path]:
        """The finished files; none where no frame came."""
        self._table.__exit__(None)
        with storage_errors(self._path):
            self._file.close()
        if not self._table.rows:
            return {}
        paths = {"frames": self._table.path, KIND: self._path}
        return {stored(kind, fingerprint, path, self._table.rows)[0]: path for kind, path in paths.items()}

    def abandon(self) -> None:
        self._table.__exit__(RuntimeError)
        with storage_errors(self._path):
            self._file.close()


def read_picture(backend: Backend, folder: str, file: StoredFile, place: StoredPicture, mend: str) -> bytes:
    """The JPEG at ``place`` of the stored ``file`` of ``folder``; no other byte is read.

    Raises :class:`ArchiveDamaged` where it is not there or has changed; ``mend`` goes into its message.
    """
    where = f"{backend.location}/{folder}/{file.name}"
    if place.offset < 0 or place.size < 0 or place.offset + place.size > file.bytes:
        raise ArchiveDamaged(f"{where}: a picture is said to lie outside of it; {mend}")
    for fresh in (False, True):  # a copy of a remote file may have gone bad, not the file itself
        try:
            data = backend.read_part(f"{folder}/{file.name}", place.offset, place.size, fresh)
        except StorageError:
            raise
        except OSError as e:
            raise ArchiveDamaged(f"{where}: holds pictures but is unreadable ({e.strerror or one_line(e)})") from e
        if len(data) == place.size and zlib.crc32(data) == place.crc32:
            return data
    raise ArchiveDamaged(f"{where}: the picture at byte {place.offset} is damaged; {mend}")


def decode_jpeg(data: bytes) -> Picture:
    """RGB uint8 ``(H, W, 3)``; :class:`ArchiveDamaged` where the bytes are no JPEG."""
    import cv2

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data[:2] == b"\xff\xd8" else None
    if picture is None:
        raise ArchiveDamaged("a stored frame is not a readable JPEG; run 'vidrag ingest' on the video again")
    found: Picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return found


def on_screen(frames: Sequence[Frame], time: float) -> int | None:
    """The number of the frame shown at ``time``, the first one before there is any; None where none is stored."""
    if not frames:
        return None
    return max(0, bisect_right(frames, time, key=lambda f: f.start) - 1)
