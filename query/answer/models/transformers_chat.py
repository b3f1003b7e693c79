"""Video-language models in this process, through Hugging Face transformers: Qwen-VL, LLaVA-OneVision and their kin.

Any model that ``AutoModelForImageTextToText`` loads with its processor and chat template will do, and language models
without eyes (``AutoModelForCausalLM``).  Pictures are stored frames; no video is opened.
"""

from __future__ import annotations

import importlib.metadata
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Literal

from pydantic import Field

from ....store.engines import pretrained
from ....store.engines.devices import DeviceOptions, device, dtype, emptied, out_of_memory, set_threads
from ....store.errors import EngineFailed, EngineMissing, ModelMissing, one_line
from ....store.fingerprints import digest
from ....store.weights import models
from ...types import Message, Reply
from . import LanguageModel, ModelOptions, TooMuch, conversation

TOP = 64
"""Candidates for the first token."""
_AS_VIDEO = ("llava_onevision", "llava_next_video", "video_llava")
"""Kinds that were taught to read many frames as one video, at fewer tokens a frame."""


class TransformersOptions(ModelOptions, DeviceOptions):
    """``model``: a folder in the layout of transformers, or ``hf:OWNER/REPO`` or ``hf:OWNER/REPO@REVISION``.
    ``dtype``: ``auto`` is the checkpoint's own on a GPU and float32 elsewhere.  ``device_map``: ``auto`` spreads the
    model over several GPUs and the CPU (needs accelerate; instead of ``device``).  ``images``: show pictures, where
    the model takes some.  ``frames``: how many pictures, 0: those of rows only.  ``pictures``: as ``images`` or as one
    ``video``; ``auto`` takes what the kind of model was taught.  ``max_pixels``: of a picture; larger ones are made
    smaller.  ``max_new_tokens``: of a reply.  ``n_ctx``: tokens of prompt and reply together, where less than the model
    takes is wanted.  ``timeout_s``: of one reply.  ``remote_code``: let the model bring its own Python code.
    """

    runtime = frozenset({"threads", "remember", "device", "device_map", "timeout_s"})
    model: str = Field("hf:Qwen/Qwen2.5-VL-7B-Instruct", min_length=1)
    device_map: str | None = Field(None, pattern=r"^(?:auto|balanced|balanced_low_0|sequential)$")
    images: bool = True
    frames: int = Field(32, ge=0, le=256)
    pictures: Literal["auto", "images", "video"] = "auto"
    max_pixels: int = Field(640 * 360, ge=1024, le=1 << 24)
    max_new_tokens: int = Field(300, ge=1, le=8192)
    n_ctx: int | None = Field(None, ge=512, le=1 << 22)
    timeout_s: float = Field(600.0, gt=0)
    remote_code: bool = False


