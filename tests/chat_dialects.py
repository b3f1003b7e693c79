"""Servers of chat completions as their documentation and sources describe them, each a process of its own.

    python chat_dialects.py vllm

What they take, refuse and pass over is recorded from the pages and files named in docs/language_models.md; what they
answer is that of ``chat_server.obliging``.  ``GET /asked`` gives the bodies received so far.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import chat_server

MODEL = "qwen2.5-vl"
CONTEXT = 6000
"""Characters of a prompt that count as too many tokens."""
PICTURES = 4
Refusal = tuple[int, dict[str, Any]]


def prompt_of(body: Mapping[str, Any]) -> str:
    return "\n".join(
        part["text"]
        for m in body["messages"]
        for part in ([{"type": "text", "text": m["content"]}] if isinstance(m["content"], str) else m["content"])
        if part["type"] == "text"
    )


def pictures_of(body: Mapping[str, Any]) -> list[str]:
    parts = [p for m in body["messages"] if isinstance(m["content"], list) for p in m["content"]]
    return [p["image_url"]["url"] for p in parts if p["type"] == "image_url"]


def openai_thinks(body: Mapping[str, Any]) -> Refusal | None:
    """OpenAI's reasoning models."""

    def refused(param: str, message: str, code: str) -> Refusal:
        return 400, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": code}}

    if body["model"] != MODEL:
        told = f"The model `{body['model']}` does not exist or you do not have access to it."
        return 404, {
            "error": {"message": told, "type": "invalid_request_error", "param": None, "code": "model_not_found"}
        }
    if "max_tokens" in body:
        told = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return refused("max_tokens", told, "unsupported_parameter")
    if body.get("temperature", 1) != 1:
        told = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) is supported."
        return refused("temperature", told, "unsupported_value")
    if "logprobs" in body:
        told = "You are not allowed to request logprobs from this model"
        return 403, {"error": {"message": told, "type": "invalid_request_error", "param": None, "code": None}}
    if len(prompt_of(body)) > CONTEXT:
        told = "Your input exceeds the context window of this model. Please adjust your input and try again."
        return refused("messages", told, "context_length_exceeded")
    return None


def vllm(body: Mapping[str, Any]) -> Refusal | None:
    """vLLM since 0.12: unknown fields (also ``guided_json``) are passed over."""

    def refused(message: str, kind: str = "BadRequestError", status: int = 400) -> Refusal:
        return status, {"error": {"message": message, "type": kind, "param": None, "code": status}}

    if body["model"] != MODEL:
        return refused(f"The model `{body['model']}` does not exist.", "NotFoundError", 404)
    if len(pictures_of(body)) > PICTURES:
        return refused(f"At most {PICTURES} image(s) may be provided in one prompt.")
    if len(prompt_of(body)) > CONTEXT:
        return refused(
            f"This model's maximum context length is {CONTEXT} tokens. However, you requested 300 output tokens and "
            "your prompt contains at least 9000 input tokens. Please reduce the length of the input prompt."
        )
    if body.get("top_logprobs", 0) > 20:
        return refused("Requested sample logprobs of 64, which is greater than max allowed: 20")
    return None


def old_vllm(body: Mapping[str, Any]) -> Refusal | None:
    """vLLM 0.4: flat errors, five candidates, no schemas, no ``stream_options``."""

    def refused(message: str, kind: str = "BadRequestError", status: int = 400) -> Refusal:
        return status, {"object": "error", "message": message, "type": kind, "param": None, "code": status}

    if body["model"] != MODEL:
        return refused(f"The model `{body['model']}` does not exist.", "NotFoundError", 404)
    if body.get("response_format", {}).get("type", "text") not in ("text", "json_object"):
        return refused("[{'loc': ('body', 'response_format', 'type'), 'msg': 'unexpected value; permitted: text'}]")
    if "stream_options" in body:
        return refused("[{'loc': ('body', 'stream_options'), 'msg': 'extra fields not permitted'}]")
    if body.get("top_logprobs", 0) > 5:
        return refused("Cannot request more than 5 logprobs.")
    return None


