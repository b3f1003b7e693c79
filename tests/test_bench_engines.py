"""``vidrag bench engines``: the arithmetic by hand, and a run of fakes over the bundled sample."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from vidrag.jobs.bench import engines as bench
from vidrag.store.errors import EngineMissing, OptionError, UsageError


def test_names_and_options() -> None:
    assert bench.named("whisperx") == ("whisperx", {})
    assert bench.named("whisperx:model=hf:a/b,beam_size=1") == ("whisperx", {"model": "hf:a/b", "beam_size": "1"})
    with pytest.raises(OptionError, match="option=value"):
        bench.named("whisperx:beam_size")


def test_words_are_compared_without_spelling() -> None:
    said = bench.words("Twenty five men didn't go.", "en")
    assert said == ["25", "men", "didnt", "go"]
    assert bench.word_errors(said, bench.words("25 men did go there", "en")) == 2


def test_lines_are_judged_by_hand() -> None:
    found = bench.judge(["Tea at four", "Locker code: 4719"], ["tea atfour", "Locker code: 4718", "xyz"])
    assert found == {"wanted": 2, "found": 2, "exact": 1, "read": 3, "right": 2}
    assert bench.judge([], ["x"]) == {"wanted": 0, "found": 0, "exact": 0, "read": 1, "right": 0}


def test_fakes_over_the_sample(sample: Path) -> None:
    found = bench.run(sample, sample.with_suffix(".truth.json"), ["fake"], ["fake"], ["fake"], rate=0.2, side=320)
    (asr,), (ocr,) = found["asr"], found["ocr"]
    assert asr["words"] > 100 and asr["wer"] >= 0.9 and asr["cpu_per_s"] >= 0
    (encoder,) = found["image_text_encoder"]
    assert encoder["dim"] > 1 and encoder["cpu_per_picture"] >= 0 and encoder["cpu_per_text"] >= 0
    assert ocr["recall"] == 0 and found["lines"] > 10 and ocr["cpu_per_picture"] >= 0


def test_both_forms_of_truth(tmp_path: Path) -> None:
    shot = {"start": 0, "end": 5, "text": ["a"], "speech": [{"start": 1, "end": 2, "text": "b"}]}
    other = {"start": 0, "end": 5, "on_screen_text": ["a"], "narration": [{"start": 1, "end": 2, "text": "b"}]}
    for name, told in (("one", {"shots": [shot]}), ("two", {"segments": [other]})):
        (tmp_path / name).write_text(json.dumps(told))
        assert bench.read_truth(tmp_path / name) == [bench.Shot(0.0, 5.0, ("a",), ("b",))]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"shots": [1]}', '{"shots": [{"start": 0}]}'])
def test_no_truth_is_said_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(UsageError, match="no truth of a video"):
        bench.read_truth(tmp_path / "t.json")


def test_an_unknown_engine_is_named(sample: Path) -> None:
    with pytest.raises(EngineMissing, match="no asr engine named 'nobody'"):
        bench.run(sample, sample.with_suffix(".truth.json"), ["nobody"], [])
