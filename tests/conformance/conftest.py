"""Nothing is fetched to run the suites: an engine whose weights are not here is skipped, and says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from vidrag.store.weights import models


@pytest.fixture(autouse=True, scope="module")
def offline() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as changed:
        changed.setattr(models, "_offline", True)
        changed.setenv("HF_HUB_OFFLINE", "1")
        yield
