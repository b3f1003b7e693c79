"""The one door for engines, plugins included: what comes through and what every miss says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from vidrag.store import engines
from vidrag.store.engines import EngineOptions
from vidrag.store.errors import EngineMissing, ModelMissing, OptionError, UsageError, VidragError, one_line
from vidrag.store.options import Options, parse_options

NEEDY = """
from vidrag.store.engines import EngineOptions

class Needy:
    Options = EngineOptions
    requires = ("numpy", "no_such_module", "no_such_package.inner")
    extra = "needy"

    @staticmethod
    def weights(options):
        return ("no-such-weights",)

    def __init__(self, options):
        raise AssertionError("never made")
"""


def plugin(site: Path, module: str, code: str, points: str) -> None:
    """Installs a distribution of one module with entry points."""
    info = site / f"{module}-0.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 0\n")
    (info / "entry_points.txt").write_text(points)


def told(env: dict[str, str], site: Path, code: str) -> Any:
    """What a fresh process with the plugins of ``site`` prints as JSON."""
    code = f"import json\nfrom vidrag.store import engines\nfrom vidrag.store.errors import *\n{code}"
    env = {**env, "PYTHONPATH": f"{site}:{env['PYTHONPATH']}"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_plugins_and_built_ins_come_alike() -> None:
    """The fakes come through the same door, under the name of their distribution."""
    for kind in engines.KINDS:
        found = {info.name: info for info in engines.available(kind)}
        assert found["fake"].distribution == "vidrag-fakes" and found["fake"].kind == kind
        assert len(found) >= 2
        assert list(found) == sorted(found)
        made = engines.load(kind, "fake", {"threads": 3})
        assert made.options.threads == 3


def test_each_load_is_a_new_engine() -> None:
    assert engines.load("chat", "fake") is not engines.load("chat", "fake")


def test_missing_modules_name_the_extra(tmp_path: Path, child_env: dict[str, str]) -> None:
    """An engine whose packages are missing is listed with what it lacks, and is not made."""
    plugin(tmp_path, "needy", NEEDY, "[vidrag.asr]\nneedy = needy:Needy\n")
    code = """
info = next(i for i in engines.available("asr") if i.name == "needy")
try:
    engines.load("asr", "needy")
except EngineMissing as e:
    print(json.dumps([info.missing, str(e)]))
"""
    missing, message = told(child_env, tmp_path, code)
    assert missing == ["no_such_module", "no_such_package.inner"]
    assert "'needy'" in message and "no_such_module" in message and "pip install 'vidrag[needy]'" in message


def test_a_broken_plugin_leaves_the_others(tmp_path: Path, child_env: dict[str, str]) -> None:
    """One that cannot be imported is missing, with the reason; everything else is found as before."""
    plugin(tmp_path, "broken", "import no_such_module_either", "[vidrag.chat]\nbroken = broken:Broken\n")
    code = """
names = [i.name for i in engines.available("chat")]
try:
    engines.load("chat", "broken")
except EngineMissing as e:
    print(json.dumps([names, str(e)]))
"""
    names, message = told(child_env, tmp_path, code)
    assert {"extractive", "openai", "fake"} <= set(names)
    assert "broken" in message and "no_such_module_either" in message


def test_missing_weights_are_told_before_any_work() -> None:
    """The identity of an engine whose weights are nowhere cannot be told."""
    with pytest.raises(ModelMissing, match="no-such-weights"):
        engines.identity("text_encoder", "minilm", {"model": "no-such-weights"})


def test_the_identity_holds_name_options_and_weights() -> None:
    """And is JSON."""
    found = engines.identity("text_encoder", "minilm", {"max_tokens": 64})
    assert found["engine"] == "minilm"
    assert found["options"]["max_tokens"] == 64
    assert set(found["weights"]) == {"minilm-l6-int8"}
    assert json.loads(json.dumps(found)) == found


def test_the_identity_follows_the_weights(tmp_path: Path) -> None:
    """Another file under the same options is another engine."""
    prints = []
    for name in "ab":
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.onnx").write_text(name)
        prints.append(engines.identity("text_encoder", "minilm", {"model": str(tmp_path / name)})["weights"])
    assert [*prints[0].values()] != [*prints[1].values()]


class Sample(EngineOptions):
    """Options of the tests."""

    runtime = frozenset({"threads", "batch"})
    batch: int = Field(4, ge=1, le=8)
    share: float = Field(0.5, gt=0, lt=1)
    name: str = "x"
    deep: dict[str, int] = Field(default_factory=dict)


@pytest.mark.parametrize(
    "values, words",
    [
        ({"colour": 1}, ["s: unknown option 'colour'", "batch", "deep", "name", "share", "threads"]),
        ({"batch": 0}, ["s.batch", "greater than or equal to 1", "0"]),
        ({"batch": 9}, ["s.batch", "less than or equal to 8", "9"]),
        ({"share": 1}, ["s.share", "less than 1", "1"]),
        ({"batch": "many"}, ["s.batch", "integer", "'many'"]),
        ({"batch": 1.5}, ["s.batch", "integer", "1.5"]),
        ({"share": float("nan")}, ["s.share", "finite"]),
        ({"name": None}, ["s.name", "string", "None"]),
        ({"deep": {"a": "b"}}, ["s.deep.a", "integer", "'b'"]),
        ({"runtime": []}, ["s: unknown option 'runtime'"]),
    ],
)
def test_what_does_not_fit_is_named(values: dict[str, Any], words: list[str]) -> None:
    """The option, what was given, and what is allowed, in one line."""
    with pytest.raises(OptionError) as caught:
        parse_options(Sample, values, "s")
    assert [w for w in words if w not in str(caught.value)] == []
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, UsageError | ValueError) and caught.value.exit_code == 2


def test_what_fits_is_taken() -> None:
    """Defaults for the rest; speed stays out of the identity."""
    made = parse_options(Sample, {"batch": 8, "share": 0.25}, "s")
    assert (made.batch, made.share, made.name, made.threads) == (8, 0.25, "x", 1)
    assert made.identity() == {"share": 0.25, "name": "x", "deep": {}}


def test_options_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Options().threads = 2  # type: ignore[attr-defined]


def test_an_unknown_kind_of_engine_names_the_kinds() -> None:
    """What is no kind has no engines."""
    with pytest.raises(EngineMissing, match="no smell engine named 'x'"):
        engines.load("smell", "x")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text, line",
    [("a\nb\t c", "a b c"), ("", "VidragError"), ("\x1b[31mred\x07", "?[31mred?"), ("x" * 600, "x" * 499 + "…")],
)
def test_messages_are_one_printable_line(text: str, line: str) -> None:
    assert one_line(VidragError(text)) == line
