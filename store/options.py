"""Options that are checked: immutable, no unknown keys, bounds beside the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import OptionError


class Options(BaseModel):
    """Base of every options class: immutable, no unknown keys, bounds beside the field.

    ``runtime`` names the fields that change how fast a result comes but not the result; they stay out of fingerprints.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    runtime: ClassVar[frozenset[str]] = frozenset()

    def identity(self) -> dict[str, Any]:
        """The fields that change results, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.runtime))


T = TypeVar("T", bound=Options)


def parse_options(model: type[T], values: Mapping[str, Any], where: str) -> T:
    """``model`` made from ``values``; an unknown key or a value out of range is named in one line with its bounds."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as e:
        first = e.errors()[0]
        key = ".".join(str(p) for p in first["loc"]) or "?"
        if first["type"] == "extra_forbidden":
            known = ", ".join(sorted(model.model_fields)) or "none"
            raise OptionError(f"{where}: unknown option '{key}'; known: {known}") from e
        raise OptionError(f"{where}.{key}: {first['msg']} (given: {first['input']!r})") from e
