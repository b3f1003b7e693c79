"""``embed_video``: computes what comes of the stored rows of a video anew, its vectors above all.

Neither the video nor its subtitle files are read, and they need not be there any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..store.archive.archive import Archive
from ..store.archive.manifest import Manifest
from ..store.errors import NoSuchVideo
from ..store.records import Cell
from .conduct import Conduct
from .stages import FROM_STORE, STAGES, IngestSettings, from_rows
from .video_job import Engines, Outcome, VideoJob, missing


def outdated(manifest: Manifest, settings: IngestSettings, conduct: Conduct) -> list[str]:
    """The stages of a video that are to be computed from its rows, which are those of its current cells."""
    return missing(manifest, from_rows(settings, manifest.current), FROM_STORE, conduct)


def embed_video(video: str, archive: Archive, loaded: Engines, conduct: Conduct) -> list[Outcome]:
    """Brings the vectors and chapters of a video up to date with the settings of ``loaded``; an outcome a stage.

    ``archive``: under the profile whose rows are meant.  Raises :class:`~vidrag.store.errors.NoSuchVideo` where the
    video is not in it, or is taken out meanwhile, and :class:`~vidrag.store.errors.ArchiveDamaged` where its rows
    cannot be read.
    """
    manifest = archive.manifest(video)
    if manifest is None:
        raise NoSuchVideo(f"{archive.location}: no video with id {video}")
    return _Embedding(manifest, archive, loaded, conduct).run()


class _Embedding(VideoJob):
    """The stages of a video that is in the archive, and is not put there again where it is taken out."""

    def __init__(self, manifest: Manifest, archive: Archive, loaded: Engines, conduct: Conduct) -> None:
        prints = from_rows(loaded.settings, manifest.current)
        super().__init__(manifest.source, manifest.source.paths[0], archive, loaded, prints, STAGES, conduct)

    def run(self) -> list[Outcome]:
        assert self.manifest is not None
        self.duration = self.manifest.duration
        self.todo = missing(self.manifest, self.prints, FROM_STORE, self.conduct)
        self._promote()
        self._from_store()
        return [self._outcome(s) for s in self.stages]

    def _put(self, cells: Mapping[str, Cell], staged: Mapping[str, Path]) -> Manifest:
        if self.archive.manifest(self.video) is None:  # before files are put where nobody would remove them
            raise NoSuchVideo(f"{self.archive.location}: video {self.video} was taken out")
        return self.archive.publish(self.source, cells, staged, self.conduct.profile, add=False)
