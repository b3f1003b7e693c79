"""The one door for engines: ``load(kind, name, options)``.

Built-in engines and plugins come in alike, through entry points of the groups ``vidrag.asr``, ``vidrag.ocr``,
``vidrag.text_encoder``, ``vidrag.image_text_encoder``, ``vidrag.reranker``, ``vidrag.detector`` and ``vidrag.chat``.
An entry point names a class that is cheap to import and has

- ``Options``: a subclass of :class:`EngineOptions`;
- ``requires``: the modules that must be importable, and ``extra``: the extra of vidrag that brings them;
- ``weights(options)``: references for :mod:`vidrag.store.weights.models` of the weights that it reads;
- a constructor that takes the options and loads everything; it is called inside the worker that uses the engine.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Literal, Protocol

from pydantic import Field

from ..errors import EngineMissing, one_line
from ..options import Options, parse_options
from ..weights import models

Kind = Literal["asr", "ocr", "text_encoder", "image_text_encoder", "reranker", "detector", "chat"]
KINDS: tuple[Kind, ...] = ("asr", "ocr", "text_encoder", "image_text_encoder", "reranker", "detector", "chat")


class EngineOptions(Options):
    """Base of engine options; ``threads`` is the number of CPU threads the engine may use."""

    runtime: ClassVar[frozenset[str]] = frozenset({"threads"})
    threads: int = Field(1, ge=1, le=1024)


class EngineClass(Protocol):
    """What an entry point names."""

    Options: type[EngineOptions]
    requires: tuple[str, ...]
    extra: str

    @staticmethod
    def weights(options: Any) -> Sequence[str]: ...

    def __call__(self, options: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """An installed engine; ``missing`` lists modules that it needs and does not find."""

    kind: Kind
    name: str
    distribution: str
    extra: str
    missing: tuple[str, ...]


@cache
def _entry_points(kind: Kind) -> dict[str, importlib.metadata.EntryPoint]:
    return {e.name: e for e in importlib.metadata.entry_points(group=f"vidrag.{kind}")}


def find(kind: Kind, name: str) -> EngineClass:
    """The class behind a name; raises :class:`EngineMissing` with the known names where there is none."""
    points = _entry_points(kind)
    if name not in points:
        known = ", ".join(sorted(points)) or "none (was vidrag installed again after its entry points changed?)"
        raise EngineMissing(f"no {kind} engine named '{name}'; installed: {known}")
    try:
        found: EngineClass = points[name].load()
    except Exception as e:  # a plugin may fail in any way
        raise EngineMissing(f"{kind} engine '{name}' cannot be imported: {type(e).__name__}: {one_line(e)}") from e
    return found


def options(kind: Kind, name: str, values: Mapping[str, Any]) -> EngineOptions:
    return parse_options(find(kind, name).Options, values, f"{kind}={name}")


def identity(kind: Kind, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """What makes this engine's results its own: name, options and hashes of the weights.  Loads no model."""
    cls, opts = find(kind, name), options(kind, name, values)
    refs = {ref: models.fingerprint(ref) for ref in cls.weights(opts)}
    return {"engine": name, "options": opts.identity(), "weights": refs}


def missing_modules(cls: EngineClass) -> tuple[str, ...]:
    return tuple(m for m in cls.requires if not _importable(m))


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package around it is missing
        return False


def load(kind: Kind, name: str, values: Mapping[str, Any] | None = None) -> Any:
    """A ready engine.

    Raises :class:`EngineMissing` where packages are missing, :class:`~vidrag.store.errors.ModelMissing` where weights
    are, ``OptionError`` for options that do not fit.
    """
    cls = find(kind, name)
    opts = options(kind, name, values or {})
    if missing := missing_modules(cls):
        raise EngineMissing(
            f"{kind} engine '{name}' needs {', '.join(missing)}; install it with: pip install 'vidrag[{cls.extra}]'"
        )
    return cls(opts)


def available(kind: Kind) -> list[EngineInfo]:
    """Every engine that is registered for ``kind``, whether or not its packages are there."""
    infos = []
    for name, point in sorted(_entry_points(kind).items()):
        dist = point.dist.name if point.dist else "?"
        try:
            cls = find(kind, name)
            infos.append(EngineInfo(kind, name, dist, cls.extra, missing_modules(cls)))
        except EngineMissing as e:
            infos.append(EngineInfo(kind, name, dist, "", (one_line(e),)))
    return infos
