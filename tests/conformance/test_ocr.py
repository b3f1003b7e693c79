"""Every text recogniser keeps the promises of ``TextRecogniser``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from engine_tools import loaded, names
from vidrag.ingest.ocr import Quads, TextRecogniser
from vidrag.store.encoders import Picture
from vidrag.store.records import iou

LINES = ("Harbour Hill 4719", "Open until 17:00")
MISREADS = frozenset({"Easy"})
IN_PARTS = frozenset({"Paddle"})
"""Engines that may find words far apart one by one."""
ALIKE = 0.02  # confidences may differ by this much with what is read beside


@pytest.fixture(scope="module", params=names("ocr"))
def engine(request: pytest.FixtureRequest) -> Any:
    return loaded("ocr", request.param)


@pytest.fixture(scope="module")
def sign() -> Picture:
    """Two lines of white text on a dark ground."""
    picture = np.full((360, 640, 3), 30, np.uint8)
    cv2.putText(picture, LINES[0], (40, 100), cv2.FONT_HERSHEY_SIMPLEX, 1.5, (255, 255, 255), 3)
    cv2.putText(picture, LINES[1], (40, 220), cv2.FONT_HERSHEY_SIMPLEX, 1.2, (255, 255, 255), 2)
    return picture


@pytest.fixture(scope="module")
def quads(engine: TextRecogniser, sign: Picture) -> Quads:
    return engine.detect(sign)


def in_lines(quads: Quads, read: Sequence[tuple[str, float]] | None = None) -> list[tuple[float, str]]:
    """Height and text of each line, top down; words far apart may have been found one by one."""
    rows: list[list[tuple[float, float, str]]] = []
    texts = [t for t, _ in read] if read is not None else [""] * len(quads)
    for (x, y), text in sorted(zip(quads.mean(1).tolist(), texts, strict=True), key=lambda r: r[0][1]):
        if not rows or y - rows[-1][0][1] > 0.05:
            rows.append([])
        rows[-1].append((x, y, text))
    return [(float(np.mean([y for _, y, _ in r])), " ".join(t for _, _, t in sorted(r))) for r in rows]


def alike(told: str, wanted: str, engine: Any) -> bool:
    """Exact; of engines that are known to misread a character, nearly so."""
    if type(engine).__name__ in MISREADS:
        return difflib.SequenceMatcher(None, told, wanted).ratio() >= 0.9
    return told == wanted


def is_fake(engine: Any) -> bool:
    return type(engine).__module__ == "vidrag_fakes"


def test_the_built_in_and_the_fake_are_there() -> None:
    """The suite runs over the engine of the default profile and the plugin."""
    assert {"rapidocr", "fake"} <= set(names("ocr"))


def test_keeps_the_protocol(engine: Any) -> None:
    assert isinstance(engine, TextRecogniser)


@pytest.mark.parametrize("shape", [(360, 640), (640, 360), (40, 40), (1, 1), (3, 900)])
@pytest.mark.parametrize("value", [0, 128, 255])
def test_a_blank_picture_has_no_text(engine: TextRecogniser, shape: tuple[int, int], value: int) -> None:
    """One colour, any size: no lines, in an array of the promised shape."""
    found = engine.detect(np.full((*shape, 3), value, np.uint8))
    assert found.shape == (0, 4, 2)
    assert found.dtype == np.float32


def test_no_quads_no_text(engine: TextRecogniser, sign: Picture) -> None:
    assert list(engine.recognise(sign, np.zeros((0, 4, 2), np.float32))) == []


def test_finds_each_line_once(engine: Any, quads: Quads) -> None:
    """float32 ``(n, 4, 2)`` in 0..1, where the lines are; none overlaps another."""
    assert quads.shape[1:] == (4, 2)
    assert quads.dtype == np.float32
    assert quads.min() >= 0 and quads.max() <= 1
    boxes = [(*q.min(0).tolist(), *q.max(0).tolist()) for q in quads]
    assert all(iou(a, b) < 0.1 for i, a in enumerate(boxes) for b in boxes[:i])
    middles = [y for y, _ in in_lines(quads)]
    assert middles == pytest.approx([0.23, 0.58], abs=0.05)
    assert len(quads) == 2 or type(engine).__name__ in IN_PARTS


def test_corners_run_clockwise_from_the_top_left(quads: Quads) -> None:
    for (ax, ay), (bx, by), (cx, cy), (dx, dy) in quads.tolist():
        assert ax < bx and dx < cx
        assert ay < dy and by < cy


def test_reads_each_quad_in_its_order(engine: TextRecogniser, sign: Picture, quads: Quads) -> None:
    """Answers stand in the order of the question, with a confidence in 0..1."""
    forth = list(engine.recognise(sign, quads))
    back = list(engine.recognise(sign, quads[::-1]))
    assert [text for text, _ in back] == [text for text, _ in reversed(forth)]
    assert [sure for _, sure in back] == pytest.approx([sure for _, sure in reversed(forth)], abs=ALIKE)
    assert all(type(text) is str and type(sure) is float and 0 <= sure <= 1 for text, sure in forth)


def test_reads_one_quad_as_among_others(engine: TextRecogniser, sign: Picture, quads: Quads) -> None:
    """What a line says does not hang on the lines that are read with it: unchanged lines are not read again."""
    together = [text for text, _ in engine.recognise(sign, quads)]
    alone = [engine.recognise(sign, quads[i : i + 1])[0][0] for i in range(len(quads))]
    assert alone == together


def test_reads_what_is_written(engine: TextRecogniser, sign: Picture, quads: Quads) -> None:
    told = [text for _, text in in_lines(quads, engine.recognise(sign, quads))]
    if is_fake(engine):  # its text ends in the height of the line, which is up to the version of OpenCV
        told, wanted = [t.rsplit(" ", 1)[0] for t in told], ["white sign"] * len(LINES)
    else:
        wanted = list(LINES)
    assert all(alike(t, w, engine) for t, w in zip(told, wanted, strict=True)), told


@pytest.mark.parametrize("name", [n for n in names("ocr") if n != "fake"])
def test_reads_a_slide_of_the_sample(
    name: str, sample_picture: Callable[[float], Picture], truth: dict[str, Any]
) -> None:
    """Real engines read every line of a slide of the bundled video."""
    engine: TextRecogniser = loaded("ocr", name)
    shot = next(s for s in truth["shots"] if s["id"] == "start")
    picture = sample_picture(shot["start"] + 4)
    told = [text.replace(" ", "") for text, _ in engine.recognise(picture, engine.detect(picture))]
    wanted = [line.replace(" ", "") for line in shot["text"]]
    assert [w for w in wanted if not any(w in t or alike(t, w, engine) for t in told)] == []


def test_flat_quads_are_unreadable(engine: TextRecogniser, sign: Picture) -> None:
    """A quad without area reads as nothing and does not disturb the others."""
    point = np.full((1, 4, 2), 0.5, np.float32)
    line = np.array([[[0.1, 0.2], [0.6, 0.2], [0.6, 0.2], [0.1, 0.2]]], np.float32)
    found = list(engine.recognise(sign, np.concatenate([point, engine.detect(sign), line])))
    assert found[0] == found[-1] == ("", 0.0)
    assert all(text for text, _ in found[1:-1])


def test_same_picture_same_lines(engine: TextRecogniser, sign: Picture, quads: Quads) -> None:
    """Both calls are deterministic and leave the picture as it was."""
    before = sign.copy()
    assert np.array_equal(engine.detect(sign), quads)
    assert list(engine.recognise(sign, quads)) == list(engine.recognise(sign, quads))
    assert np.array_equal(sign, before)
