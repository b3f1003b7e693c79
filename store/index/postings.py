"""Inverted lists for BM25: for each term the rows that hold it, how often, and how long they are.

Scores are computed when a question is asked (Robertson & Zaragoza, 2009), from counts over the rows that exist then:
lists can grow, rows can be masked, and rows that are not in the lists yet are scored beside them on one scale.  That is
why they are neither an FTS5 table, whose scores cannot be taken apart, nor a saved bm25s index, which holds finished
scores of an unchanging corpus.
"""

from __future__ import annotations

import math
import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import ArchiveDamaged, StorageError, one_line
from ..vectors import head_of

K1, B = 1.2, 0.75
POSTING = np.dtype([("row", "<i4"), ("length", "<u2"), ("count", "u1"), ("flags", "u1")])
"""``row``: its number in the index; ``length``: its terms; ``count``: how often the term stands in it."""
T = TypeVar("T")
Rows = NDArray[np.void]
DOUBTFUL = 1
"""Flags of a posting: speech that ingest doubts, text on screen (otherwise speech)."""
MOST_ROWS = 2**31 - 1
EMPTY: Rows = np.zeros(0, POSTING)
_FLUSH = 8_000_000
_VERSION = 1


def length(terms: Sequence[str]) -> int:
    """How long a row counts: one where nothing of it can be searched for, as for an index that stores a filler."""
    return len(terms) or 1


def idf(holding: int, rows: int) -> float:
    """The weight of a term that ``holding`` of ``rows`` rows hold, as in Lucene: never below zero."""
    return math.log(1 + (rows - holding + 0.5) / (holding + 0.5))


def bm25_scores(counts: NDArray[Any], lengths: NDArray[Any], holding: int, rows: int, words: float) -> NDArray[Any]:
    """Scores of one term, ``(n,)``, for rows that hold it ``counts`` times and have ``lengths`` terms.

    ``holding``: how many of the ``rows`` rows hold it; ``words``: the sum of all lengths.  Lucene's variant, k1 1.2,
    b 0.75.
    """
    share = lengths * (rows / max(words, 1))
    scores: NDArray[Any] = idf(holding, rows) * counts / (counts + K1 * (1 - B + B * share))
    return scores


def bm25(found: Rows, rows: int, words: int) -> NDArray[np.float32]:
    """The same for the rows ``found`` of an inverted list, float32 ``(len(found),)``."""
    counts, lengths = found["count"].astype(np.float32), found["length"].astype(np.float32)
    return bm25_scores(counts, lengths, len(found), rows, words).astype(np.float32)


class Lists(Protocol):
    """Where inverted lists come from."""

    def get(self, term: str) -> Rows:
        """The rows that hold ``term``, by number; empty where none does."""
        ...


class Postings:
    """Inverted lists in memory."""

    def __init__(self) -> None:
        self._lists: dict[str, array[int]] = {}
        self.size = 0

    def add(self, row: int, terms: Sequence[str], flags: int) -> None:
        head = row | min(length(terms), 0xFFFF) << 32 | flags << 56
        for term, count in Counter(terms).items():
            self._lists.setdefault(term, array("Q")).append(head | min(count, 0xFF) << 48)
            self.size += 1

    def get(self, term: str) -> Rows:
        found = self._lists.get(term)
        return EMPTY if found is None else np.array(found, "<u8").view(POSTING)

    def items(self) -> Iterator[tuple[str, bytes]]:
        """Terms in order, with the bytes of their lists."""
        for term in sorted(self._lists):
            yield term, np.array(self._lists[term], "<u8").tobytes()

    def clear(self) -> None:
        self._lists.clear()
        self.size = 0


class Writer:
    """Makes the SQLite file of an index: lists and whatever tables ``schema`` names.  It is staged, not synced."""

    def __init__(self, path: Path, schema: Sequence[str]) -> None:
        """Goes on from ``path`` where it exists."""
        self.path, self.postings, there = path, Postings(), path.exists()
        with _writing(path):
            self.db = sqlite3.connect(path)
            for rule in ("trusted_schema=OFF", "journal_mode=OFF", "synchronous=OFF", "cache_size=-65536"):
                self.db.execute(f"PRAGMA {rule}")
            if not there:
                self.db.execute(f"PRAGMA user_version={_VERSION}")
                self.db.execute("CREATE TABLE postings (term TEXT PRIMARY KEY, rows BLOB NOT NULL)")
                for table in schema:
                    self.db.execute(table)

    def add(self, row: int, terms: Sequence[str], flags: int) -> None:
        self.postings.add(row, terms, flags)
        if self.postings.size >= _FLUSH:
            self._flush()

    def _flush(self) -> None:
        with _writing(self.path):
            for term, rows in self.postings.items():
                have = self.db.execute("SELECT rows FROM postings WHERE term=?", (term,)).fetchone()
                self.db.execute("REPLACE INTO postings VALUES (?,?)", (term, (have[0] if have else b"") + rows))
        self.postings.clear()

    def fill(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        """Puts ``rows`` in the place of all rows of ``table``."""
        with _writing(self.path):
            self.db.execute(f"DELETE FROM {table}")
            for row in rows:
                self.db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)

    def close(self) -> None:
        self._flush()
        with _writing(self.path):
            self.db.commit()
            self.db.close()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as e:
        raise StorageError(f"{path}: {one_line(e)}; free some space and run the same command again") from e


class StoredLists:
    """A finished file, read only; safe to use from several threads."""

    def __init__(self, path: Path, schema: Sequence[str], rows: int) -> None:
        """``rows``: how many numbers have been given.  :class:`ArchiveDamaged` where the file is another."""
        self.path, self._rows, self._lock = path, rows, Lock()
        head_of(path, 0)
        address = f"{path.absolute().as_uri()}?mode=ro&immutable=1"
        with self._reading():
            self._db = sqlite3.connect(address, uri=True, check_same_thread=False)
            for rule in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON"):
                self._db.execute(f"PRAGMA {rule}")
            found = {sql for kind, sql in self._db.execute("SELECT type, sql FROM sqlite_master") if sql}
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
        wanted = {"CREATE TABLE postings (term TEXT PRIMARY KEY, rows BLOB NOT NULL)", *schema}
        if found != wanted or version != _VERSION:
            raise ArchiveDamaged(f"{path}: its tables are not those of an index")

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with self._lock:
                yield
        except (sqlite3.Error, UnicodeError, OverflowError) as e:
            raise ArchiveDamaged(f"{self.path}: SQLite refuses it ({one_line(e, 200)})") from e

    def table(self, name: str, make: Callable[[Any], T]) -> T:
        """``make(rows)`` of all rows of a table; what it raises as ValueError or TypeError is damage."""
        with self._reading():
            rows = self._db.execute(f"SELECT * FROM {name}").fetchall()
        try:
            return make(rows)
        except (ValueError, TypeError) as e:
            raise ArchiveDamaged(f"{self.path}: its {name} are not valid ({one_line(e, 200)})") from e

    def get(self, term: str) -> Rows:
        with self._reading():
            have = self._db.execute("SELECT rows FROM postings WHERE term=?", (term,)).fetchone()
        if have is None:
            return EMPTY
        if not isinstance(have[0], bytes) or len(have[0]) % POSTING.itemsize:
            raise ArchiveDamaged(f"{self.path}: the list of a term is not valid")
        found: Rows = np.frombuffer(have[0], POSTING)
        if len(found) and not (found["row"].min() >= 0 and found["row"].max() < self._rows):
            raise ArchiveDamaged(f"{self.path}: the list of a term names rows that there are not")
        return found
