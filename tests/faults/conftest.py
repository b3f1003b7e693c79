"""Fixtures of the fault suite."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.insert(0, str(HERE))

from fault_tools import Hands, compiled  # noqa: E402


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled shim."""
    return compiled(tmp_path_factory.mktemp("shim"))


@pytest.fixture(scope="session")
def hands(library: Path) -> Iterator[Hands]:
    made = Hands(library)
    yield made
    made.close()
