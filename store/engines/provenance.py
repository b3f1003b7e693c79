"""What computed a cell besides its options: versions of libraries, and which code of theirs this CPU takes.

Recognised text differs in a word here and there from one kind of CPU to another; so each cell says on which it was
made.  None of this is part of a fingerprint: another machine computes nothing again.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from .. import engines
from ..weights import models

_KERNELS = ("avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "amx_int8", "asimddp", "i8mm", "sve")
"""Features of a CPU for which the libraries here have code of their own."""


def of_engine(kind: engines.Kind, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """The engine, the versions of what it requires, the hashes of its weights with the revision that the hub resolved
    them to, and the CPU's features, as JSON values.
    """
    cls = engines.find(kind, name)
    weights = {ref: _resolved(ref) for ref in cls.weights(engines.options(kind, name, values))}
    return {"name": name, "versions": _versions(cls.requires), "weights": weights, "cpu": cpu()}


def _versions(modules: Sequence[str]) -> dict[str, str]:
    known = _distributions()
    named = sorted({d for m in modules for d in known.get(m, ())})
    return {n: importlib.metadata.version(n) for n in named}


@cache
def _resolved(ref: str) -> dict[str, Any]:
    return asdict(models.resolved(ref))


@cache
def _distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


@cache
def cpu() -> str:
    """The architecture and those features that change which code runs, and what was forced upon CTranslate2."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    listed = next((x.partition(":")[2].split() for x in lines if x.startswith(("flags", "Features"))), [])
    forced = os.environ.get("CT2_FORCE_CPU_ISA")
    features = [k for k in _KERNELS if k in listed]
    return " ".join([platform.machine(), *features, *([f"CT2_FORCE_CPU_ISA={forced}"] if forced else [])])
