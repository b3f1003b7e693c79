"""JPEG bytes to pictures."""

from __future__ import annotations

import numpy as np

from ..encoders import Picture
from ..errors import ArchiveDamaged


def decode_jpeg(data: bytes) -> Picture:
    """RGB uint8 ``(H, W, 3)``; :class:`ArchiveDamaged` where the bytes are no JPEG."""
    import cv2

    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data[:2] == b"\xff\xd8" else None
    if picture is None:
        raise ArchiveDamaged("a stored frame is not a readable JPEG; run 'vidrag ingest' on the video again")
    found: Picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
    return found
