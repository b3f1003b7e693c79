"""Index videos once, then ask as many questions as you like; every answer cites its seconds.

    import vidrag

    vidrag.ingest("archive", ["~/Videos"])
    archive = vidrag.open("archive")
    answer = archive.ask("Where are the lockers?")
    print(answer)
    for row in answer.cited():
        print(row.name, row.start, row.end, row.text)

Importing this loads nothing heavy; encoders and models are loaded by the first question.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .jobs.api import (
        Answer,
        AsyncVideoArchive,
        IngestReport,
        SearchResults,
        VideoArchive,
        __version__,
        ingest,
        open,
        open_async,
    )
    from .store.errors import (
        AmbiguousVideo,
        ArchiveDamaged,
        EngineMissing,
        ModelMissing,
        NoSuchVideo,
        NotAnArchive,
        UsageError,
        VidragError,
    )

__all__ = [
    "AmbiguousVideo", "Answer", "ArchiveDamaged", "AsyncVideoArchive", "EngineMissing", "IngestReport", "ModelMissing",
    "NoSuchVideo", "NotAnArchive", "SearchResults", "UsageError", "VideoArchive", "VidragError", "__version__",
    "ingest", "open", "open_async",
]  # fmt: skip
_ERRORS = {
    "AmbiguousVideo", "ArchiveDamaged", "EngineMissing", "ModelMissing", "NoSuchVideo", "NotAnArchive", "UsageError",
    "VidragError",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loads what is asked for at its first use."""
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    if name == "ingest":  # a package of this name lies below; it is made callable when it is set
        return import_module(f"{__name__}.ingest")
    found = getattr(import_module(f"{__name__}.store.errors" if name in _ERRORS else f"{__name__}.jobs.api"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Ingest(ModuleType):
    """The package ``vidrag.ingest``, which is also the function."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Indexes videos; see ``vidrag.jobs.api.ingest``."""
        from .jobs.api import ingest

        return ingest(*arguments, **options)


class _Vidrag(ModuleType):
    def __setattr__(self, name: str, value: Any) -> None:
        if name == "ingest" and isinstance(value, ModuleType):
            value.__class__ = _Ingest
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Vidrag
