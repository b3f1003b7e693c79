"""What a question costs beside the published algorithm, which encodes every document again for every question.

Both sides use the same encoder on one thread, the same rows and the same questions, in turn.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np

from ...query.asker import Asker
from ...query.find.finding import Finder
from ...query.find.retrieve import RetrieveOptions, query_vectors
from ...query.find.rows import RowSet
from ...query.understand.decouple import by_rules
from ...store.archive.archive import Archive
from ...store.encoders import TextEncoder
from . import cpu_each, machine, made_up, spread

SIZES = (100, 1_000, 4_200)


def run(
    make: Callable[[Archive], Asker], archive: Archive | None, sizes: Sequence[int], runs: int, askers: int
) -> dict[str, Any]:
    """All figures.  Documents are rows of ``archive``, warm and concurrent questions go to it; None: made-up ones."""
    real = [t for s in archive.shards() for k in ("speech", "text") for t, _ in s.texts(k) if t] if archive else []
    documents = made_up.spliced(real, max(sizes)) if real else made_up.sentences(max(sizes))
    asked = made_up.questions(100, seed=2)
    beside = beside_published(make, sizes, documents, runs)
    with tempfile.TemporaryDirectory() as name:
        if archive is None:
            texts = documents[:1000]
            encoder = make(Archive.create(Path(name) / "none")).text_encoder
            archive = made_up.archive(Path(name) / "archive", texts, encoder.documents(texts), encoder.spec, 4)
        return {
            "bench": "query",
            "machine": machine(),
            "documents": "rows of the archive" if real else "made up",
            "sizes": beside,
            "warm": warm(make(archive), asked),
            "concurrent": concurrent(make(archive), asked[:20], askers, 20),
        }


def beside_published(
    make: Callable[[Archive], Asker], sizes: Sequence[int], documents: Sequence[str], runs: int, batch: int = 20
) -> list[dict[str, Any]]:
    """The published algorithm over ours for archives of ``sizes`` rows: CPU seconds of a question after the first.

    ``retrieval`` does what the published algorithm does, see :func:`ours`; ``ask`` is everything that :meth:`Asker.ask`
    does, pictures and answer and all.  ``documents``: the first of them are taken.  Every one is encoded each time.
    """
    out = []
    for size in sizes:
        texts = list(documents[:size])
        asked = made_up.questions((runs + 1) * batch)
        with tempfile.TemporaryDirectory() as name:
            encoder = make(Archive.create(Path(name) / "none")).text_encoder
            archive = made_up.archive(Path(name) / "archive", texts, encoder.documents(texts), encoder.spec, 4)
            asker, held = make(archive), RowSet([archive.shard(v) for v in archive.ids()], encoder.spec)
            for question in asked[:batch]:  # opens files and counts words, once an archive
                asker.ask(question)
                ours(encoder, held, question)
            ask, part, theirs = list[float](), list[float](), list[float]()
            for run in range(1, runs + 1):
                own = asked[run * batch : (run + 1) * batch]
                part.append(cpu_each(partial(ours, encoder, held), own)[0])
                theirs.append(cpu_each(partial(published, encoder, texts), own[:1])[0])
                ask.append(cpu_each(asker.ask, own)[0])
        out.append(
            {
                "documents": len(texts),
                "tokens_a_document": round(float(np.mean([encoder.count_tokens(t) for t in texts[:1000]])), 1),
                "published_cpu_ms": spread([s * 1e3 for s in theirs]),
                "retrieval_cpu_ms": spread([s * 1e3 for s in part]),
                "published_over_retrieval": spread([b / a for a, b in zip(part, theirs, strict=True)]),
                "ask_cpu_ms": spread([s * 1e3 for s in ask]),
                "published_over_ask": spread([b / a for a, b in zip(ask, theirs, strict=True)]),
            }
        )
    return out


def ours(encoder: TextEncoder, held: RowSet, question: str) -> int:
    """What :func:`published` does, over stored vectors, and words and windows beside them; how many rows are found."""
    finder = Finder(encoder, RetrieveOptions())
    request = by_rules(question)
    return len(finder.find(held, finder.encode(question, request, ()), request, held.sample, None).rows)


def published(encoder: TextEncoder, documents: Sequence[str], question: str) -> int:
    """Video-RAG's retrieval (arXiv 2411.13093), written from its description: for each question every document is
    encoded, one by one, a flat index is made of the vectors, and what lies within the threshold of the mean of question
    and request is kept; how many that are.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    vectors = np.concatenate([encoder.documents([text]) for text in documents])
    index = faiss.IndexFlatIP(int(vectors.shape[1]))
    index.add(vectors)
    request = by_rules(question)
    asked, wanted = (encoder.queries([text])[0] for text in (question, request.asr or question))
    query = query_vectors(asked, wanted, [])["speech"]
    limits, _, _ = index.range_search(query[None].astype(np.float32), RetrieveOptions().threshold)
    return int(limits[-1])


