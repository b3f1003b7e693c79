"""Object detectors: the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from ....store.encoders import Picture
from ....store.records import Detection


@runtime_checkable
class Detector(Protocol):
    """Finds named things in pictures."""

    identity: str
    """Changes whenever results would: part of the key under which detections are cached."""

    def knows(self, entity: str) -> str | None:
        """The detector's own name for ``entity`` (any wording, singular or plural); None where it cannot know it."""
        ...

    def detect(self, picture: Picture, entities: Sequence[str]) -> tuple[Detection, ...]:
        """Those of ``entities`` that are in the picture (names as ``knows`` gives them), best first."""
        ...


@runtime_checkable
class BatchDetector(Detector, Protocol):
    """One that is faster with several pictures at a time."""

    def detect_many(self, pictures: Sequence[Picture], entities: Sequence[str]) -> list[tuple[Detection, ...]]:
        """What :meth:`Detector.detect` finds in each of ``pictures``, in their order."""
        ...
