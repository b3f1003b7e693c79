"""What an archive of many small videos costs beside one Lance dataset with the same rows.

    pip install pylance
    python docs/measure_lance.py --videos 10000

prints JSON: CPU seconds, files and bytes of both, as ratios of vidrag over Lance where both do the same.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
from vidrag.jobs.bench import made_up
from vidrag.jobs.dataset import compact
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders import EncoderSpec

DIM, ROWS = 384, 20
SPEC = EncoderSpec("made up", "0" * 16, DIM)


def timed(call: Callable[[], Any]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def weight(folder: Path) -> dict[str, int]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {"files": len(files), "bytes": sum(p.stat().st_size for p in files)}


def rows(video: int, texts: list[str], vectors: np.ndarray) -> pa.Table:
    return pa.table(
        {
            "video": [made_up.video_id(video)] * ROWS,
            "start": [4.0 * i for i in range(ROWS)],
            "text": texts,
            "vector": pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIM),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--videos", type=int, default=10_000)
    count = parser.parse_args().videos
    texts = made_up.sentences(ROWS * (count + 1))
    vectors = made_up.hard(ROWS * (count + 1), DIM, 0)
    queries = made_up.hard(20, DIM, 1)

    def of(video: int) -> tuple[list[str], np.ndarray]:
        return texts[ROWS * video : ROWS * (video + 1)], vectors[ROWS * video : ROWS * (video + 1)]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = Archive.create(folder / "archive")

        def publish() -> None:
            for video in range(count):
                made_up.add(archive, f"made up {video}".encode(), *of(video), SPEC)
            archive.update_catalogue()

        def append() -> None:
            for video in range(count):
                lance.write_dataset(rows(video, *of(video)), folder / "lance", mode="append" if video else "create")

        told: dict[str, Any] = {"videos": count, "rows": count * ROWS, "lance": lance.__version__}
        one, other = timed(publish), timed(append)
        told["each_video_as_it_comes"] = {"vidrag_s": round(one, 1), "lance_s": round(other, 1)}
        told["weight"] = {"vidrag": weight(folder / "archive"), "lance": weight(folder / "lance")}
        first = timed(lambda: compact(archive, folder / "dataset"))
        data = lance.dataset(folder / "lance")
        squeeze = timed(lambda: data.optimize.compact_files())
        data = lance.dataset(folder / "lance")
        data.cleanup_old_versions(retain_versions=1)
        told["made_one"] = {"vidrag_compact_s": round(first, 1), "lance_compact_s": round(squeeze, 1)}
        told["weight_of_one"] = {"vidrag": weight(folder / "dataset"), "lance": weight(folder / "lance")}
        made_up.add(archive, b"one more", *of(count), SPEC)
        archive = Archive.open(archive.location)
        again = timed(lambda: compact(archive, folder / "dataset"))
        extra = timed(lambda: lance.write_dataset(rows(count, *of(count)), folder / "lance", mode="append"))
        told["one_more_video"] = {"vidrag_compact_s": round(again, 2), "lance_append_s": round(extra, 3)}

        def scan() -> None:
            ds.dataset(folder / "dataset" / "rows").to_table(columns=["text"])

        def search() -> None:
            found = ds.dataset(folder / "dataset" / "rows").to_table(columns=["vector"])["vector"]
            matrix = found.combine_chunks().flatten().to_numpy().reshape(-1, DIM)
            for query in queries:
                np.argpartition(matrix @ query, -10)[-10:]

        def lance_search() -> None:
            opened = lance.dataset(folder / "lance")
            for query in queries:
                opened.to_table(
                    columns=["video", "_distance"], nearest={"column": "vector", "q": query, "k": 10, "metric": "dot"}
                )

        told["all_texts"] = {"vidrag_s": round(timed(scan), 2), "lance_s": round(timed(
            lambda: lance.dataset(folder / "lance").to_table(columns=["text"])), 2)}  # fmt: skip
        told["20_exact_searches"] = {"vidrag_s": round(timed(search), 2), "lance_s": round(timed(lance_search), 2)}
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
