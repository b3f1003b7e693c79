"""The child process that touches a file with PyAV, under limits; the parent's side is :mod:`..media`.

It reads one file and writes messages to stdout: a kind, the number of bytes that follow, these bytes.  A frame is its
time and size (:data:`PICTURE`) and RGB; sound is float32, mono, 16 kHz; subtitles are SubRip text; ``DONE`` comes last
and is JSON; ``ALIVE`` says that work goes on.  All times are seconds on the axis of :mod:`.timeline`.
"""

from __future__ import annotations

import struct

HEAD = struct.Struct("<cI")
PICTURE = struct.Struct("<dII")
FRAME, SOUND, CUES, DONE, ALIVE = b"F", b"S", b"C", b"D", b"A"
RATE = 16_000
"""Samples a second of all sound."""
