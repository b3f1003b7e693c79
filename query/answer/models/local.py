"""A GGUF model in this process: llama.cpp through xllamacpp.

llama.cpp's server is the only thing that xllamacpp wraps, and it wants to listen somewhere.  It is given a socket file
in a folder that nobody else can enter, and the folder is removed once it listens: requests go to it by function calls,
no port is ever open.
"""

from __future__ import annotations

import importlib.metadata
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from ....store.errors import EngineFailed, ModelMissing, one_line
from ....store.fingerprints import digest
from ....store.weights import models
from ...types import Message, Reply
from . import LanguageModel, ModelOptions, TooMuch
from .dialects import is_too_much
from .wire import Pieces

TOP = 64
_LONGEST_SOCKET = 90


class LocalOptions(ModelOptions):
    """``model``: a known name, a path to a .gguf file, or ``hf:OWNER/REPO`` with one such file.  ``n_ctx``: tokens of
    prompt and reply together.  ``timeout_s``: of one reply.
    """

    runtime = frozenset({"threads", "remember", "timeout_s"})
    model: str = Field("qwen2.5-coder-1.5b-q4", min_length=1)
    n_ctx: int = Field(4096, ge=512, le=1 << 20)
    seed: int = Field(1, ge=0, le=2**32 - 2)
    temperature: float = Field(0.0, ge=0, le=2)
    rows: int = Field(8, ge=1, le=500)
    timeout_s: float = Field(300.0, gt=0)


class LocalChat(LanguageModel):
    """One model with one slot: requests of several threads wait for each other.  Its last prefix is kept, which saves
    reading it; what was computed in other batches is rounded otherwise, so that probabilities may differ by about a
    hundredth with what was asked before.  Replies that the archive keeps do not.

    The model is loaded when it is first asked: where all replies are known it never is.  Only then a file that is no
    model shows itself as :class:`ModelMissing`, apart from one that does not even begin as one.
    """

    Options = LocalOptions
    requires = ("xllamacpp",)
    extra = "local-llm"

    @staticmethod
    def weights(options: LocalOptions) -> Sequence[str]:
        return (options.model,)

    def __init__(self, options: LocalOptions) -> None:
        self.options, self.rotations, self.rows = options, options.rotations, options.rows
        self.by_rows = options.by_rows
        self._path = gguf(options.model)
        told = [models.fingerprint(options.model), importlib.metadata.version("xllamacpp")]
        self.identity = f"local:{digest([*told, options.n_ctx, options.seed, options.temperature])}"
        self._lock = threading.Lock()
        self._server: Any = None

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 300,
        tell: Callable[[str], object] | None = None,
    ) -> Reply:
        more: dict[str, Any] = {}
        if schema is not None:
            form = {"name": "reply", "schema": dict(schema)}
            more["response_format"] = {"type": "json_schema", "json_schema": form}
        pieces = Pieces(tell)
        for chunk in self._chunks(messages, max_tokens, more):
            self._take(pieces, chunk)
        return pieces.reply()

    def first_token(self, messages: Sequence[Message]) -> Reply | None:
        pieces = Pieces()
        for chunk in self._chunks(messages, 1, {"logprobs": True, "top_logprobs": TOP}):
            self._take(pieces, chunk)
        return pieces.reply()

    def _take(self, pieces: Pieces, chunk: Any) -> None:
        try:
            pieces.add(chunk)
        except (LookupError, AttributeError, TypeError, ValueError) as e:
            if is_too_much(str(e)):
                raise TooMuch(f"the local model sent {one_line(e, 200)}; a larger chat.n_ctx takes more") from e
            raise EngineFailed(f"the local model sent {one_line(e, 200)}") from e

    def _chunks(self, messages: Sequence[Message], max_tokens: int, more: Mapping[str, Any]) -> Iterator[Any]:
        """The pieces of a reply.  The model works in another thread, so that Ctrl-C and the time-out get through."""
        request = {
            "messages": [{"role": m.role, "content": m.text} for m in messages],
            "max_tokens": max_tokens,
            "temperature": self.options.temperature,
            "seed": self.options.seed,
            "stream": True,
            "stream_options": {"include_usage": True},
            "cache_prompt": True,
            **more,
        }
        pieces: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        enough = threading.Event()

        def piece(chunk: Any) -> bool:
            pieces.put(("piece", chunk))
            return enough.is_set()

        def work() -> None:
            try:
                pieces.put(("end", self._server.handle_chat_completions(request, piece)))
            except Exception as e:  # whatever the binding raises
                pieces.put(("error", e))

        with self._lock:
            if self._server is None:
                self._server = _loaded(self._path, self.options)
            end = time.monotonic() + self.options.timeout_s
            threading.Thread(target=work, daemon=True, name="local-llm").start()
            try:
                while True:
                    kind, got = pieces.get(timeout=max(0.001, end - time.monotonic()))
                    if kind == "error":
                        raise EngineFailed(f"the local model failed: {one_line(got, 200)}") from got
                    if kind == "end":
                        return
                    yield got
            except queue.Empty:
                raise EngineFailed(f"the local model took more than {self.options.timeout_s:g} s (time-out)") from None
            finally:
                enough.set()


def gguf(ref: str) -> Path:
    """The .gguf file that a reference means; :class:`ModelMissing` where there is none, or several."""
    try:
        files = models.files(ref)
    except OSError as e:
        raise ModelMissing(f"{ref}: cannot be read ({e.strerror or e})") from e
    found = files if Path(ref).is_file() else {n: p for n, p in files.items() if n.endswith(".gguf")}
    if len(found) != 1:
        told = ", ".join(sorted(found)[:5]) or "none"
        raise ModelMissing(f"'{ref}' holds {len(found)} .gguf files ({told}); name one with --set chat.model=PATH")
    (path,) = found.values()
    try:
        with path.open("rb") as f:
            head = f.read(4)
    except OSError as e:
        raise ModelMissing(f"{path}: cannot be read ({e.strerror or e})") from e
    if head != b"GGUF":
        raise ModelMissing(f"{path}: is no GGUF model; name one with --set chat.model=PATH")
    return path


def _loaded(path: Path, options: LocalOptions) -> Any:
    """The server with its model.  Raises :class:`ModelMissing` where llama.cpp does not take the file."""
    import xllamacpp

    p = xllamacpp.CommonParams()
    p.model.path = str(path)
    p.n_ctx, p.n_parallel, p.warmup, p.verbosity = options.n_ctx, 1, False, -1
    p.cpuparams.n_threads = p.cpuparams_batch.n_threads = options.threads
    p.ui = p.endpoint_metrics = p.endpoint_slots = p.endpoint_props = False
    p.n_threads_http, p.cache_ram_mib = 1, 0
    short = None if len(tempfile.gettempdir()) < _LONGEST_SOCKET else "/tmp"
    with tempfile.TemporaryDirectory(prefix="vidrag-", dir=short, ignore_cleanup_errors=True) as folder:
        p.hostnames = [f"{folder}/l.sock"]
        try:
            return xllamacpp.Server(p)
        except Exception as e:  # it gives no reason, and a RuntimeError for all of them
            size = path.stat().st_size / 1e6
            raise ModelMissing(
                f"{path} ({size:.0f} MB): llama.cpp cannot load it: cut short, damaged, of an unknown kind, or larger "
                f"than the memory; get it again or name another with --set chat.model=PATH"
            ) from e
