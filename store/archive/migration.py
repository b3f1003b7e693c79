"""Archives of earlier versions, stored anew as this one stores them.  No video is decoded for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ..records import Cell
from .archive import Archive
from .manifest import Manifest
from .pictures import KIND, FrameWriter
from .shard import Shard


def migrate(archive: Archive, video: str) -> bool:
    """Gives the pictures of a video a file of their own; False where they have one.

    Fingerprints stay, so that nothing is computed again.  The old files stay until they are collected.  Raises
    :class:`~vidrag.store.errors.ArchiveDamaged` where a picture cannot be read: nothing is changed then.
    """
    manifest = archive.newest(video)
    old = list(_old(manifest)) if manifest and not manifest.deleted else []
    for cell in old:
        assert manifest is not None
        shard = Shard(archive.backend, f"videos/{video}", _only(manifest, cell))
        with archive.staging(manifest.source) as folder:
            frames = FrameWriter(folder, video)
            try:
                for frame, jpeg in shard.pictures():
                    frames.write(frame, jpeg)
            except BaseException:
                frames.abandon()
                raise
            files = frames.close(cell.fingerprint)
            staged = {file.name: path for file, path in files.items()}
            archive.replace(video, dataclasses.replace(cell, files=tuple(files)), staged)
    return bool(old)


def _old(manifest: Manifest) -> Iterator[Cell]:
    """Cells whose pictures lie in the table of frames; those of every profile."""
    return (c for c in manifest.cells if c.stage == "frames" and c.file("frames") and not c.file(KIND))


def _only(manifest: Manifest, cell: Cell) -> Manifest:
    return dataclasses.replace(manifest, current={cell.stage: cell.fingerprint})
