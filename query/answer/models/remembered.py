"""Replies of language models, kept in this user's cache for the archive: asking again costs nothing.

The key holds the model's identity with its parameters, every message, the schema and the limit, so that nothing but the
same question to the same model finds a reply.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from ....store.fingerprints import canonical
from ....store.storage.cache_db import CacheFile
from ...types import Message, Reply
from . import LanguageModel
from .replies import LONGEST, json_object

log = logging.getLogger("vidrag.query")
_TABLE = "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT, used INTEGER) WITHOUT ROWID"
_DAY_S = 86_400


class ReplyCache:
    """Replies by key, at most ``most``; the longest unused go first.  Safe for several threads and processes."""

    def __init__(self, location: Path | None, most: int = 100_000) -> None:
        self._most, self._added = most, 0
        self._kept = CacheFile(location, _TABLE, "replies")

    def find(self, key: str) -> Reply | None:
        row = self._kept.find("SELECT reply, used FROM replies WHERE key=?", (key,))
        if row is None:
            return None
        try:
            text, top = self._form.validate_json(row[0])
        except ValidationError as e:
            log.warning("a damaged reply is asked for again: %s", e.errors()[0]["msg"])
            return None
        now = int(time.time())
        if not isinstance(row[1], int) or abs(now - row[1]) > _DAY_S:
            self._kept.put("UPDATE replies SET used=? WHERE key=?", (now, key))
        return Reply(text=text, top=top, cached=True)

    def put(self, key: str, reply: Reply) -> None:
        told = json.dumps([reply.text, dict(reply.top)])
        self._kept.put("INSERT OR REPLACE INTO replies VALUES (?,?,?)", (key, told, int(time.time())))
        self._added += 1
        if self._added % max(1, min(1000, self._most // 10)) == 1:
            self._kept.put(
                "DELETE FROM replies WHERE key IN (SELECT key FROM replies ORDER BY used DESC, key LIMIT -1 OFFSET ?)",
                (self._most,),
            )

    @cached_property
    def _form(self) -> TypeAdapter[tuple[str, dict[str, float]]]:
        return TypeAdapter(tuple[str, dict[str, float]])


class RememberingModel(LanguageModel):
    """A language model that is asked only for what it has not replied yet.

    Replies that were cut, are empty or are not the JSON that was asked for are not kept: another try may bring a better
    one.
    """

    def __init__(self, model: LanguageModel, replies: ReplyCache) -> None:
        self.model, self.replies = model, replies
        self.identity, self.looks = model.identity, model.looks
        self.rotations, self.rows, self.by_rows = model.rotations, model.rows, model.by_rows

    @property
    def frames(self) -> int:  # type: ignore[override]
        return self.model.frames

    @property
    def notes(self) -> Sequence[str]:  # type: ignore[override]
        return self.model.notes

    def complete(
        self,
        messages: Sequence[Message],
        *,
        schema: Mapping[str, Any] | None = None,
        max_tokens: int = 300,
        tell: Callable[[str], object] | None = None,
    ) -> Reply:
        key = self._key("text", messages, schema, max_tokens)
        if kept := self.replies.find(key):
            if tell:
                tell(kept.text)
            return kept
        reply = self.model.complete(messages, schema=schema, max_tokens=max_tokens, tell=tell)
        sound = json_object(reply.text) is not None if schema is not None else bool(reply.text.strip())
        if sound and not reply.cut and len(reply.text) <= LONGEST:
            self.replies.put(key, reply)
        return reply

    def first_token(self, messages: Sequence[Message]) -> Reply | None:
        key = self._key("first token", messages, None, 1)
        if kept := self.replies.find(key):
            return kept
        reply = self.model.first_token(messages)
        if reply is not None and reply.top:
            self.replies.put(key, reply)
        return reply

    def _key(self, kind: str, messages: Sequence[Message], schema: Mapping[str, Any] | None, max_tokens: int) -> str:
        told = [[m.role, m.text, [hashlib.sha256(i).hexdigest() for i in m.images]] for m in messages]
        whole = [self.identity, kind, told, schema, max_tokens]
        return hashlib.sha256(canonical(whole)).hexdigest()


def remembering(model: Any, location: Path | None) -> Any:
    """``model`` with a memory, where it is a language model that has an identity and is to remember."""
    options = getattr(model, "options", None)
    if isinstance(model, LanguageModel) and model.identity and getattr(options, "remember", True):
        return RememberingModel(model, ReplyCache(location))
    return model
