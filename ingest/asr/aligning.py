"""What WhisperX adds to a transcript: word times by forced alignment, and the names of speakers.

Both need weights of their own.  Where these are not here, the transcript stays as it is, and a note says so.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...store.errors import ModelMissing, one_line
from ...store.records import Segment, Word
from ...store.weights import models

Note = Callable[[str], None]


class Aligner:
    """Word times from a wav2vec 2.0 recogniser of the language spoken, loaded when that language is first heard.

    ``mode``: see ``WhisperXOptions.align``; with ``always`` missing weights raise :class:`ModelMissing`.
    """

    def __init__(self, mode: Literal["auto", "never", "always"], ref: str | None, where: str, note: Note) -> None:
        self.mode, self.ref, self.where, self.note = mode, ref, where, note
        self._loaded: dict[str, tuple[Any, dict[str, Any]] | None] = {}

    def timed(self, segments: Sequence[Segment], audio: NDArray[np.float32], language: str) -> list[Segment]:
        """``segments`` with words where alignment is possible, else as they are."""
        if self.mode == "never":
            return list(segments)
        if language not in self._loaded:
            self._loaded[language] = self._load(language)
        model = self._loaded[language]
        return [self._one(s, audio, model) for s in segments] if model else list(segments)

    def _load(self, language: str) -> tuple[Any, dict[str, Any]] | None:
        try:
            _sentence_splitter()
            return _align_model(language, self.ref, self.where)
        except ModelMissing as e:
            if self.mode == "always":
                raise
            self.note(f"whisperx: no word times for '{language}': {e}")
            return None

    def _one(self, segment: Segment, audio: NDArray[np.float32], model: tuple[Any, dict[str, Any]]) -> Segment:
        from whisperx.alignment import align

        given = {"start": segment.start, "end": segment.end, "text": segment.text}
        with contextlib.redirect_stdout(io.StringIO()):
            told = align([given], model[0], model[1], audio, self.where)
        return dataclasses.replace(segment, words=words_of(told["word_segments"], segment))


def words_of(raw: Sequence[Mapping[str, Any]], segment: Segment) -> tuple[Word, ...]:
    """Aligned words in order and inside of ``segment``; one that was not aligned is put where its neighbour ends.

    None at all where they do not spell the segment's text: half a row of words would be another row.
    """
    words: list[Word] = []
    at = segment.start
    for w in raw:
        text = str(w["word"]).strip()
        if not text:
            continue
        start = min(max(float(w.get("start", at)), at), segment.end)
        end = min(max(float(w.get("end", start)), start), segment.end)
        words.append(Word(start, end, text, min(1.0, max(0.0, float(w.get("score", 0.0))))))
        at = end
    spelled = "".join("".join(w.text for w in words).split())
    return tuple(words) if spelled == "".join(segment.text.split()) else ()


def _sentence_splitter() -> None:
    """Raises :class:`ModelMissing` where WhisperX would fetch NLTK's sentence splitter and cannot."""
    import nltk

    try:
        nltk.data.find("tokenizers/punkt_tab/english/")
    except LookupError as e:
        if models.offline() or not nltk.download("punkt_tab", quiet=True):
            raise ModelMissing("alignment needs NLTK's punkt_tab: python -m nltk.downloader punkt_tab") from e


def _align_model(language: str, ref: str | None, where: str) -> tuple[Any, dict[str, Any]]:
    from whisperx.alignment import DEFAULT_ALIGN_MODELS_TORCH, load_align_model

    name = str(models.folder_of(ref)) if ref else None
    if not ref and models.offline() and language in DEFAULT_ALIGN_MODELS_TORCH:
        _checkpoint(DEFAULT_ALIGN_MODELS_TORCH[language])
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            found: tuple[Any, dict[str, Any]] = load_align_model(
                language, where, model_name=name, model_cache_only=models.offline() or bool(ref)
            )
    except (OSError, ValueError, RuntimeError, KeyError) as e:
        raise ModelMissing(f"alignment weights {ref or 'of WhisperX'} cannot be loaded ({one_line(e, 120)})") from e
    return found


def _checkpoint(bundle: str) -> None:
    """Raises :class:`ModelMissing` where torchaudio would have to fetch the weights of ``bundle``."""
    import torch
    import torchaudio

    file = Path(str(getattr(getattr(torchaudio.pipelines, bundle), "_path", ""))).name
    if not file or not (Path(torch.hub.get_dir()) / "checkpoints" / file).is_file():
        raise ModelMissing(f"alignment weights {bundle} are not in torch's cache, and the network is off")


class Speakers:
    """Names of speakers from pyannote's diarization, alike within one piece of sound only."""

    def __init__(self, ref: str, where: str, note: Note) -> None:
        self.turns: Callable[[NDArray[np.float32]], Any] | None = None
        try:
            self.turns = _diarizer(ref, where)
        except ModelMissing as e:
            note(f"whisperx: no names of speakers: {e}")

    def named(self, segments: Sequence[Segment], audio: NDArray[np.float32]) -> list[Segment]:
        """``segments`` with the speaker who speaks most of each; as they are where diarization is not possible."""
        if self.turns is None:
            return list(segments)
        from whisperx.diarize import assign_word_speakers

        rows = [{"start": s.start, "end": s.end, "text": s.text} for s in segments]
        told = assign_word_speakers(self.turns(audio), {"segments": rows})["segments"]
        return [
            dataclasses.replace(s, speaker=str(t["speaker"]) if t.get("speaker") else None)
            for s, t in zip(segments, told, strict=True)
        ]


def _diarizer(ref: str, where: str) -> Callable[[NDArray[np.float32]], Any]:
    folder = models.folder_of(ref)
    from whisperx.diarize import DiarizationPipeline

    try:
        made: Callable[[NDArray[np.float32]], Any] = DiarizationPipeline(str(folder), device=where)
    except Exception as e:  # pyannote raises many types: all mean unusable weights
        raise ModelMissing(f"{ref}: pyannote cannot load it ({type(e).__name__}: {one_line(e, 120)})") from e
    return made
