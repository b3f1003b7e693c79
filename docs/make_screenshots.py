"""Takes the pictures of the page in docs/images from the bundled sample.

    python docs/make_screenshots.py                    # needs the packages of 'vidrag[dev]' and Chromium

CHROMIUM names another program than the first ``chromium`` that is found.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from playwright.sync_api import Page, sync_playwright
from vidrag.jobs.bench.serve import serving

FOLDER = Path(__file__).resolve().parent / "images"
_SIZE = {"width": 1280, "height": 800}
_QUESTION = "What is shown while the speaker mentions plum cake?"
_VIDRAG = Path(sys.executable).with_name("vidrag")


def main() -> None:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, _sample_served(Path(folder)) as address, sync_playwright() as drivers:
        browser = drivers.chromium.launch(executable_path=program)
        page = browser.new_page(viewport=_SIZE, color_scheme="light", reduced_motion="reduce")
        _take(page, address)
        browser.close()


@contextmanager
def _sample_served(folder: Path) -> Iterator[str]:
    """The address of a server over an archive of the sample."""
    sample = Path(str(resources.files("vidrag.jobs.demo") / "sample.mp4"))
    archive = folder / "museum"
    command = [_VIDRAG, "--offline", "ingest", archive, sample, "--no-ray"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with serving(_VIDRAG, str(archive), "--media", str(sample.parent)) as (_, address):
        yield address


def _take(page: Page, address: str) -> None:
    page.goto(address)
    page.fill("#q", _QUESTION)
    page.press("#q", "Enter")
    page.wait_for_selector("a[data-cite='1']")
    page.wait_for_selector("text=/^[0-9]+ moments?/")
    _settle(page)
    page.screenshot(path=FOLDER / "answer.jpg", quality=90, clip={"x": 0, "y": 0, "width": 1280, "height": 500})
    page.click("a[data-cite='1']")
    page.wait_for_selector("video")
    page.wait_for_function("() => document.querySelector('video').readyState > 2")
    _settle(page)
    page.screenshot(path=FOLDER / "page.jpg", quality=90)


def _settle(page: Page) -> None:
    """Waits for pictures and for the browser's own signs of loading to go."""
    page.wait_for_function("() => [...document.querySelectorAll('main img')].every(i => i.complete)")
    page.mouse.move(0, 0)
    page.wait_for_timeout(1500)


if __name__ == "__main__":
    main()
