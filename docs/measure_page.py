"""How soon the page can be used, beside one that has nothing to show.

    python docs/measure_page.py                        # needs the packages of 'vidrag[dev]' and Chromium

Archives of made-up sentences are served one beside the other: an empty one, one of a hundred and one of ``--videos``
videos with a thumbnail each, of which one has a transcript of a hundred rows and one that of three hours.  Each page is
loaded ``--rounds`` times, in turn; printed are median seconds and their ratios, as JSON.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np
from playwright.sync_api import Browser, sync_playwright
from vidrag.jobs.bench import made_up
from vidrag.jobs.bench.serve import serving
from vidrag.store.archive.archive import Archive
from vidrag.store.encoders import EncoderSpec

_HOURS_3 = 2700
_ROW_OF_THUMBNAILS = 4
_SPEC = EncoderSpec("made-up", "", 8)
_VIDRAG = Path(sys.executable).with_name("vidrag")


def main() -> None:
    options = argparse.ArgumentParser(description="How soon the page can be used.")
    options.add_argument("--videos", type=int, default=10_000)
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lengths = ([], [100, _HOURS_3, *[3] * 98], [3] * given.videos)
        archives = [_archive(root / str(number), own) for number, own in enumerate(lengths)]
        empty, few, many = (stack.enter_context(serving(_VIDRAG, str(a)))[1] for a in archives)
        short, long = (f"{few}/v/{made_up.video_id(n)}" for n in (0, 1))
        thumbnails = "() => [...document.querySelectorAll('.grid img')].filter(i => i.naturalWidth).length >= {}"
        rows = "() => document.querySelectorAll('.line').length >= {}"
        pages = {
            "empty": (empty, "() => document.querySelector('main .empty')"),
            "library_100": (few, thumbnails.format(_ROW_OF_THUMBNAILS)),
            f"library_{given.videos}": (many, thumbnails.format(_ROW_OF_THUMBNAILS)),
            "rows_100": (short, rows.format(100)),
            "rows_2700_first": (long, rows.format(100)),
            "rows_2700_all": (long, rows.format(_HOURS_3)),
        }
        browser = stack.enter_context(sync_playwright()).chromium.launch(executable_path=shutil.which("chromium"))
        took: dict[str, list[float]] = {name: [] for name in pages}
        for turn in range(given.rounds + 1):
            for name, (address, condition) in pages.items():
                seconds = _load(browser, address, condition)
                if turn:  # the first one warms up
                    took[name].append(seconds)
        browser.close()
    medians = {name: statistics.median(t) for name, t in took.items()}
    print(
        json.dumps(
            {
                "seconds": {name: round(m, 3) for name, m in medians.items()},
                "spread": {name: [round(min(t), 3), round(max(t), 3)] for name, t in took.items()},
                "over_empty": {name: round(m / medians["empty"], 2) for name, m in medians.items()},
                "rows_2700_over_100": round(medians["rows_2700_all"] / medians["rows_100"], 2),
            },
            indent=1,
        )
    )


def _archive(folder: Path, lengths: list[int]) -> Path:
    """Of videos with so many spoken rows each."""
    made, said = Archive.create(folder), made_up.sentences(max(lengths, default=0))
    shade = np.linspace(0, 255, 320 * 180 * 3).reshape(180, 320, 3).astype(np.uint8)
    picture = cv2.imencode(".jpg", shade)[1].tobytes()
    for number, rows in enumerate(lengths):
        vectors = made_up.hard(rows, _SPEC.dim, number)
        made_up.add(made, f"made up {number}".encode(), said[:rows], vectors, _SPEC, picture)
    made.update_catalogue()
    return folder


def _load(browser: Browser, address: str, condition: str) -> float:
    """Seconds until the condition holds, in a browser that has been nowhere yet."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    began = time.perf_counter()
    page.goto(address, wait_until="commit")
    page.wait_for_function(condition, polling="raf")
    seconds = time.perf_counter() - began
    page.close()
    return seconds


if __name__ == "__main__":
    main()
