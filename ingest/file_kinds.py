"""What files and folders are by their names: which claim to be videos or sound, and which never are."""

from __future__ import annotations

import os
import re

MEDIA = frozenset(
    "mp4 m4v mov mkv webm avi wmv asf flv f4v mpg mpeg m1v m2v ts mts m2ts vob ogv ogg mxf 3gp 3g2 dv dif h264 264 "
    "h265 265 hevc mp3 m4a m4b aac ac3 eac3 ec3 wav flac oga opus wma aif aiff aifc caf mka".split()
)
"""Endings of names that claim to be videos or sound; other files count where their first bytes say so."""
AMBIGUOUS = frozenset({"ts", "mts"})
"""Endings in :data:`MEDIA` that other things have too (TypeScript): the first bytes decide."""
SUBTITLES = (".srt", ".vtt", ".ass", ".ssa", ".sbv", ".ttml", ".dfxp", ".json3")
"""Endings of subtitle files that are read."""
UNREAD_SUBTITLES = (".smi", ".sami", ".sub", ".idx", ".sup", ".stl", ".scc", ".lrc", ".usf")
"""Endings of subtitle files that are not read, which a user is told."""
_PHOTOS = frozenset(
    "jpg jpeg jpe jfif png gif webp heic heics heif heifs hif avif avifs bmp tif tiff svg psd ico jxl jp2 jpx dng cr2 "
    "cr3 crw nef nrw arw srf sr2 orf rw2 raf pef insp".split()
)
_UNFINISHED = frozenset(
    "part crdownload partial download opdownload filepart aria2 ytdl !ut !qb bc! dtapart fdmdownload td xltd".split()
)
_SYSTEM_FOLDERS = frozenset(
    "@eadir|#recycle|#snapshot|$recycle.bin|recycler|system volume information|.trashes|.stfolder|.stversions|"
    ".snapshot|.snapshots|.spotlight-v100|.fseventsd|.documentrevisions-v100|.temporaryitems|__macosx|lost+found".split(
        "|"
    )
)
_SYSTEM_FILES = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini"})
_RSYNC = re.compile(r"\.(.+)\.[A-Za-z0-9]{6}")
_SYNCTHING = re.compile(r"[.~]syncthing[.~].*\.tmp")

PHOTO, SUBTITLE, TEXT, OTHER = "photos", "subtitle files", "texts", "other files"
EXCLUDED, EMPTY, SPECIAL, HIDDEN = "excluded", "empty files", "pipes and devices", "hidden files"
UNFINISHED, SYSTEM, APPLE = "unfinished downloads", "system files", "AppleDouble files"
HIDDEN_FOLDER, SYSTEM_FOLDER, ARCHIVES = "hidden folders", "system folders", "archives of vidrag"


def ending(name: str) -> str:
    """``mp4`` for ``talk.MP4``."""
    return os.path.splitext(name)[1].lower().lstrip(".")


def named_like_media(name: str) -> bool:
    return ending(name) in MEDIA


def never_media(name: str) -> str:
    """Why a file of this name is passed over where a folder is walked; empty for one that may be a video."""
    if name.startswith("._"):
        return APPLE
    if name.lower() in _SYSTEM_FILES:
        return SYSTEM
    if name.startswith(".") and name.lower().endswith(".icloud"):
        return EMPTY
    if _unfinished(name):
        return UNFINISHED
    if name.startswith("."):
        return HIDDEN
    return PHOTO if ending(name) in _PHOTOS else ""


def never_walked(name: str) -> str:
    """Why a folder of this name is passed over; empty for one that is walked."""
    lowered = name.lower()
    if lowered in _SYSTEM_FOLDERS or lowered.startswith(".trash-"):
        return SYSTEM_FOLDER
    if _unfinished(name):  # Safari downloads into a folder
        return UNFINISHED
    return HIDDEN_FOLDER if name.startswith(".") else ""


def _unfinished(name: str) -> bool:
    last = ending(name)
    if last in _UNFINISHED or last.startswith("part-frag") or _SYNCTHING.fullmatch(name.lower()):
        return True
    copied = _RSYNC.fullmatch(name)
    return copied is not None and named_like_media(copied[1])


def summed_up(passed_over: dict[str, int]) -> str:
    """``12 photos, 1 unfinished download``, the most frequent first."""
    most = sorted(passed_over.items(), key=lambda p: (-p[1], p[0]))
    return ", ".join(f"{n} {kind if n != 1 else _ONE.get(kind, kind.removesuffix('s'))}" for kind, n in most)


_ONE = {SPECIAL: "pipe or device", ARCHIVES: "archive of vidrag"}
