"""Profiles: what a file or ``--set`` may say, and how a mistake is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from vidrag.ingest.stages import fingerprints
from vidrag.jobs import profile
from vidrag.store.errors import EngineMissing, OptionError


def test_the_embedded_profile_loads_without_any_option() -> None:
    found = profile.load()
    assert found.name == "embedded"
    assert (found.ingest.asr.name, found.ingest.ocr.name) == ("faster-whisper", "rapidocr")
    assert found.ingest.text_encoder.name == "e5"
    assert set(fingerprints(found.ingest)) >= {"media", "frames", "text", "speech"}


@pytest.mark.parametrize("how", ["text_encoder=minilm", "text_encoder.engine=minilm"])
def test_another_text_encoder_is_chosen_by_name(how: str) -> None:
    """And reaches what depends on it, nothing else: the label space has a MiniLM of its own in any case."""
    before, after = fingerprints(profile.load().ingest), fingerprints(profile.load("embedded", [how]).ingest)
    assert profile.load("embedded", [how]).ingest.text_encoder.name == "minilm"
    assert {s for s in before if before[s] != after[s]} == {"text_vectors", "speech_vectors", "chapters"}


def test_a_profile_is_named_as_on_the_command_line() -> None:
    """Without what changes answers only: the command is one that indexes or embeds."""
    assert profile.load().key().given == "--profile embedded"
    given = (
        profile.load(
            "embedded",
            ["asr.initial_prompt=a b", "search.videos=5", "retrieve.top_k=9", "chat=extractive", "text_encoder=minilm"],
        )
        .key()
        .given
    )
    assert given == "--profile embedded --set 'asr.initial_prompt=a b' --set text_encoder=minilm"


def test_one_value_changes_and_nothing_else() -> None:
    before, after = profile.load(), profile.load("embedded", ["sampling.rate=1", "asr.beam_size=1"])
    assert after.ingest.sampling == before.ingest.sampling.model_copy(update={"rate": 1.0})
    assert after.ingest.asr.options == {**before.ingest.asr.options, "beam_size": 1}
    assert after.ingest.ocr == before.ingest.ocr
    assert after.fingerprint() != before.fingerprint()
    assert profile.load().fingerprint() == before.fingerprint()


def test_any_option_that_changes_answers_changes_the_fingerprint() -> None:
    plain = profile.load().fingerprint()
    for change in ("search.videos=5", "retrieve.lexical=0.2", "speech.language=de", "detector.threshold=0.4"):
        assert profile.load("embedded", [change]).fingerprint() != plain, change
    assert profile.load("embedded", ["media.stall_s=5"]).fingerprint() == plain


def test_values_are_read_as_toml_or_else_as_text() -> None:
    assert profile.load("embedded", ["speech.language=de"]).ingest.speech.language == "de"
    assert profile.load("embedded", ['speech.language="de"']).ingest.speech.language == "de"
    assert profile.load("embedded", ["run.strict=true"]).ingest.strict
    assert profile.load("embedded", ["asr.initial_prompt=a = b"]).ingest.asr.options["initial_prompt"] == "a = b"


def test_later_settings_win() -> None:
    assert profile.load("embedded", ["sampling.rate=1", "sampling.rate=3"]).ingest.sampling.rate == 3


WRONG = {
    "sampling.rate=0": ("sampling.rate", "greater than 0", "given: 0"),
    "sampling.rate=31": ("sampling.rate", "less than or equal to 30", "given: 31"),
    "sampling.rate=fast": ("sampling.rate", "number", "fast"),
    "sampling.rate=nan": ("sampling.rate", "finite"),
    "sampling.rates=1": ("sampling", "unknown option 'rates'", "rate"),
    "reading.min_confidence=1.5": ("reading.min_confidence", "less than or equal to 1"),
    "speech.language=english": ("speech.language", "english"),
    "speech.piece_s=1": ("speech.piece_s", "greater than or equal to 10"),
    "asr.beam_size=0": ("asr", "beam_size", "greater than or equal to 1"),
    "asr.nope=1": ("asr", "unknown option 'nope'", "beam_size"),
    "run.attempts=0": ("run.attempts", "greater than or equal to 1"),
    "pools.any.workers=-1": ("pools.any.workers", "greater than or equal to 0"),
    "nowhere.option=1": ("unknown section 'nowhere'", "sampling"),
    "sampling": ("--set sampling", "section.option=value"),
    "=1": ("--set =1", "section.option=value"),
    "sampling=1": ("--set sampling=1", "asr"),
    "sampling.rate.deeper=1": ("sampling.rate",),
    "asr.model.x.y=1": ("asr",),
    "name.x=1": ("name",),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_names_key_and_bounds_in_one_line(text: str) -> None:
    with pytest.raises(OptionError) as caught:
        profile.load("embedded", [text])
    told = str(caught.value)
    assert "\n" not in told
    assert [part for part in WRONG[text] if part not in told] == []


def test_an_unknown_engine_lists_the_known_ones() -> None:
    with pytest.raises((OptionError, EngineMissing), match=r"no asr engine named 'nope'; installed: .*faster-whisper"):
        profile.load("embedded", ["asr=nope"])


def test_an_unknown_profile_lists_the_built_in_ones() -> None:
    with pytest.raises(OptionError, match=r"no profile 'nope'.*embedded"):
        profile.load("nope")


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return str(path)


def test_a_file_says_only_what_differs(tmp_path: Path) -> None:
    found = profile.load(written(tmp_path, "[sampling]\nrate = 1\n[asr]\nbeam_size = 2\n"))
    assert (found.name, found.ingest.sampling.rate) == ("mine", 1)
    assert found.ingest.asr.name == "faster-whisper"
    assert found.ingest.asr.options == {**profile.load().ingest.asr.options, "beam_size": 2}
    assert found.ingest.text_encoder == profile.load().ingest.text_encoder


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[sampling\n", "not valid TOML"),
        ("[sampling]\nrate = 99\n", "sampling.rate"),
        ("[sampeling]\nrate = 1\n", "unknown section 'sampeling'"),
        ("sampling = 3\n", "'sampling' must be a table"),
        ("[asr]\nengine = 5\n", "asr names no engine"),
    ],
)
def test_a_mistake_in_a_file_is_named(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as caught:
        profile.load(written(tmp_path, text))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_that_are_no_text_are_no_profile(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(OptionError, match="not valid TOML"):
        profile.load(str(tmp_path / "x.toml"))


def test_switches_of_the_command_line() -> None:
    base = profile.load()
    found = profile.with_switches(base, language="de", partial_fails=True)
    assert (found.ingest.speech.language, found.ingest.strict) == ("de", True)
    assert profile.with_switches(base) == base
    with pytest.raises(OptionError, match=r"speech\.language"):
        profile.with_switches(base, language="German")
