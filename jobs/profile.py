"""A profile: every option of every step, composed from a TOML file and ``--set`` overrides."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import Field

from ..ingest.chapters import ChapterOptions
from ..ingest.media import MediaOptions
from ..ingest.reading import ReadingOptions
from ..ingest.sampling import SamplingOptions
from ..ingest.speech import SpeechOptions
from ..ingest.stages import GROUPS, EngineChoice, IngestSettings, settings_key
from ..ingest.subtitles import SubtitleOptions
from ..ingest.tracks import TrackOptions
from ..query.asker import AskOptions
from ..query.find.search import SearchOptions
from ..store import engines
from ..store.archive.manifest import ProfileKey
from ..store.errors import OptionError
from ..store.fingerprints import digest
from ..store.options import Options, parse_options
from ..store.shell import quoted
from .places import PoolOptions

BUILT_IN = ("embedded", "standard", "full", "paper")
_MODELS: Mapping[str, type[Options]] = {
    "media": MediaOptions,
    "sampling": SamplingOptions,
    "reading": ReadingOptions,
    "tracks": TrackOptions,
    "speech": SpeechOptions,
    "subtitles": SubtitleOptions,
    "chapters": ChapterOptions,
}
_ASK = tuple(AskOptions.model_fields)
_ASKING = ("search", "reranker", "detector", "chat", "pools")


class RunOptions(Options):
    """``attempts``: failures, or deaths of its worker, after which a step of a video is given up.  ``strict``: a video
    that decodes in part only has failed.  ``step_timeout_s`` and ``step_timeout_per_s``: seconds that a step may take,
    and so many more for each second of video.  ``share_s``: a video longer than so many seconds is shared out: workers
    take stretches of it of at most that length, and its rows stay what they are (0: one worker has all of it).
    """

    attempts: int = Field(3, ge=1, le=100)
    strict: bool = False
    step_timeout_s: float = Field(900.0, gt=0)
    step_timeout_per_s: float = Field(20.0, ge=0)
    share_s: float = Field(0.0, ge=0)


@dataclass(frozen=True, slots=True)
class Profile:
    """What a run needs to know."""

    name: str
    ingest: IngestSettings
    ask: AskOptions
    search: SearchOptions
    reranker: EngineChoice
    detector: EngineChoice
    chat: EngineChoice
    run: RunOptions
    pools: Mapping[str, PoolOptions]
    given: str = ""
    """The words of a command line that name it and its overrides."""

    def key(self) -> ProfileKey:
        """As the store knows it."""
        return ProfileKey(self.name, settings_key(self.ingest), self.given)

    def fingerprint(self) -> str:
        """Changes with any option that changes results."""
        ingest = {f.name: _plain(getattr(self.ingest, f.name)) for f in fields(IngestSettings)}
        own = [_plain(self.reranker), _plain(self.detector), _plain(self.chat)]
        return digest([ingest, self.ask.identity(), self.search.identity(), *own])


def _plain(value: Any) -> Any:
    if isinstance(value, EngineChoice):
        return [value.name, dict(value.options)]
    return value.identity() if isinstance(value, Options) else value


def load(name: str = "embedded", overrides: Sequence[str] = ()) -> Profile:
    """A built-in profile or a TOML file, with ``section.key=value`` overrides (``section=value`` sets an engine).

    What a file leaves out is as in the embedded profile.  :class:`OptionError` names what does not fit.
    """
    return replace(compose(table(name, overrides)), given=words(name, overrides))


def words(name: str, overrides: Sequence[str] = ()) -> str:
    """The same as words of a command line: what decides what ingest makes."""
    asking = (*_ASK, *_ASKING)
    own = [o for o in overrides if o.partition("=")[0].partition(".")[0].strip() not in asking]
    return " ".join([f"--profile {quoted(name)}", *(f"--set {quoted(o)}" for o in own)])


def table(name: str = "embedded", overrides: Sequence[str] = ()) -> dict[str, Any]:
    """What :func:`load` composes: the options as they stand in the file and in the overrides, section by section."""
    return changed(_read(name), overrides)


def changed(table: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """A copy of ``table`` with overrides laid over it."""
    table = copy.deepcopy(table)
    for text in overrides:
        _override(table, text)
    return table


def _read(name: str) -> dict[str, Any]:
    base = _built_in(BUILT_IN[0])
    if name == BUILT_IN[0]:
        return base
    if name in BUILT_IN:
        return _over(base, _built_in(name))
    path = Path(name)
    if not path.is_file():
        raise OptionError(f"no profile '{name}': neither a built-in one ({', '.join(BUILT_IN)}) nor a TOML file")
    try:
        given = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as e:
        raise OptionError(f"{path}: not valid TOML: {e}") from e
    given.setdefault("name", path.stem)
    return _over(base, given)


def _built_in(name: str) -> dict[str, Any]:
    return tomllib.loads((resources.files(__package__) / f"{name}.toml").read_text("utf-8"))


def _over(base: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """``given`` laid over ``base``: another engine brings all of its options, pools replace those that were there."""
    for key, value in given.items():
        same_engine = (
            isinstance(value, dict)
            and isinstance(base.get(key), dict)
            and (value.get("engine", base[key].get("engine")) == base[key].get("engine"))
        )
        base[key] = {**base[key], **value} if same_engine and key != "pools" else value
    return base


def _override(table: dict[str, Any], text: str) -> None:
    key, equals, raw = text.partition("=")
    section, dot, option = key.strip().partition(".")
    if not equals or not section:
        raise OptionError(f"--set {text}: expected section.option=value, for example retrieve.threshold=0.25")
    try:
        value = tomllib.loads(f"x = {raw}")["x"]
    except tomllib.TOMLDecodeError:
        value = raw
    if not dot:
        if section == "name":
            table["name"] = str(value)
            return
        if section not in engines.KINDS:
            raise OptionError(f"--set {text}: only {', '.join(engines.KINDS)} can be set without an option name")
        table[section] = {"engine": str(value)}
        return
    inner = table.setdefault(section, {})
    *path, last = option.split(".")
    for step in path:
        inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner
    if not isinstance(inner, dict):
        raise OptionError(f"--set {text}: '{key.rpartition('.')[0]}' has no options of its own")
    inner[last] = value


def compose(table: dict[str, Any]) -> Profile:
    known = ("name", *_MODELS, *engines.KINDS, *_ASK, "search", "run", "pools")
    for section, value in table.items():
        if section not in known:
            raise OptionError(f"profile: unknown section '{section}'; known: {', '.join(known[1:])}")
        if section != "name" and not isinstance(value, dict):
            raise OptionError(f"profile: '{section}' must be a table of options")
    choice = {k: _choice(k, table.get(k, {})) for k in engines.KINDS}
    groups: dict[str, Any] = {s: parse_options(m, table.get(s, {}), s) for s, m in _MODELS.items()}
    run = parse_options(RunOptions, table.get("run", {}), "run")
    ingest = IngestSettings(
        **groups,
        asr=choice["asr"],
        ocr=choice["ocr"],
        text_encoder=choice["text_encoder"],
        image_text_encoder=choice["image_text_encoder"],
        strict=run.strict,
    )
    ask = AskOptions(**{s: parse_options(type(getattr(AskOptions(), s)), table.get(s, {}), s) for s in _ASK})
    search = parse_options(SearchOptions, table.get("search", {}), "search")
    name = str(table.get("name", "?"))
    asking = choice["reranker"], choice["detector"], choice["chat"]
    return Profile(name, ingest, ask, search, *asking, run, _pools(table.get("pools", {})))


def _pools(table: Mapping[str, Any]) -> dict[str, PoolOptions]:
    for name, section in table.items():
        if not isinstance(section, dict):
            raise OptionError(f"profile: 'pools.{name}' must be a table of options")
    pools = {n: parse_options(PoolOptions, s, f"pools.{n}") for n, s in table.items()}
    for group in GROUPS:
        if not any(group in p.groups for p in pools.values()):
            raise OptionError(f"profile: no pool takes the group '{group}'; name it in the groups of one")
    return pools


def _choice(kind: engines.Kind, section: Mapping[str, Any]) -> EngineChoice:
    name = section.get("engine")
    if not isinstance(name, str):
        raise OptionError(f"profile: {kind} names no engine")
    values = {k: v for k, v in section.items() if k != "engine"}
    parsed = engines.options(kind, name, values)
    return EngineChoice(name, parsed.model_dump(exclude_unset=True))


def with_switches(
    profile: Profile, *, language: str | None = None, audio_track: int | None = None, partial_fails: bool = False
) -> Profile:
    """The profile with the command line's own switches laid over it."""
    ingest = profile.ingest
    given = {k: v for k, v in (("language", language), ("audio_track", audio_track)) if v}
    if given:
        speech = parse_options(SpeechOptions, {**ingest.speech.model_dump(), **given}, "speech")
        ingest = replace(ingest, speech=speech)
    if partial_fails:
        ingest = replace(ingest, strict=True)
    return replace(profile, ingest=ingest)
