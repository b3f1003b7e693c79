"""Every engine of every kind comes through the one door, with checked options and an identity."""

from __future__ import annotations

from typing import Any

import pytest
from engine_tools import names, needed
from pydantic.fields import FieldInfo
from vidrag.store import engines
from vidrag.store.engines import EngineOptions
from vidrag.store.errors import EngineMissing, ModelMissing, OptionError

EVERY = [(kind, name) for kind in engines.KINDS for name in names(kind)]
every = pytest.mark.parametrize("kind, name", EVERY)


def bounds(field: FieldInfo) -> list[Any]:
    """A value beyond each bound of a number; the same for the bounds ``gt`` and ``ge``, ``lt`` and ``le``."""
    out = []
    for limit in field.metadata:
        for attribute, step in (("ge", -1), ("gt", 0), ("le", 1), ("lt", 0)):
            value = getattr(limit, attribute, None)
            if value is not None:
                out.append(value + step)
    return out


def fields_of(kind: engines.Kind, name: str) -> dict[str, FieldInfo]:
    return engines.find(kind, name).Options.model_fields


BOUNDED = [(k, n, f, v) for k, n in EVERY for f, info in fields_of(k, n).items() for v in bounds(info)]


def another(model: type[EngineOptions], key: str, default: Any) -> Any:
    """A valid value of a field that is not its default; None where the field is not a plain switch or number."""
    if isinstance(default, bool):
        return not default
    if not isinstance(default, int | float):
        return None
    for value in (default + 1, default - 1, default / 2, default * 2):
        try:
            if getattr(model.model_validate({key: value}), key) != default:
                return value
        except ValueError:
            continue
    raise AssertionError(f"no other value of {key} is valid")


CHANGED = [
    (k, n, f, v)
    for k, n in EVERY
    for f, info in fields_of(k, n).items()
    if (v := another(engines.find(k, n).Options, f, info.default)) is not None
]


@every
def test_brings_what_the_door_demands(kind: engines.Kind, name: str) -> None:
    """A class with options, required modules, the extra that brings them and references of weights."""
    cls = engines.find(kind, name)
    assert issubclass(cls.Options, EngineOptions)
    assert isinstance(cls.requires, tuple) and cls.requires
    assert isinstance(cls.extra, str) and cls.extra
    assert all(isinstance(ref, str) and ref for ref in cls.weights(cls.Options()))
    info = next(i for i in engines.available(kind) if i.name == name)
    assert (info.kind, info.extra, info.missing) == (kind, cls.extra, engines.missing_modules(cls))
    assert info.distribution and (name != "fake" or info.distribution == "vidrag-fakes")


@every
def test_an_unknown_option_names_itself_and_the_known_ones(kind: engines.Kind, name: str) -> None:
    with pytest.raises(OptionError) as caught:
        engines.load(kind, name, {"colour": "red"})
    told = str(caught.value)
    assert f"{kind}={name}" in told and "'colour'" in told
    assert all(known in told for known in fields_of(kind, name))


@pytest.mark.parametrize("threads", [0, -1, 1.5, "many", None])
def test_threads_is_a_positive_number(threads: Any) -> None:
    """For every engine alike: the field is inherited."""
    for kind, name in EVERY:
        with pytest.raises(OptionError, match=f"{kind}={name}.threads"):
            engines.options(kind, name, {"threads": threads})


@pytest.mark.parametrize("kind, name, key, value", BOUNDED)
def test_a_value_out_of_range_names_itself(kind: engines.Kind, name: str, key: str, value: Any) -> None:
    """The message holds the option, the value given and the bound, in one line."""
    with pytest.raises(OptionError) as caught:
        engines.options(kind, name, {key: value})
    told = str(caught.value)
    assert f"{kind}={name}.{key}" in told and repr(value) in told
    assert "than" in told and "\n" not in told


@pytest.mark.parametrize("kind, name", EVERY)
def test_not_a_number_is_no_number(kind: engines.Kind, name: str) -> None:
    """Neither NaN nor infinity gets through a bound."""
    numbers = [k for k, f in fields_of(kind, name).items() if isinstance(f.default, float)]
    for key in numbers:
        for value in (float("nan"), float("inf"), "nan"):
            with pytest.raises(OptionError, match=key):
                engines.options(kind, name, {key: value})


@pytest.mark.parametrize("kind, name, key, value", CHANGED)
def test_the_identity_follows_what_changes_results(kind: engines.Kind, name: str, key: str, value: Any) -> None:
    """Options that change only the speed stay out of it, all others are in it."""
    try:
        base = needed(kind, name)
        plain = engines.identity(kind, name, base)
    except ModelMissing as e:
        pytest.skip(f"{kind} engine '{name}': {e}")
    runs_only = key in engines.find(kind, name).Options.runtime
    assert (engines.identity(kind, name, {**base, key: value}) == plain) is runs_only
    assert engines.identity(kind, name, {**base, key: fields_of(kind, name)[key].default}) == plain


@every
def test_threads_are_no_part_of_the_identity(kind: engines.Kind, name: str) -> None:
    assert "threads" in engines.find(kind, name).Options.runtime


@every
def test_options_cannot_be_changed(kind: engines.Kind, name: str) -> None:
    with pytest.raises(ValueError, match="frozen"):
        engines.options(kind, name, {}).threads = 3


@pytest.mark.parametrize("kind", engines.KINDS)
def test_an_unknown_engine_lists_the_known_ones(kind: engines.Kind) -> None:
    for ask in (engines.load, engines.find):
        with pytest.raises(EngineMissing) as caught:
            ask(kind, "nothing-of-that-name")
        told = str(caught.value)
        assert kind in told and "nothing-of-that-name" in told
        assert all(name in told for name in names(kind))
