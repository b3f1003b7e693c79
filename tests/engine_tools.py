"""Loading engines for the conformance suites: every registered one, skipped only where something is not installed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import pytest
from vidrag.store import engines
from vidrag.store.errors import EngineMissing, ModelMissing


def names(kind: engines.Kind) -> list[str]:
    """Every engine that is registered for ``kind``."""
    return [info.name for info in engines.available(kind)]


def loaded(kind: engines.Kind, name: str, options: Mapping[str, Any] | None = None) -> Any:
    """A ready engine; the test is skipped where its packages or its weights are not on this machine."""
    missing = engines.missing_modules(engines.find(kind, name))
    if missing:
        pytest.skip(f"{kind} engine '{name}' needs {', '.join(missing)}, which is not installed")
    try:
        return engines.load(kind, name, options)
    except (ModelMissing, EngineMissing) as e:
        pytest.skip(f"{kind} engine '{name}' cannot be loaded here: {e}")


def test_gguf() -> str:
    """The GGUF model for slow tests; the test is skipped where ``VIDRAG_TEST_GGUF`` names none."""
    path = os.environ.get("VIDRAG_TEST_GGUF")
    if not path:
        pytest.skip("VIDRAG_TEST_GGUF names no GGUF model")
    return path


test_gguf.__test__ = False  # type: ignore[attr-defined]
