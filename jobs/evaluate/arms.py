"""Arms: named sets of profile overrides, read from ``arms.toml`` and from files of the same form."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from ...store.errors import OptionError, UsageError, one_line
from ...store.options import Options, parse_options

BASE = "ours"
Group = Literal["arms", "ablations"]
GROUPS: tuple[Group, ...] = ("arms", "ablations")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,60}")


class ArmOptions(Options):
    """``set``: overrides as for ``--set``.  ``subtitled``: asks the archive of official subtitles.  ``control``: asks
    no archive at all, see :mod:`.controls`.
    """

    title: str = ""
    set: tuple[str, ...] = Field(())
    subtitled: bool = False
    control: Literal["blind", "form"] | None = None


@dataclass(frozen=True, slots=True)
class Arm:
    name: str
    group: Group
    options: ArmOptions

    @property
    def title(self) -> str:
        return self.options.title or self.name


def load(more: Path | None = None) -> dict[str, Arm]:
    """Every arm by name: those that come with vidrag, then those of the file ``more``, which may replace them.

    Raises :class:`OptionError` that names the file, the arm and what does not fit.
    """
    found = _parsed((resources.files(__package__) / "arms.toml").read_text("utf-8"), "arms.toml")
    if more is not None:
        try:
            found |= _parsed(more.read_text("utf-8"), str(more))
        except OSError as e:
            raise UsageError(f"{more}: {e.strerror or e}") from e
        except UnicodeDecodeError as e:
            raise OptionError(f"{more}: not UTF-8 text (byte {e.start})") from e
    return found


def _parsed(text: str, where: str) -> dict[str, Arm]:
    try:
        told: Mapping[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as e:
        raise OptionError(f"{where}: not valid TOML: {one_line(e)}") from e
    found: dict[str, Arm] = {}
    for group, arms in told.items():
        if group not in GROUPS or not isinstance(arms, dict):
            raise OptionError(f"{where}: unknown section '{group}'; an arm is [arms.NAME] or [ablations.NAME]")
        for name, values in arms.items():
            if not _NAME.fullmatch(name):
                raise OptionError(f"{where}: '{name[:60]}' is no name of an arm: a-z, 0-9, '.', '_', '-'")
            if not isinstance(values, dict):
                raise OptionError(f"{where}: '{group}.{name}' must be a table")
            options = parse_options(ArmOptions, values, f"{where}: {group}.{name}")
            found[name] = Arm(name, "arms" if group == "arms" else "ablations", options)
    return found


def choose(known: Mapping[str, Arm], names: Sequence[str]) -> list[Arm]:
    """The arms called ``names`` in the order of the files; ``arms``, ``ablations`` and ``all`` stand for several."""
    wanted: set[str] = set()
    for name in names:
        several = [a.name for a in known.values() if name in ("all", a.group)]
        if not several and name not in known:
            raise UsageError(f"no arm '{name}'; known: all, {', '.join((*GROUPS, *known))}")
        wanted |= {*several} or {name}
    return [a for a in known.values() if a.name in wanted]