def ollama(body: Mapping[str, Any]) -> Refusal | None:
    """Ollama: unknown fields are passed over, long prompts are cut without a word."""
    if body["model"] != MODEL:
        told = f'model "{body["model"]}" not found, try pulling it first'
        return 404, {"error": {"message": told, "type": "not_found_error", "param": None, "code": None}}
    for url in pictures_of(body):
        head, _, data = url.partition(";base64,")
        if head not in ("data:image/jpeg", "data:image/jpg", "data:image/png", "data:image/webp"):
            return 400, {"error": {"message": "invalid image input", "type": "invalid_request_error"}}
        base64.b64decode(data, validate=True)
    return None


def llama_cpp(body: Mapping[str, Any]) -> Refusal | None:
    """llama.cpp's server, of one model whatever it is called; as it ran in xllamacpp 2026.10."""
    if len(prompt_of(body)) > CONTEXT:
        told = "request (3031 tokens) exceeds the available context size (1024 tokens), try increasing it"
        return 400, {"error": {"code": 400, "message": told, "type": "exceed_context_size_error", "n_ctx": 4096}}
    return None


DIALECTS: dict[str, Callable[[Mapping[str, Any]], Refusal | None]] = {
    "openai_thinks": openai_thinks,
    "vllm": vllm,
    "old_vllm": old_vllm,
    "ollama": ollama,
    "old_ollama": ollama,
    "llama_cpp": llama_cpp,
}
LETTERS = ("vllm", "old_vllm", "ollama", "llama_cpp")
"""Those that give probabilities."""


def answered(dialect: str, body: dict[str, Any]) -> chat_server.Answer:
    if refused := DIALECTS[dialect](body):
        return refused[0], "application/json", json.dumps(refused[1])
    plain = {**body, "stream": False, "messages": [{"role": "user", "content": prompt_of(body)}]}
    if body.get("logprobs") and dialect in LETTERS:
        return chat_server.knowing("next to the blue staircase")(plain)
    told = json.loads(str(chat_server.obliging(plain)[2]))
    text = told["choices"][0]["message"]["content"]
    if dialect == "openai_thinks" or "response_format" not in body:
        text = f"<think>The rows {{E1}} say it.</think>\n```json\n{text}\n```" if dialect != "openai_thinks" else text
    if not body.get("stream"):
        told["choices"][0]["message"]["content"] = text
        if dialect == "old_ollama":
            told["choices"][0]["logprobs"] = None
        return 200, "application/json", json.dumps(told)
    return 200, chat_server.SSE, _pieces(dialect, body, text)


def _pieces(dialect: str, body: Mapping[str, Any], text: str) -> Iterator[bytes]:
    """The chunks of a stream; Ollama's last one has its reason and its text, vLLM's first one has only the role."""

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        told = {"id": "x", "object": "chat.completion.chunk", "choices": choices, **more}
        return f"data: {json.dumps(told)}\n\n".encode()

    def delta(content: str | None, why: str | None = None, **more: Any) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": {"role": "assistant", "content": content, **more}, "finish_reason": why}]

    wants = body.get("stream_options", {}).get("include_usage")
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    if dialect == "vllm":
        yield chunk(delta(""), usage=None) if wants else chunk(delta(""))
    if dialect in ("ollama", "openai_thinks"):
        yield chunk(delta("" if dialect == "ollama" else None, reasoning="Let me see."))
    for at in range(0, len(text), 9):
        yield chunk(delta(text[at : at + 9]))
    yield chunk(delta("", "stop"))
    if wants and dialect != "old_ollama":
        yield chunk([], usage=usage)
    yield b"data: [DONE]\n\n"


@contextlib.contextmanager
def running(dialect: str) -> Iterator[str]:
    """The base URL of a server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, __file__, dialect], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
    )
    assert process.stdout
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


def asked(url: str) -> list[dict[str, Any]]:
    """What the server has received, first to last."""
    with urlopen(re.sub(r"/v1$", "/asked", url), timeout=10) as reply:
        found: list[dict[str, Any]] = json.load(reply)
    return found


def main(dialect: str) -> None:
    received: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send((200, "application/json", json.dumps(received)))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append(body)
            if self.path == "/v1/chat/completions":
                self.send(answered(dialect, body))
            else:
                self.send((404, "text/plain", "404 page not found"))

        def send(self, answer: chat_server.Answer) -> None:
            status, kind, text = answer
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.end_headers()
            for piece in [text.encode()] if isinstance(text, str) else text:
                self.wfile.write(piece)
                self.wfile.flush()

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
