"""WhisperX (Bain et al., 2023, arXiv 2303.00747): batched Whisper between voice activity detection and alignment.

Whatever of it needs weights that are not here (alignment, diarization) is left out with a note.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...store.engines import EngineOptions
from ...store.engines.devices import device, out_of_memory, set_threads
from ...store.errors import EngineFailed, ModelMissing, one_line
from ...store.records import Segment, Span
from ...store.weights import models
from . import Transcript
from .aligning import Aligner, Speakers
from .ctranslate import RATE, guessed, unloadable, whisper_folder

log = logging.getLogger("vidrag.engines")
_SHORTEST = RATE // 10  # samples; less than this has no word in it
_LOUD = frozenset({"whisperx", "pyannote", "lightning", "pytorch"})


class WhisperXOptions(EngineOptions):
    """``model``: a CTranslate2 Whisper: weights reference, folder or ``hf:OWNER/REPO``.  ``device``: ``cpu``, ``cuda``,
    ``cuda:1``; ``auto`` takes a GPU where there is one.  ``compute_type``: CTranslate2's number format; ``auto`` is
    float16 on a GPU and int8 elsewhere.  ``batch_size``: chunks at a time; halved by itself where memory runs out.

    ``vad``: ``pyannote`` (its weights are in the package) or ``silero`` (fetched from the network, with its code).
    ``onset``, ``offset``: probabilities at which voice begins and ends.  ``chunk_size``: longest stretch of speech
    recognised at once, seconds; it is also the longest row where words are not aligned.  ``trust_language``: a guessed
    language less probable than this gives way to that of the sound before.

    ``align``: word times from a phoneme recogniser: ``auto`` where its weights are here or can be had, ``never``, or
    ``always`` (an error where they are not).  ``align_model``: its folder or ``hf:OWNER/REPO`` (wav2vec 2.0 with CTC);
    None takes WhisperX's own for the language.  ``diarize``: name the speaker of each row, ``SPEAKER_00`` and so on
    within one piece of sound (``speech.piece_s``), with ``diarize_model``.
    """

    runtime = frozenset({"threads", "device", "batch_size"})
    model: str = "hf:Systran/faster-whisper-large-v3"
    device: str = Field("auto", pattern=r"^(?:auto|cpu|cuda(?::\d+)?)$")
    compute_type: str = "auto"
    batch_size: int = Field(16, ge=1, le=1024)
    beam_size: int = Field(5, ge=1, le=20)
    vad: Literal["pyannote", "silero"] = "pyannote"
    onset: float = Field(0.5, gt=0, lt=1)
    offset: float = Field(0.363, gt=0, lt=1)
    chunk_size: int = Field(15, ge=2, le=30)
    trust_language: float = Field(0.7, ge=0, le=1)
    initial_prompt: str | None = None
    align: Literal["auto", "never", "always"] = "auto"
    align_model: str | None = None
    diarize: bool = False
    diarize_model: str = "hf:pyannote/speaker-diarization-community-1"


class WhisperX:
    """WhisperX's pipeline; ``notes`` says what was left out or made smaller, each thing once."""

    Options = WhisperXOptions
    requires = ("whisperx", "faster_whisper", "ctranslate2", "torch")
    extra = "whisperx"

    @staticmethod
    def weights(options: WhisperXOptions) -> Sequence[str]:
        return (options.model, options.align_model) if options.align_model else (options.model,)

    def __init__(self, options: WhisperXOptions) -> None:
        self.options = options
        self.notes: list[str] = []
        where = device(options.device)
        self._where = where if where.startswith("cuda") else "cpu"  # CTranslate2 knows no other
        self._size = options.batch_size
        self.pipeline = _pipeline(options, self._where)
        self._chunks: list[dict[str, Any]] = []
        self._remember_voice()
        self._guess: tuple[str, float] = ("", 0.0)
        self._aligner = Aligner(options.align, options.align_model, self._where, self._note)
        self._speakers = Speakers(options.diarize_model, self._where, self._note) if options.diarize else None

    def transcribe(self, audio: NDArray[np.float32], language: str | None, fallback: str | None = None) -> Transcript:
        if len(audio) < _SHORTEST or not np.any(np.abs(audio) > 1e-4):
            return Transcript((), None, 0.0)
        set_threads(self.options.threads)
        self._guess = (language or "", 1.0)
        self.pipeline.detect_language = lambda sound: self._language(sound, fallback)
        found = self._batched(np.ascontiguousarray(audio, np.float32), language)
        code, sure = self._guess
        seconds = len(audio) / RATE
        heard = [s for raw in found if (s := _segment(raw, code, seconds))]
        if not heard:
            return Transcript((), None, 0.0)
        heard = self._aligner.timed(heard, audio, code)
        if self._speakers:
            heard = self._speakers.named(heard, audio)
        return Transcript(tuple(heard), code, sure, self._voiced(seconds))

    def _batched(self, audio: NDArray[np.float32], language: str | None) -> list[dict[str, Any]]:
        """WhisperX's rows; where memory runs out, the same again with half the batch, for good."""
        while True:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    told = self.pipeline.transcribe(
                        audio, batch_size=self._size, language=language, chunk_size=self.options.chunk_size
                    )
                return list(told["segments"])
            except Exception as e:
                self.pipeline.tokenizer = None  # it holds the language that this call guessed
                if not out_of_memory(e):
                    raise EngineFailed(f"whisperx: {type(e).__name__}: {one_line(e, 200)}") from e
                if self._size == 1:
                    raise EngineFailed(
                        "whisperx: out of memory with a single chunk; use a smaller model, compute_type=int8 or "
                        f"another device ({one_line(e, 120)})"
                    ) from e
                self._size = max(1, min(self._size, len(self._chunks) or self._size) // 2)
                self._note(f"whisperx: out of memory, batches of {self._size} from here on")

    def _remember_voice(self) -> None:
        """Keeps what voice activity detection finds, which WhisperX uses and drops."""
        vad = self.pipeline.vad_model
        merged = vad.merge_chunks

        def kept(*args: Any, **more: Any) -> Any:
            self._chunks = merged(*args, **more)
            return self._chunks

        vad.merge_chunks = kept

    def _language(self, audio: NDArray[np.float32], fallback: str | None) -> str:
        """The language of where a voice is first; called by the pipeline after voices were found."""
        if not self._chunks:
            return fallback or "en"  # nothing will be recognised
        first = max(0, int(self._chunks[0]["start"] * RATE))
        self._guess = guessed(self.pipeline.model, audio[first:], fallback, self.options.trust_language)
        return self._guess[0]

    def _voiced(self, seconds: float) -> tuple[Span, ...]:
        spans = [(max(0.0, float(a)), min(seconds, float(b))) for c in self._chunks for a, b in c["segments"]]
        return tuple(Span(a, b) for a, b in sorted(spans) if a < b)

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
            log.warning(note)


def _pipeline(options: WhisperXOptions, where: str) -> Any:
    """WhisperX's pipeline from files alone, but for silero, which its authors fetch."""
    if options.vad == "silero" and models.offline():
        raise ModelMissing("whisperx: vad=silero is fetched from the network, which is off; use vad=pyannote")
    os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "false")  # it would report its use
    folder = whisper_folder(options.model)

    kind, _, number = where.partition(":")
    compute = options.compute_type
    if compute == "auto":
        compute = "float16" if kind == "cuda" else "int8"
    try:
        with _quiet():
            from whisperx.asr import load_model

            return load_model(
                str(folder),
                device=kind,
                device_index=int(number or 0),
                compute_type=compute,
                vad_method=options.vad,
                vad_options={
                    "vad_onset": options.onset,
                    "vad_offset": options.offset,
                    "chunk_size": options.chunk_size,
                },
                asr_options={"beam_size": options.beam_size, "initial_prompt": options.initial_prompt},
                local_files_only=True,
                threads=options.threads,
            )
    except Exception as e:  # CTranslate2, pyannote and torch.hub raise many types: all mean unusable weights
        raise unloadable(options.model, e) from e


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No word of WhisperX, pyannote and Lightning on the terminal, now or later, but for errors.

    Their loggers are set up when they are imported, some of them to write to standard output.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
        for name in list(logging.root.manager.loggerDict):
            if name.split(".")[0].split("_")[0] in _LOUD:
                logging.getLogger(name).setLevel(logging.ERROR)


def _segment(raw: dict[str, Any], language: str, seconds: float) -> Segment | None:
    from faster_whisper.transcribe import get_compression_ratio

    text = " ".join(str(raw["text"]).split())
    start, end = max(0.0, float(raw["start"])), min(seconds, float(raw["end"]))
    if not text or start >= end:
        return None
    sure = raw.get("avg_logprob")
    return Segment(
        start,
        end,
        text,
        (),
        language,
        None,
        None if sure is None else min(0.0, float(sure)),
        None,  # WhisperX does not ask whether nobody speaks
        float(get_compression_ratio(text)),
    )