class Recorder:
    """An encoder that notes what it is asked to encode."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder
        self.batches: list[list[str]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def queries(self, texts: Sequence[str]) -> Any:
        if len(texts):
            self.batches.append(list(texts))
        return self._encoder.queries(texts)

    def again(self) -> None:
        """Encodes the same batches once more, alone."""
        for texts in self.batches:
            self._encoder.queries(texts)


def warm(asker: Asker, questions: Sequence[str]) -> dict[str, Any]:
    """CPU of a question after the first over encoding alone: of the question, and of all that its steps encode."""
    text, picture = Recorder(asker.text_encoder), Recorder(asker.image_text_encoder)
    asker.text_encoder, asker.image_text_encoder = text, picture
    for question in questions[:5]:
        asker.ask(question)
    whole, alone, all_texts = list[float](), list[float](), list[float]()
    steps, count = dict[str, list[float]](), list[float]()
    for question in questions:
        text.batches, picture.batches = [], []
        cpu, (answer,) = cpu_each(asker.ask, [question])
        whole.append(cpu)
        count.append(sum(len(b) for b in (*text.batches, *picture.batches)))
        all_texts.append(cpu_each(lambda r: r.again(), [text, picture])[0] * 2)
        alone.append(cpu_each(asker.text_encoder.queries, [[question]])[0])
        for step, seconds in answer.timings.items():
            steps.setdefault(step, []).append(seconds * 1e3)
    return {
        "questions": len(questions),
        "warm_cpu_ms": spread([s * 1e3 for s in whole]),
        "texts_encoded": spread(count),
        "warm_over_encoding_question": spread([a / e for a, e in zip(whole, alone, strict=True)]),
        "warm_over_encoding_all": spread([a / e for a, e in zip(whole, all_texts, strict=True)]),
        "steps_ms": {step: spread(values)["median"] for step, values in steps.items()},
    }


def concurrent(asker: Asker, questions: Sequence[str], askers: int, each: int) -> dict[str, Any]:
    """``askers`` threads of one process ask one Asker ``each`` questions, all at once; latencies of every question."""
    start = Barrier(askers)
    for question in questions:
        asker.ask(question)
    errors: list[str] = []

    def one(number: int) -> list[float]:
        took = []
        start.wait()
        for i in range(each):
            began = time.perf_counter()
            try:
                asker.ask(questions[(number * 13 + i) % len(questions)])
            except Exception as e:  # the figure asked for is how many there are
                errors.append(f"{type(e).__name__}: {e}")
            took.append(time.perf_counter() - began)
        return took

    with ThreadPoolExecutor(askers) as pool:
        took = [s for own in pool.map(one, range(askers)) for s in own]
    p50, p95 = (float(np.percentile(took, p)) for p in (50, 95))
    return {
        "askers": askers,
        "asked": len(took),
        "errors": len(errors),
        "first_errors": errors[:3],
        "p50_ms": round(p50 * 1e3, 2),
        "p95_ms": round(p95 * 1e3, 2),
        "p95_over_p50": round(p95 / p50, 3),
    }
