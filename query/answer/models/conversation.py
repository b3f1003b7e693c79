"""Messages as transformers reads them: by the model's own chat template, pictures as images or as a video."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from ....store.archive.pictures import decode_jpeg
from ....store.encoders import Picture
from ....store.errors import ArchiveDamaged, EngineFailed, one_line
from ...types import Message

How = Literal["images", "video"]


def of(messages: Sequence[Message], how: How, max_pixels: int) -> tuple[list[dict[str, Any]], int]:
    """A conversation for ``apply_chat_template``, and how many pictures it holds.

    ``how``: each picture as an image, or all of a message as one video; ``max_pixels``: larger pictures are made
    smaller, 0 leaves out all.  What is no readable JPEG is left out.
    """
    out, count = [], 0
    for m in messages:
        pictures = [p for data in m.images if max_pixels and (p := _picture(data, max_pixels)) is not None]
        count += len(pictures)
        out.append({"role": m.role, "content": [*_shown(pictures, how), {"type": "text", "text": m.text}]})
    return out, count


def rendered(processor: Any, conversation: list[dict[str, Any]], ref: str, eyes: bool) -> str:
    """The prompt as the model's template writes it; without ``eyes`` as that of a model that reads texts.

    A template that knows no system message, as Gemma's, gets it as the beginning of the user's.
    """
    attempts = [conversation]
    if conversation and conversation[0]["role"] == "system" and len(conversation) > 1:
        system, first, *rest = conversation
        attempts.append([{**first, "content": [*_pictures(first), _text(system, first)]}, *rest])
    for attempt in attempts:
        try:
            found: str = processor.apply_chat_template(
                attempt if eyes else _texts(attempt), tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            return found
        except Exception as e:  # templates are programs of their own
            failed = e
    raise EngineFailed(f"{ref}: its chat template cannot write this conversation: {one_line(failed, 160)}")


def _texts(conversation: Sequence[dict[str, Any]]) -> list[dict[str, str]]:
    return [
        {"role": m["role"], "content": "\n\n".join(p["text"] for p in m["content"] if p["type"] == "text")}
        for m in conversation
    ]


def pictures_of(conversation: Sequence[dict[str, Any]], how: How) -> list[Any]:
    """Its images, or its videos as uint8 ``(n, H, W, 3)``, in the order in which the template names them."""
    kind = "image" if how == "images" else "video"
    return [part[kind] for m in conversation for part in m["content"] if part["type"] == kind]


def _shown(pictures: Sequence[Picture], how: How) -> list[dict[str, Any]]:
    if how == "video" and pictures:
        return [{"type": "video", "video": np.stack([_sized(p, pictures[0].shape[:2]) for p in pictures])}]
    from PIL import Image

    return [{"type": "image", "image": Image.fromarray(p)} for p in pictures]


def _pictures(message: dict[str, Any]) -> list[dict[str, Any]]:
    return [p for p in message["content"] if p["type"] != "text"]


def _text(*messages: dict[str, Any]) -> dict[str, Any]:
    return {"type": "text", "text": "\n\n".join(m["content"] for m in _texts(messages))}


def _picture(jpeg: bytes, max_pixels: int) -> Picture | None:
    try:
        picture = decode_jpeg(jpeg)
    except ArchiveDamaged:
        return None
    height, width = picture.shape[:2]
    scale = (max_pixels / (height * width)) ** 0.5
    return picture if scale >= 1 else _sized(picture, (max(1, int(height * scale)), max(1, int(width * scale))))


def _sized(picture: Picture, size: tuple[int, ...]) -> Picture:
    import cv2

    if picture.shape[:2] == tuple(size):
        return picture
    found: Picture = cv2.resize(picture, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    return found
