"""For which videos of an archive its index may be believed just now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..archive.archive import Archive
from ..archive.shard import Shard
from ..errors import ArchiveDamaged, NoSuchVideo, NotIndexed, StorageError, one_line
from .index import ArchiveIndex, Block, Kind, Wanted, wanted


@dataclass(slots=True)
class Coverage:
    """What of an index may be believed just now.

    ``live``: its blocks that are the newest; ``fresh``: for videos with rows that it does not hold, these rows;
    ``numbers``: highest version of each video when it was looked at; ``rows``: those of speech and text in all videos;
    ``changed``: there is something that a new version of the index would say otherwise; ``damaged``: what is wrong with
    videos that cannot be read, by video; ``behind``: videos of which an older version was read; ``other``: those that
    are indexed under other profiles only.
    """

    numbers: Mapping[str, int]
    live: list[Block] = field(default_factory=list)
    fresh: dict[str, dict[Kind, Wanted]] = field(default_factory=dict)
    rows: int = 0
    changed: bool = False
    damaged: dict[str, str] = field(default_factory=dict)
    behind: set[str] = field(default_factory=set)
    other: set[str] = field(default_factory=set)


def coverage(archive: Archive, index: ArchiveIndex | None, numbers: Mapping[str, int] | None = None) -> Coverage:
    """Holds an index against the archive.  Reads the manifests of only those videos that have a new version."""
    out = Coverage(archive.newest_numbers() if numbers is None else numbers)
    ours = index is not None and index.manifest.profile == profile_of(archive)
    held = index.videos if index is not None and ours else {}
    news = {v: n for v, n in out.numbers.items() if held.get(v) != n}
    blocks: dict[str, list[Block]] = {v: [] for v in news}
    for block in index.blocks if index else ():
        if block.video in news:
            blocks[block.video].append(block)
        elif block.video in out.numbers:
            out.live.append(block)
            out.rows += block.rows if block.first >= 0 else 0
        else:
            out.changed = True
    archive.fetch(news)
    out.changed = out.changed or bool(news)
    for video, number in news.items():
        own = blocks[video]
        try:
            found = archive.newest(video, number)
        except StorageError:
            raise
        except (ArchiveDamaged, NoSuchVideo, OSError) as e:
            out.damaged[video] = one_line(e)
            continue
        if found is None or found.version != number:  # it cannot be read just now, or never again
            out.behind.add(video)
        have: dict[Kind, Wanted] = {}
        try:
            have = wanted(archive.asked(found)) if found and not found.deleted else {}
        except NotIndexed:
            out.other.add(video)
        out.rows += sum(w.file.rows for k, w in have.items() if k != "frames")
        good = [b for b in own if b.kind in have and b.names == have[b.kind].names]
        out.live += good
        if missing := {k: w for k, w in have.items() if k not in {b.kind for b in good}}:
            out.fresh[video] = missing
    return out


def profile_of(archive: Archive) -> str:
    """Names whose cells an index over ``archive`` holds: those of its profile, or all current ones."""
    return f"{archive.profile.name} {archive.profile.settings}" if archive.profile else ""


def shard(archive: Archive, video: str, damaged: dict[str, str], number: int = 0) -> Shard | None:
    """The newest version of a video; None where it has gone or is damaged, which is told in ``damaged``.

    ``number``: see :meth:`.Archive.manifest`.
    """
    try:
        return archive.shard(video, number)
    except NoSuchVideo:
        return None
    except ArchiveDamaged as e:
        damaged[video] = one_line(e)
        return None
