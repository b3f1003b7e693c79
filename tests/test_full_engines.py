"""Engines of the full profile where their packages are: notes, short memory, damaged weights, devices."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from engine_tools import loaded, paddle_models
from numpy.typing import NDArray
from vidrag.ingest.asr import Transcript
from vidrag.ingest.asr.aligning import words_of
from vidrag.store import engines
from vidrag.store.errors import EngineFailed, EngineMissing, ModelMissing, OptionError
from vidrag.store.records import Segment
from vidrag.store.weights import models

RATE = 16_000


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(models, "_offline", True)


@pytest.fixture(scope="module")
def whisperx() -> Any:
    return loaded("asr", "whisperx", {"chunk_size": 4})


def test_alignment_that_is_not_here_is_noted_once(whisperx: Any, sample_sound: NDArray[np.float32]) -> None:
    """Rows without word times, one note however often it is asked."""
    for _ in range(2):
        found = whisperx.transcribe(sample_sound[: 12 * RATE], "en")
        assert len(found.segments) > 1 and not any(s.words for s in found.segments)
    notes = [n for n in whisperx.notes if "no word times for 'en'" in n]
    assert len(notes) == 1 and "\n" not in notes[0]


def test_nothing_is_said_on_the_terminal() -> None:
    """Neither loading nor silence nor speech writes a word: standard output belongs to the command."""
    loaded("asr", "whisperx")  # skips where nothing is installed
    code = (
        "import numpy as np\n"
        "from vidrag.store import engines\n"
        "e = engines.load('asr', 'whisperx', {'model': 'whisper-base-ct2', 'align': 'never'})\n"
        "e.transcribe((np.random.default_rng(0).standard_normal(64000) * 0.01).astype(np.float32), None)\n"
    )
    env = {**os.environ, "VIDRAG_OFFLINE": "1"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert (told.returncode, told.stdout, told.stderr) == (0, "", "")


def test_alignment_that_is_demanded_is_an_error(sample_sound: NDArray[np.float32]) -> None:
    engine = loaded("asr", "whisperx", {"align": "always"})
    with pytest.raises(ModelMissing, match="align"):
        engine.transcribe(sample_sound[: 8 * RATE], "en")


def test_words_from_a_real_aligner(
    tmp_path: Path, sample_sound: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """wav2vec 2.0 of random weights: the times mean nothing, but they are in order and the words spell the row."""
    nltk = pytest.importorskip("nltk")
    pytest.importorskip("torch")
    monkeypatch.setattr(nltk.data, "path", [str(_no_abbreviations(tmp_path / "nltk"))])
    model = _random_aligner(tmp_path / "wav2vec2")
    engine = loaded("asr", "whisperx", {"align": "always", "align_model": str(model)})
    found = engine.transcribe(sample_sound[8 * RATE : 16 * RATE], "en")
    assert found.segments and not engine.notes
    for s in found.segments:
        assert " ".join(w.text for w in s.words) == s.text
        times = [t for w in s.words for t in (w.start, w.end)]
        assert times == sorted(times) and s.start <= times[0] and times[-1] <= s.end


def test_words_that_spell_another_text_are_no_words() -> None:
    row = Segment(1.0, 3.0, "one two three")
    raw = [{"word": "one", "start": 1.1, "end": 1.4, "score": 0.9}, {"word": "two"}, {"word": "three", "start": 9.0}]
    assert [(w.start, w.end) for w in words_of(raw, row)] == [(1.1, 1.4), (1.4, 1.4), (3.0, 3.0)]
    assert words_of(raw[:2], row) == ()


def test_speakers_that_are_not_here_are_noted(sample_sound: NDArray[np.float32]) -> None:
    engine = loaded("asr", "whisperx", {"diarize": True, "align": "never"})
    assert [n for n in engine.notes if "no names of speakers" in n]
    assert all(s.speaker is None for s in engine.transcribe(sample_sound[: 8 * RATE], "en").segments)


def test_rows_are_named_by_who_speaks_most(sample_sound: NDArray[np.float32]) -> None:
    """WhisperX's assignment over the table that pyannote's diarization gives."""
    engine = loaded("asr", "whisperx", {"diarize": True, "align": "never", "chunk_size": 4})
    import pandas

    table = pandas.DataFrame([(0.0, 7.5, "SPEAKER_00"), (7.5, 20.0, "SPEAKER_01")], columns=["start", "end", "speaker"])
    engine._speakers.turns = lambda _: table
    found = engine.transcribe(sample_sound[: 16 * RATE], "en").segments
    assert {s.speaker for s in found} == {"SPEAKER_00", "SPEAKER_01"}
    assert found[0].speaker == "SPEAKER_00" and found[-1].speaker == "SPEAKER_01"


def test_short_memory_halves_the_batch_of_the_real_pipeline(
    sample_sound: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same rows as with room enough; the smaller batch stays and is noted."""
    engine = loaded("asr", "whisperx", {"chunk_size": 4, "align": "never", "batch_size": 8})
    sound = sample_sound[: 30 * RATE]
    roomy = engine.transcribe(sound, None)
    real, seen = engine.pipeline._forward, list[int]()

    def tight(inputs: dict[str, Any]) -> Any:
        seen.append(len(inputs["inputs"]))
        if seen[-1] > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(inputs)

    monkeypatch.setattr(engine.pipeline, "_forward", tight)
    assert [s.text for s in engine.transcribe(sound, None).segments] == [s.text for s in roomy.segments]
    assert max(seen) > 2 and seen[-1] <= 2
    before = len(seen)
    engine.transcribe(sound, None)
    assert max(seen[before:]) <= 2
    assert any("out of memory, batches of" in n for n in engine.notes)


