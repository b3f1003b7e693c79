"""A detector behind a small JSON protocol over HTTP (docs/detectors.md): the door for APE and anything else.

Nothing but JSON comes in, under limits of size and time; there is no pickle.
"""

from __future__ import annotations

import base64
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from ....store.circuit_breaker import CircuitBreaker
from ....store.encoders import Picture
from ....store.engines import EngineOptions, identity
from ....store.errors import EngineFailed, EngineMissing, OptionError, one_line
from ....store.fingerprints import digest
from ....store.records import Detection
from ....store.transport import is_private
from .json_client import JsonClient
from .phrases import best_first, box_within, phrase, phrases

MOST_BOXES = 300
"""Detections of one picture that are kept, the best ones."""
_QUALITY = 92
_LONGEST_NAME = 200
_KEPT = 10_000


class OverHttpOptions(EngineOptions):
    """``url``: of the server.  ``model``: what it runs, for servers that do not say so themselves: detections are kept
    under that name.  ``threshold``: least score of a detection.  ``token_env``: the variable that holds the bearer
    token, where the server wants one.  ``connect_timeout_s``: to reach it; ``timeout_s``: of one request as a whole.
    ``retries``: after an error of the server or a broken connection, not after a time-out.
    """

    runtime = frozenset({"threads", "url", "token_env", "connect_timeout_s", "timeout_s", "retries"})
    url: str | None = None
    model: str | None = Field(None, min_length=1, max_length=_LONGEST_NAME)
    threshold: float = Field(0.3, ge=0, le=1)
    token_env: str = "VIDRAG_DETECTOR_TOKEN"
    connect_timeout_s: float = Field(5.0, gt=0)
    timeout_s: float = Field(60.0, gt=0)
    retries: int = Field(1, ge=0, le=10)


class OverHttp:
    """One request a picture.  What the server says is checked; no token, picture or reply is logged."""

    Options = OverHttpOptions
    requires = ("cv2",)
    extra = "query"

    @staticmethod
    def weights(options: OverHttpOptions) -> Sequence[str]:
        return ()

    def __init__(self, options: OverHttpOptions) -> None:
        self.options = options
        if not options.url:
            raise EngineMissing("detector=http: no server named; --set detector.url=http://HOST:PORT")
        token = os.environ.get(options.token_env, "").strip()
        if not (token.isascii() and token.isprintable()):
            raise OptionError(
                f"detector=http.token_env: {options.token_env} holds what no header can (its value is secret)"
            )
        if token and not is_private(options.url):
            raise OptionError(
                f"detector=http.url: {options.url} is not encrypted, and the token in {options.token_env} would be "
                "read on the way; use https://, reach it through a tunnel to 127.0.0.1, or unset the variable"
            )
        self._client = JsonClient(
            options.url,
            token,
            options.connect_timeout_s,
            options.timeout_s,
            options.retries,
            f"the detector at {options.url}",
        )
        self._circuit = CircuitBreaker(min(5.0, options.timeout_s / 2), what="the detector")
        self._announced: Mapping[str, Any] | None = None
        self._names: dict[str, str | None] = {}
        self.notes: list[str] = []
        """What the user should know of the work so far, each once."""
        self.identity = digest([identity("detector", "http", options.model_dump()), options.model or self._model()])

    def knows(self, entity: str) -> str | None:
        """What the server calls it, where it has names of its own; otherwise any phrase will do."""
        wanted = phrase(entity)
        if wanted is None or not self._info().get("knows"):
            return wanted
        if wanted not in self._names:
            told = self._ask("/knows", {"entities": [wanted]})
            found = told["names"].get(wanted) if isinstance(told.get("names"), dict) else 0
            if not isinstance(found, str | None):
                raise self._wrong("'names' is no object of text or null")
            if len(self._names) >= _KEPT:
                self._names.clear()
            self._names[wanted] = phrase(found) if found is not None else None
        return self._names[wanted]

    def detect(self, picture: Picture, entities: Sequence[str]) -> tuple[Detection, ...]:
        wanted = phrases(entities)
        if self._info().get("knows"):
            wanted = sorted({n for w in wanted if (n := self.knows(w))})
        if not wanted:
            return ()
        told = self._ask(
            "/detect", {"image": _jpeg(picture), "entities": wanted, "threshold": self.options.threshold}
        ).get("detections")
        if not isinstance(told, list):
            raise self._wrong("'detections' is no list")
        found = [d for row in told if (d := self._detection(row, wanted)) and d.score >= self.options.threshold]
        kept = best_first(found)[:MOST_BOXES]
        if len(kept) < len(found):
            self._note(f"gave more than {MOST_BOXES} boxes for a picture; the best are kept")
        return kept

    def _detection(self, row: Any, wanted: Sequence[str]) -> Detection | None:
        """One row of the reply; None where it is about something else, or no part of the picture."""
        if not isinstance(row, dict) or not isinstance(row.get("label"), str):
            raise self._wrong("a detection is no object with a label")
        box: Any = row.get("box")
        score: Any = row.get("score")
        if not isinstance(box, list) or len(box) != 4 or not all(_number(n) for n in (*box, score)):
            raise self._wrong("a detection has no score or no box of four numbers")
        if not 0 <= score <= 1:
            raise self._wrong("a score is not in 0..1")
        if (label := phrase(row["label"])) not in wanted or label is None:
            self._note("names things that were not asked for; they are left out")
            return None
        if min(box) < 0 or max(box) > 1:
            self._note("gives boxes beyond the picture; they are clipped, or left out where nothing of them is in it")
        inside = box_within(box)
        return Detection(label, float(score), inside) if inside else None

    def _info(self) -> Mapping[str, Any]:
        """What the server says of itself, asked once."""
        if self._announced is None:
            self._announced = self._ask("/", None)
        return self._announced

    def _model(self) -> str:
        found = self._info().get("identity")
        if not isinstance(found, str) or not 0 < len(found) <= _LONGEST_NAME:
            raise self._wrong("it names no identity; name what it runs with --set detector.model=NAME")
        return found

    def _ask(self, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        reply = self._circuit.call(lambda: self._client.send(path, data))
        try:
            told = json.loads(reply, parse_constant=_refused)
        except (ValueError, RecursionError) as e:
            what = "HTML" if reply.lstrip()[:1] == b"<" else one_line(e, 80)
            raise EngineFailed(f"{self._client.who} sent no JSON ({what})") from e
        if not isinstance(told, dict):
            raise self._wrong("no object")
        return told

    def _wrong(self, what: str) -> EngineFailed:
        return EngineFailed(f"{self._client.who} sent something else than docs/detectors.md says: {what}")

    def _note(self, what: str) -> None:
        note = f"{self._client.who} {what}"
        if note not in self.notes:
            self.notes.append(note)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e9 and math.isfinite(value)


def _refused(constant: str) -> Any:
    raise ValueError(f"{constant} is no number of JSON")


def _jpeg(picture: Picture) -> str:
    import cv2

    made, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not made:
        raise EngineFailed(f"a picture of {picture.shape[1]}x{picture.shape[0]} pixels cannot be sent as JPEG")
    return base64.b64encode(data.tobytes()).decode()
