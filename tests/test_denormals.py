"""Denormal numbers count as zero while an engine computes, and only then."""

from __future__ import annotations

import platform
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from vidrag.ingest.asr.faster_whisper import FasterWhisper
from vidrag.ingest.ocr.rapid import Rapid
from vidrag.store.engines.denormals import as_zero

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"), reason=f"not set on {platform.machine()}"
)
SMALL = np.full(8, 1e-39, np.float32)


def half() -> float:
    return float((SMALL * np.float32(0.5)).max())


def test_only_inside_and_only_in_this_thread() -> None:
    assert half() > 0
    with ThreadPoolExecutor(1) as other:
        other.submit(half).result()
        with as_zero():
            assert half() == 0
            assert other.submit(half).result() > 0
            with as_zero():
                assert half() == 0
            assert half() == 0
    assert half() > 0


def test_it_is_put_back_after_an_error() -> None:
    with pytest.raises(ValueError, match="x"), as_zero():
        raise ValueError("x")
    assert half() > 0


def test_engines_compute_so() -> None:
    """Their methods are wrapped: those that run networks of ONNX."""
    for method in (Rapid.__init__, Rapid.detect, Rapid.recognise, FasterWhisper.transcribe):
        assert hasattr(method, "__wrapped__"), method