class TransformersChat(LanguageModel):
    """One model; requests of several threads wait for each other.  Replies are greedy.

    The model is loaded when it is first asked: where all replies are known it never is.  Only then weights that are
    damaged show themselves as :class:`ModelMissing`.  Where memory runs out, half of the pictures are shown from there
    on.
    """

    Options = TransformersOptions
    requires = ("torch", "transformers", "PIL")
    extra = "vision"

    @staticmethod
    def weights(options: TransformersOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: TransformersOptions) -> None:
        self.options, self.rotations, self.rows = options, options.rotations, options.rows
        self.by_rows, self.frames = options.by_rows, options.frames
        self._folder = pretrained.folder(options.model, "chat", options.remote_code)
        kind = pretrained.kind_of(self._folder, options.model)
        self._sees = "vision_config" in pretrained.head(self._folder / "config.json")
        if self._sees and find_spec("torchvision") is None:
            raise EngineMissing(f"{options.model}: looks at pictures by torchvision; pip install 'vidrag[vision]'")
        self.looks = self._sees and options.images
        video = kind in _AS_VIDEO if options.pictures == "auto" else options.pictures == "video"
        self._how: conversation.How = "video" if video else "images"
        self._where = device(options.device)
        told = [models.fingerprint(options.model), importlib.metadata.version("transformers"), options.identity()]
        self.identity = f"transformers:{digest(told)}"
        self.notes: list[str] = []
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 300,
        tell: Callable[[str], object] | None = None,
    ) -> Reply:
        """As :meth:`.LanguageModel.complete`; the schema is not enforced, the prompt describes it."""
        return self._write(messages, max_tokens, tell)[0]

    def first_token(self, messages: Sequence[Message]) -> Reply | None:
        reply, logits = self._write(messages, 1, None)
        _, processor = self._ready()
        shares, ids = logits.float().softmax(-1).topk(min(TOP, logits.shape[-1]))
        top: dict[str, float] = {}
        for share, token in zip(shares.tolist(), ids.tolist(), strict=True):
            text = _tokenizer(processor).decode([token])
            top[text] = top.get(text, 0.0) + share
        return Reply(text=reply.text, read=reply.read, written=reply.written, top=top)

    def _write(
        self, messages: Sequence[Message], max_tokens: int, tell: Callable[[str], object] | None
    ) -> tuple[Reply, Any]:
        """The reply, and the logits of its first token, float ``(n_vocabulary,)``."""
        with self._lock:
            model, processor = self._ready()
            limit = min(max_tokens, self.options.max_new_tokens)
            read, count = self._read(messages, limit)
            try:
                return self._generated(model, processor, read, limit, tell)
            except (EngineFailed, KeyboardInterrupt):
                raise
            except Exception as e:
                if not out_of_memory(e):
                    raise EngineFailed(f"the model failed: {type(e).__name__}: {one_line(e, 200)}") from e
                told = f"out of memory with {count} pictures"
            emptied()  # after the error has let go of what it held
            if count:
                self.frames = max(1, count // 2)
                self.notes.append(f"{told}; {self.frames} from here on")
            raise TooMuch(told)

    def _generated(
        self, model: Any, processor: Any, read: Any, limit: int, tell: Callable[[str], object] | None
    ) -> tuple[Reply, Any]:
        import torch
        from transformers import StoppingCriteriaList

        tokenizer, end = _tokenizer(processor), time.monotonic() + self.options.timeout_s
        length = read["input_ids"].shape[1]
        late: list[bool] = []

        def out_of_time(ids: Any, scores: Any, **_: Any) -> Any:
            late[:] = [time.monotonic() > end]
            return torch.full((ids.shape[0],), late[0], device=ids.device)

        with torch.inference_mode():
            out = model.generate(
                **read.to(model.device),
                generation_config=_greedy(model, tokenizer, limit),
                streamer=_streamer(tokenizer, tell) if tell else None,
                stopping_criteria=StoppingCriteriaList([out_of_time]),
            )
        if late and late[0]:
            raise EngineFailed(f"the model took more than {self.options.timeout_s:g} s (time-out)")
        new = out.sequences[0, length:]
        ends = out.sequences.new_tensor(_ends(model, tokenizer))
        text = tokenizer.decode(new, skip_special_tokens=True)
        cut = len(new) >= limit and not bool(torch.isin(new[-1], ends))
        return Reply(text=text, read=length, written=len(new), cut=cut), out.logits[0][0]

    def _read(self, messages: Sequence[Message], limit: int) -> tuple[Any, int]:
        """The prompt as tensors, and how many pictures it holds.  Raises :class:`TooMuch` where it is too long."""
        model, processor = self._ready()
        told, count = conversation.of(messages, self._how, self.options.max_pixels if self.looks else 0)
        text = conversation.rendered(processor, told, self.options.model, self._sees)
        try:
            if count:
                shown = conversation.pictures_of(told, self._how)
                more = {"images": shown} if self._how == "images" else {"videos": shown, "do_sample_frames": False}
                read = processor(text=[text], add_special_tokens=False, return_tensors="pt", **more)
            else:
                read = _tokenizer(processor)(text, add_special_tokens=False, return_tensors="pt")
        except Exception as e:  # processors are written by many
            raise EngineFailed(f"{self.options.model}: its processor cannot read this: {one_line(e, 200)}") from e
        most = self._most_tokens(model)
        if (length := read["input_ids"].shape[1]) + limit > most:
            raise TooMuch(f"{length} tokens with {count} pictures, and {limit} for the reply; the model takes {most}")
        for key in ("pixel_values", "pixel_values_videos"):
            if key in read:
                read[key] = read[key].to(model.dtype)
        return read, count

    def _most_tokens(self, model: Any) -> int:
        most = getattr(model.config.get_text_config(), "max_position_embeddings", None) or 1 << 22
        return min(most, self.options.n_ctx or most)

    def _ready(self) -> tuple[Any, Any]:
        """Model and processor (of a model without eyes: its tokenizer)."""
        if self._loaded is None:
            o = self.options
            set_threads(o.threads)
            auto = (
                ("AutoModelForImageTextToText", "AutoProcessor")
                if self._sees
                else ("AutoModelForCausalLM", "AutoTokenizer")
            )
            processor = pretrained.processor(auto[1], self._folder, o.model, o.remote_code)
            if not getattr(processor, "chat_template", None):
                raise ModelMissing(f"{o.model}: holds no chat template; take the instruct or chat model of its kind")
            gpu = o.device_map is not None or not self._where.startswith("cpu")
            kind: Any = "auto" if o.dtype == "auto" and gpu else dtype(o.dtype, self._where)
            more = {} if o.device_map is None else {"device_map": o.device_map}
            try:
                model = pretrained.model(auto[0], self._folder, o.model, o.remote_code, dtype=kind, **more)
                self._loaded = (model if more else model.to(self._where)), processor
            except Exception as e:
                if not out_of_memory(e):
                    raise
                raise EngineMissing(
                    f"{o.model}: does not fit into the memory of {o.device_map or self._where}; take a smaller or a "
                    "quantised model, or --set chat.device_map=auto"
                ) from e
        return self._loaded


def _tokenizer(processor: Any) -> Any:
    return getattr(processor, "tokenizer", processor)


def _greedy(model: Any, tokenizer: Any, limit: int) -> Any:
    """The model's own configuration, without chance."""
    from transformers import GenerationConfig

    ends = _ends(model, tokenizer)
    return GenerationConfig(
        max_new_tokens=limit,
        do_sample=False,
        eos_token_id=ends or None,
        pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (ends or [0])[0],
        repetition_penalty=getattr(model.generation_config, "repetition_penalty", None) or 1.0,
        return_dict_in_generate=True,
        output_logits=True,
    )


def _ends(model: Any, tokenizer: Any) -> list[int]:
    found = getattr(model.generation_config, "eos_token_id", None)
    listed = found if isinstance(found, list) else [found]
    return list(dict.fromkeys(t for t in (*listed, tokenizer.eos_token_id) if t is not None))


def _streamer(tokenizer: Any, tell: Callable[[str], object]) -> Any:
    from transformers import TextStreamer

    class Streamer(TextStreamer):  # type: ignore[misc]
        def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
            if text:
                tell(text)

    return Streamer(tokenizer, skip_prompt=True, skip_special_tokens=True)
