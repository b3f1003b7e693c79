"""Objects in a bucket, over HTTP: every request has a time-out, is tried again with back-off, and fails in one line.

The library's own repeats are switched off for single requests: one that wrote and lost its reply, then repeated itself
and found the object there, would report our own success as somebody else's.  :meth:`Objects.create` reads back instead.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

from ...errors import SourceChanged, StorageError, one_line
from ..faults import storage_errors
from .access import ObjectOptions, open_store
from .errors import AGAIN, code_of, reason, transient

T = TypeVar("T")
PART = 8 << 20
"""Bytes that one request carries at most, up and down; what is larger goes in several."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object: its key in the bucket, bytes, the entity tag (empty where the store has none), seconds since 1970."""

    key: str
    bytes: int
    etag: str
    modified: float

    def same_as(self, other: ObjectInfo) -> bool:
        """True for the same bytes.  Times have milliseconds in some listings and never in headers: the tag decides."""
        if (self.key, self.bytes, self.etag) != (other.key, other.bytes, other.etag):
            return False
        return bool(self.etag) or int(self.modified) == int(other.modified)


class Objects:
    """A bucket.  Keys are relative to the bucket; ``url`` in messages is ``scheme://bucket/key``.

    Reading what is not there is ``FileNotFoundError``; everything else that fails is :class:`StorageError`, after
    ``options.attempts`` attempts where another one may help.
    """

    def __init__(self, scheme: str, bucket: str, options: ObjectOptions | None = None) -> None:
        self.scheme, self.bucket = scheme, bucket
        self.options = options or ObjectOptions.from_env()
        self._answered = False
        self._once = open_store(scheme, bucket, self.options, 0)
        self._patient = open_store(scheme, bucket, self.options, self.options.attempts - 1)

    def url(self, key: str) -> str:
        return f"{self.scheme}://{self.bucket}/{key}"

    def info(self, key: str) -> ObjectInfo:
        import obstore

        try:
            return _info(self._again(key, lambda: obstore.head(self._once, key)))
        except StorageError:
            self._again(key, lambda: obstore.get_range(self._once, key, start=0, end=1))  # its reply says why
            raise

    def read(self, key: str) -> bytes:
        import obstore

        return self._again(key, lambda: bytes(obstore.get(self._once, key).bytes()))

    def read_whole(self, key: str) -> tuple[ObjectInfo, bytes]:
        """The bytes of an object, and what they were when they were read."""
        import obstore

        def get() -> tuple[ObjectInfo, bytes]:
            reply = obstore.get(self._once, key)
            return _info(reply.meta), bytes(reply.bytes())

        return self._again(key, get)

    def start(self, key: str, length: int) -> bytes:
        """The first ``length`` bytes, fewer where there are no more."""
        return self.range(key, 0, min(length, self.info(key).bytes))

    def range(self, key: str, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``, which must not lie beyond its end."""
        import obstore

        if end <= start:
            return b""
        return self._again(key, lambda: bytes(obstore.get_range(self._once, key, start=start, end=end)))

    def download(self, info: ObjectInfo, to: IO[bytes]) -> None:
        """Writes the object to ``to`` part by part; :class:`SourceChanged` where it is no longer what ``info`` says."""
        for start in range(0, info.bytes, PART):
            data = self.part(info, start, min(start + PART, info.bytes))
            with storage_errors(getattr(to, "name", "a local copy")):
                to.write(data)

    def part(self, info: ObjectInfo, start: int, end: int) -> bytes:
        """The bytes from ``start`` up to ``end``; :class:`SourceChanged` where the object is no longer ``info``."""
        import obstore

        options: Any = {"range": (start, end)} | ({"if_match": info.etag} if info.etag else {})

        def get() -> bytes:
            data = bytes(obstore.get(self._once, info.key, options=options).bytes())
            if len(data) != end - start:
                raise _changed(self.url(info.key))
            return data

        return self._again(info.key, get)

    def create(self, key: str, data: bytes) -> bool:
        """Creates ``key``; False where it holds other bytes, or held these before.

        A request whose reply was lost may have worked: then what is there is read back, and the same bytes are ours.
        Where that cannot be told, :class:`StorageError` says so.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError

        doubt, last = False, ""
        for n in range(self.options.attempts):
            if n:
                self._pause(n)
            try:
                _interruptible(partial(obstore.put, self._once, key, data, mode="create", use_multipart=False))
                return True
            except AlreadyExistsError:
                have = self._found(key)
                if have is not None:
                    return doubt and have == data
                last = "another writer was in the way"  # 409: two requests at once, and none of them has won
            except Exception as e:  # the library raises many types; they are told apart by their text
                if not transient(e):
                    raise self.failure(key, e) from e
                doubt, last = True, reason(e)
        have = self._found(key)
        if have is None:
            raise StorageError(f"{self.url(key)}: {last}; it is not there yet, but may still arrive; {AGAIN}")
        return have == data

    def _found(self, key: str) -> bytes | None:
        """What a doubtful write left behind; :class:`StorageError` where that cannot be told."""
        try:
            return self.read(key)
        except FileNotFoundError:
            return None
        except OSError as e:
            raise StorageError(f"{one_line(e)}; whether it was written is unknown; {AGAIN}") from e

    def put(self, key: str, data: bytes) -> str:
        """Writes ``key``, replacing what is there, and returns its tag; for what may be written twice."""
        import obstore

        return self._again(key, lambda: obstore.put(self._once, key, data, use_multipart=False)["e_tag"]) or ""

    def put_large(self, key: str, path: Path) -> str:
        """Like :meth:`put`, in several parts; the object appears when all of them are there."""
        import obstore

        bytes_ = path.stat().st_size

        def send() -> str | None:
            try:
                return obstore.put(self._patient, key, path, use_multipart=True, chunk_size=PART, max_concurrency=4)[
                    "e_tag"
                ]
            except Exception:
                try:  # the last request of several may have worked and lost its reply
                    have = _info(obstore.head(self._once, key))
                except Exception:
                    have = None
                if have is None or have.bytes != bytes_:
                    raise
                return have.etag

        return self._again(key, send) or ""

    def delete(self, keys: Iterable[str]) -> None:
        """Removes objects; a no-op for those that are gone."""
        import obstore

        for key in keys:
            with contextlib.suppress(FileNotFoundError):
                self._again(key, partial(obstore.delete, self._once, key))

    def copy(self, key: str, to: str) -> None:
        import obstore

        self._again(key, lambda: obstore.copy(self._once, key, to))

    def children(self, folder: str) -> tuple[list[str], list[ObjectInfo]]:
        """Keys of the folders and the objects directly below ``folder`` ("" for the bucket)."""
        import obstore

        found = self._again(folder, lambda: obstore.list_with_delimiter(self._once, folder or None))
        return list(found["common_prefixes"]), [_info(o) for o in found["objects"]]

    def below(
        self, folder: str, after: str | None = None, until: Callable[[str], bool] | None = None
    ) -> list[ObjectInfo]:
        """Every object below ``folder``, in the order of the keys; from those after the key ``after``, up to the first
        for whose key ``until`` holds.
        """
        import obstore

        def pages() -> list[ObjectInfo]:
            out: list[ObjectInfo] = []
            for page in obstore.list(self._once, folder or None, offset=after, chunk_size=1000):
                for o in page:
                    if until is not None and until(o["path"]):
                        return out
                    out.append(_info(o))
            return out

        return self._again(folder, pages)

    def _pause(self, n: int) -> None:
        """Waits after the ``n``-th failed attempt."""
        time.sleep(min(10.0, self.options.backoff_s * 2 ** (n - 1)) * random.uniform(0.75, 1.25))

    def _again(self, key: str, call: Callable[[], T]) -> T:
        """``call`` until it works.  Where nobody has ever answered, the address may be wrong: two attempts will do."""
        for n in itertools.count(1):
            try:
                found = _interruptible(call)
                self._answered = True
                return found
            except SourceChanged:
                raise
            except Exception as e:  # the library raises many types; they are told apart by their text
                alone = n >= 2 and not self._answered and "kind: Connect" in str(e)
                if alone or n >= self.options.attempts or not transient(e):
                    raise self.failure(key, e) from e
                self._pause(n)
        raise AssertionError("unreachable")

    def failure(self, key: str, error: Exception) -> Exception:
        """What to raise for an error of the library: one line that names the address and what to do, and no secret."""
        from obstore.exceptions import PreconditionError

        url = self.url(key)
        if isinstance(error, PreconditionError):
            return _changed(url)
        if isinstance(error, FileNotFoundError) and code_of(error) != "NoSuchBucket":
            return FileNotFoundError(2, "no such object", url)
        return StorageError(f"{url}: {reason(error, self.scheme, self.bucket)}")


def _changed(url: str) -> SourceChanged:
    return SourceChanged(f"{url}: changed while it was read; run the command again when it is complete")


def _info(meta: Any) -> ObjectInfo:
    return ObjectInfo(meta["path"], meta["size"], meta["e_tag"] or "", meta["last_modified"].timestamp())


def _interruptible(call: Callable[[], T]) -> T:
    """``call``, on a helper thread where this is the main one: the library does not look for Ctrl-C while it waits."""
    if threading.current_thread() is not threading.main_thread():
        return call()
    found: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            found.append(call())
        except BaseException as e:
            failed.append(e)

    helper = threading.Thread(target=run, daemon=True)
    helper.start()
    helper.join()
    if failed:
        raise failed[0]
    return found[0]
