"""The error tree.

Every message says what went wrong, where, and what to do next, in one line::

    VidragError                      exit code 1
    ├── UsageError (ValueError)      2   the caller asked for something that cannot be
    │   ├── OptionError              2   an unknown key or a value out of range
    │   ├── NoSuchVideo (LookupError)2   no video of that name or id in the archive
    │   │   └── NotIndexed           2   it is there, but not indexed under the profile that asks
    │   ├── AmbiguousVideo           2   the name fits several videos
    │   └── NotAnArchive             2   the path holds no archive, or one of a newer format
    ├── ArchiveDamaged               4   a hash, a header or a row count does not hold
    ├── SpaceMismatch                2   vectors of another encoder than the one asked with
    ├── StorageError (OSError)       1   no space, no permission, a read-only disk
    ├── OutOfMemory                  1   the machine has too little memory for now
    ├── EngineMissing                5   an engine's packages are not installed
    ├── ModelMissing                 5   weights are not on this machine
    ├── EngineFailed                 1   an engine raised (a row in the ledger, not the end of a run)
    ├── StepTimeout                  1   a step of ingest took longer than it may (a row in the ledger)
    ├── WorkerDied                   1   the process that worked on a video died (a row in the ledger)
    ├── MediaError                   3   the video cannot be read (a row in the ledger)
    │   ├── NotAVideo                3   magic bytes of nothing that is decoded here
    │   ├── MediaLimit               3   refused: more pixels, hours or memory than allowed
    │   └── DecoderDied              3   the decoder crashed, hung or was stopped by a limit
    └── SourceChanged                3   the file changed while it was being read
"""

from __future__ import annotations


class VidragError(Exception):
    """Base of all errors that vidrag raises on purpose."""

    exit_code = 1
    permanent = False
    """True where a retry cannot help until the input itself changes."""


class UsageError(VidragError, ValueError):
    exit_code = 2


class OptionError(UsageError):
    pass


class NoSuchVideo(UsageError, LookupError):
    pass


class NotIndexed(NoSuchVideo):
    pass


class AmbiguousVideo(UsageError):
    pass


class NotAnArchive(UsageError):
    pass


class ArchiveDamaged(VidragError):
    exit_code = 4


class SpaceMismatch(VidragError):
    exit_code = 2


class StorageError(VidragError, OSError):
    pass


class OutOfMemory(VidragError):
    pass


class EngineMissing(VidragError):
    exit_code = 5


class ModelMissing(VidragError):
    exit_code = 5


MACHINE_ERRORS = (StorageError, OutOfMemory, EngineMissing, ModelMissing)
"""What is about the machine that a video was worked on, not about the video."""


def out_of_memory(error: BaseException) -> bool:
    """True for what Python, and torch for a GPU, raise where memory is short."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


class EngineFailed(VidragError):
    pass


class StepTimeout(VidragError):
    pass


class WorkerDied(VidragError):
    """``permanent``: it is raised only where another try is not worth it."""

    permanent = True


class MediaError(VidragError):
    exit_code = 3
    permanent = True


class NotAVideo(MediaError):
    pass


class MediaLimit(MediaError):
    pass


class DecoderDied(MediaError):
    permanent = False


class SourceChanged(VidragError):
    exit_code = 3


def one_line(error: BaseException, limit: int = 500) -> str:
    """The message of ``error`` as a single printable line of at most ``limit`` characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
