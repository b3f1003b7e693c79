"""Finds the videos of a data set in an archive, by file name."""

from __future__ import annotations

from collections.abc import Sequence

from ...store.archive.archive import Archive
from ...store.archive.names import base, same, stem
from ...store.errors import AmbiguousVideo, ArchiveDamaged, NoSuchVideo, one_line
from ...store.fingerprints import digest
from .dataset import Dataset, Question


class Videos:
    """The videos of one archive under the names that a data set has for them."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self._found: dict[tuple[str, ...], str | None] = {}
        self._content: dict[str, str] = {}

    def find(self, names: tuple[str, ...]) -> str | None:
        """The id of the video that has one of ``names``, with or without its ending; None where there is none.

        Raises :class:`AmbiguousVideo` where one fits several.
        """
        if names not in self._found:
            self._found[names] = next((v for n in names if (v := self._by_name(n))), None)
        return self._found[names]

    def _by_name(self, name: str) -> str | None:
        for form in dict.fromkeys((base(name), stem(base(name)))):
            try:
                video = self.archive.find(form)
            except NoSuchVideo:
                continue
            own = self.archive.manifest(video)
            wanted = {same(form), same(stem(form))}
            # an id of a video site may look like the beginning of one of ours
            if video == form or (own and wanted & {f for n in own.source.names for f in (same(n), same(stem(n)))}):
                return video
        return None

    def ids(self, question: Question) -> list[str]:
        """The videos that ``question`` is about; :class:`NoSuchVideo` names the first that is not there."""
        if question.videos is None:
            return [s.video for s in self.archive.shards()]
        found = []
        for names in question.videos:
            video = self.find(names)
            if video is None:
                raise NoSuchVideo(names[0])
            found.append(video)
        return found

    def content(self, video: str) -> str:
        """Changes with anything that the index of ``video`` says."""
        if video not in self._content:
            own = self.archive.manifest(video)
            cells = [own.cell(s) for s in sorted(own.current)] if own else []
            self._content[video] = digest(
                [[c.stage, c.fingerprint, c.status, [f.sha256 for f in c.files]] for c in cells if c]
            )
        return self._content[video]

    def from_subtitles(self, videos: Sequence[str]) -> int:
        """Of how many videos speech was taken from subtitles."""
        cells = [own.cell("speech") for v in videos if (own := self.archive.manifest(v))]
        return sum(c is not None and c.data.get("source") in ("sidecar", "embedded") for c in cells)


def present(dataset: Dataset, videos: Videos) -> tuple[list[Question], dict[str, int]]:
    """The questions whose videos are all there; and how many questions wait for each video that is not."""
    there, missing = [], dict[str, int]()
    for question in dataset.questions:
        try:
            videos.ids(question)
            there.append(question)
        except (NoSuchVideo, AmbiguousVideo, ArchiveDamaged) as e:
            name = one_line(e, 200)
            missing[name] = missing.get(name, 0) + 1
    return there, missing