def test_memory_for_not_even_one_chunk_is_said_so(
    sample_sound: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = loaded("asr", "whisperx", {"align": "never"})

    def never(_: Any) -> Any:
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(engine.pipeline, "_forward", never)
    with pytest.raises(EngineFailed, match="single chunk"):
        engine.transcribe(sample_sound[: 8 * RATE], "en")


@pytest.mark.long
@pytest.mark.parametrize("name", ["whisperx", "whisper-30s"])
def test_a_doubtful_guess_gives_way(name: str, sample_sound: NDArray[np.float32]) -> None:
    """Where no guess is sure enough, the language of the sound before is taken; without one, the guess."""
    engine = loaded("asr", name, {"trust_language": 1.0})
    sound = sample_sound[8 * RATE : 16 * RATE]
    assert engine.transcribe(sound, None, fallback="de").language == "de"
    found = engine.transcribe(sound, None)
    assert found.language == "en" and 0.5 < found.confidence <= 1
    trusting = loaded("asr", name, {"trust_language": 0.2})
    assert trusting.transcribe(sound, None, fallback="de").language == "en"


@pytest.mark.parametrize("level", [0.0, 0.002])
def test_no_voice_no_words(level: float) -> None:
    """WhisperX hears nothing in silence and in faint noise."""
    engine = loaded("asr", "whisperx")
    sound = (np.random.default_rng(1).standard_normal(5 * RATE) * level).astype(np.float32)
    assert engine.transcribe(sound, None) == Transcript((), None, 0.0)


def test_chunks_are_blind(sample_sound: NDArray[np.float32]) -> None:
    """One row a chunk, from its start to its end, silent chunks left out."""
    engine = loaded("asr", "whisper-30s", {"chunk_s": 10})
    sound = np.concatenate([sample_sound[: 10 * RATE], np.zeros(10 * RATE, np.float32), sample_sound[: 4 * RATE]])
    rows = engine.transcribe(sound, "en").segments
    assert [(s.start, s.end) for s in rows] == [(0.0, 10.0), (20.0, 24.0)]


@pytest.mark.parametrize("name", ["faster-whisper", "whisperx", "whisper-30s"])
@pytest.mark.parametrize("harm", ["short", "no tokenizer", "other"])
def test_damaged_whisper_is_told_in_one_line(name: str, harm: str, tmp_path: Path) -> None:
    _needs("asr", name)
    for file, path in models.files("whisper-base-ct2").items():
        shutil.copy(path, tmp_path / file)
    if harm == "short":
        with (tmp_path / "model.bin").open("r+b") as f:
            f.truncate(1 << 20)
    elif harm == "other":
        (tmp_path / "model.bin").write_bytes(b"not a model" * 1000)
    else:
        (tmp_path / "tokenizer.json").unlink()
    _missing("asr", name, {"model": str(tmp_path)}, str(tmp_path))


def test_silero_is_not_fetched_offline() -> None:
    _needs("asr", "whisperx")
    _missing("asr", "whisperx", {"model": "whisper-base-ct2", "vad": "silero"}, "vad=pyannote")


@pytest.mark.parametrize("kind, name", [("asr", "whisperx"), ("ocr", "easyocr"), ("ocr", "paddleocr")])
def test_a_device_that_is_not_there(kind: engines.Kind, name: str) -> None:
    loaded(kind, name)  # skips where nothing is installed
    from engine_tools import needed

    with pytest.raises(EngineMissing, match="device 'cuda:7' is not there"):
        engines.load(kind, name, {**needed(kind, name), "device": "cuda:7"})


@pytest.mark.parametrize("harm", ["short", "no model", "no config", "broken config", "no folder"])
def test_damaged_paddle_folders_are_told_in_one_line(harm: str, tmp_path: Path) -> None:
    _needs("ocr", "paddleocr")
    made = paddle_models()
    if made is None:
        pytest.skip("no PaddleOCR folders: rapidocr-onnxruntime is not installed")
    det = tmp_path / "det"
    if harm != "no folder":
        shutil.copytree(made / "det", det)
    if harm == "short":
        with (det / "inference.onnx").open("r+b") as f:
            f.truncate(100_000)
    elif harm == "no model":
        (det / "inference.onnx").unlink()
    elif harm == "no config":
        (det / "inference.yml").unlink()
    elif harm == "broken config":
        (det / "inference.yml").write_text("{:")
    options = {"det_model": str(det), "rec_model": str(made / "rec"), "engine": "onnxruntime"}
    _missing("ocr", "paddleocr", options, str(det))


def test_paddle_that_is_not_installed_is_named() -> None:
    loaded("ocr", "paddleocr")
    if find_spec("paddle"):
        pytest.skip("paddle is installed")
    made = paddle_models()
    with pytest.raises(EngineMissing, match="pip install paddlepaddle"):
        engines.load("ocr", "paddleocr", {"det_model": f"{made}/det", "rec_model": f"{made}/rec", "engine": "paddle"})


@pytest.mark.parametrize("harm", ["short", "gone"])
def test_damaged_easyocr_weights_are_told_in_one_line(harm: str, tmp_path: Path) -> None:
    loaded("ocr", "easyocr")
    for file, path in models.files("easyocr-en").items():
        shutil.copy(path, tmp_path / file)
    bad = tmp_path / "english_g2.pth"
    if harm == "short":
        bad.write_bytes(bad.read_bytes()[:1000])
    else:
        bad.unlink()
    _missing("ocr", "easyocr", {"model": str(tmp_path)}, str(tmp_path))


def test_easyocr_languages_are_checked() -> None:
    loaded("ocr", "easyocr")
    with pytest.raises(OptionError, match="languages"):
        engines.load("ocr", "easyocr", {"languages": ["xx"]})
    _missing("ocr", "easyocr", {"languages": ["fr"]}, "easyocr-en")
    _missing("ocr", "easyocr", {"model": "hub", "languages": ["ja"]}, "hub")


def test_easyocr_unreadable_below_the_score(sample_picture: Any) -> None:
    picture = sample_picture(12.0)
    engine = loaded("ocr", "easyocr", {"score": 1.0})
    quads = engine.detect(picture)
    assert len(quads) and set(engine.recognise(picture, quads)) == {("", 0.0)}


def _needs(kind: engines.Kind, name: str) -> None:
    if missing := engines.missing_modules(engines.find(kind, name)):
        pytest.skip(f"{name} needs {', '.join(missing)}")


def _missing(kind: engines.Kind, name: str, options: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelMissing) as caught:
        engines.load(kind, name, options)
    assert told in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 600


def _no_abbreviations(folder: Path) -> Path:
    """NLTK's sentence splitter with nothing learned: it ends sentences at every full stop."""
    english = folder / "tokenizers" / "punkt_tab" / "english"
    english.mkdir(parents=True)
    for name in ("collocations.tab", "sent_starters.txt", "abbrev_types.txt", "ortho_context.tab"):
        (english / name).write_text("")
    return folder


def _random_aligner(folder: Path) -> Path:
    import torch
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    folder.mkdir()
    letters = ["<pad>", "<s>", "</s>", "<unk>", "|", "'", *"abcdefghijklmnopqrstuvwxyz"]
    (folder / "vocab.json").write_text(json.dumps({c: i for i, c in enumerate(letters)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        vocab_size=len(letters), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        conv_dim=(16,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, pad_token_id=0,
    )  # fmt: skip
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder
