"""Every detector keeps the promises of ``Detector``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from engine_tools import loaded, names
from vidrag.query.look.detectors import Detector
from vidrag.store.encoders import Picture

NONSENSE = ("xyzzy qwop", "", "?!", "42")
WORDINGS = {
    "fake": {
        "red ball": ("red ball", "the red balls", "A BALL"),
        "blue box": ("boxes", "a big blue box"),
        None: ("candle", "green ball"),
    },
    "coco": {
        "person": ("person", "people", "an old man", "the women"),
        "cup": ("cups", "a red mug"),
        "bus": ("buses", "bus"),
        "wine glass": ("wine glasses", "a wine glass"),
        "hot dog": ("hot dogs",),
        "skis": ("skis", "a pair of skis"),
        None: ("candle", "lighthouse", "blue staircase"),
    },
}


WORDINGS["http"] = WORDINGS["coco"]  # which is behind the server of the tests
RANDOM = ("GroundingDino", "OnnxOwl", "Owlv2")
"""Engines that are tested with random weights, and take any words."""


def random(engine: Any) -> bool:
    return type(engine).__name__ in RANDOM


@pytest.fixture(scope="module", params=names("detector"))
def engine(request: pytest.FixtureRequest) -> Any:
    return loaded("detector", request.param)


@pytest.fixture(scope="module")
def case(engine: Any, sample_picture: Callable[[float], Picture]) -> tuple[Picture, str, str]:
    """A picture, what is in it and what is not."""
    if type(engine).__module__ != "vidrag_fakes":
        return sample_picture(80), "cat", "bus"
    picture = np.zeros((90, 160, 3), np.uint8)
    cv2.circle(picture, (40, 45), 20, (255, 0, 0), -1)
    cv2.rectangle(picture, (90, 20), (130, 60), (255, 0, 0), -1)
    cv2.rectangle(picture, (135, 70), (155, 85), (0, 0, 255), -1)
    return picture, "red ball", "yellow star"


def test_the_built_in_and_the_fake_are_there() -> None:
    """The suite runs over the engine of the default profile and the plugin."""
    assert {"coco", "fake", "grounding-dino", "http", "onnx-owl", "owlv2"} <= set(names("detector"))


def test_keeps_the_protocol(engine: Any) -> None:
    assert isinstance(engine, Detector)
    assert isinstance(engine.identity, str) and engine.identity


@pytest.mark.parametrize("entity", NONSENSE)
def test_says_what_it_cannot_know(engine: Detector, entity: str) -> None:
    """What is no word at all is unknown to those as well that take any words."""
    if not random(engine) or not any(c.isalpha() for c in entity):
        assert engine.knows(entity) is None


@pytest.mark.parametrize("name", sorted(WORDINGS))
def test_knows_any_wording(name: str) -> None:
    """Singular, plural and described things have one name; what is unknown has none."""
    detector = loaded("detector", name)
    told = {wording: detector.knows(wording) for wordings in WORDINGS[name].values() for wording in wordings}
    assert told == {wording: thing for thing, wordings in WORDINGS[name].items() for wording in wordings}


def test_its_own_names_are_known(engine: Detector, case: tuple[Picture, str, str]) -> None:
    """``knows`` of a name that ``knows`` gave is that name."""
    _, there, absent = case
    for entity in (there, f"{there}s", absent):
        name = engine.knows(entity)
        assert name is not None and engine.knows(name) == name


def test_every_coco_class_is_known_by_its_name() -> None:
    from vidrag.store.encoders.coco import NAMES

    detector = loaded("detector", "coco")
    assert len(NAMES) == 80
    assert {n: detector.knows(n) for n in NAMES} == {n: n for n in NAMES}


def test_a_word_within_a_word_is_no_thing() -> None:
    """Business units are no bus, a category no cat."""
    detector = loaded("detector", "coco")
    for entity in ("business", "business units", "businesses", "categories", "carpet", "scatter", "boating"):
        assert detector.knows(entity) is None, entity


def test_finds_what_is_there(engine: Detector, case: tuple[Picture, str, str]) -> None:
    """What is asked for and nothing else, best first, with boxes in 0..1."""
    picture, there, absent = case
    found = engine.detect(picture, [there, absent])
    assert isinstance(found, tuple) and found
    assert {d.label for d in found} == {there} or (random(engine) and {d.label for d in found} <= {there, absent})
    assert [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    for d in found:
        x0, y0, x1, y1 = d.box
        assert type(d.score) is float and 0 <= d.score <= 1
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1
    assert random(engine) or engine.detect(picture, [absent]) == ()


def test_finds_every_one() -> None:
    """Two things of a kind are two detections, where they are."""
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[20:40, 20:40] = picture[60:80, 150:190] = (255, 0, 0)
    found = loaded("detector", "fake").detect(picture, ["red balls"])
    assert sorted(d.box for d in found) == [(0.1, 0.2, 0.2, 0.4), (0.75, 0.6, 0.95, 0.8)]


@pytest.mark.parametrize("entities", [[], ["", "?!"], ["xyzzy qwop"]])
def test_nothing_asked_nothing_found(engine: Detector, case: tuple[Picture, str, str], entities: list[str]) -> None:
    """No entities, or only unknown ones, are no error."""
    found = engine.detect(case[0], entities)
    assert found == () or (random(engine) and {d.label for d in found} == set(entities))


@pytest.mark.parametrize("shape", [(90, 160), (1, 1), (2, 300)])
def test_a_blank_picture_holds_nothing(
    engine: Detector, case: tuple[Picture, str, str], shape: tuple[int, int]
) -> None:
    found = engine.detect(np.zeros((*shape, 3), np.uint8), [case[1]])
    assert found == () or (random(engine) and shape == (90, 160))


def test_same_picture_same_things(engine: Detector, case: tuple[Picture, str, str]) -> None:
    """Deterministic; the order of the entities is of no account; the picture is left as it was."""
    picture, there, absent = case
    before = picture.copy()
    found = engine.detect(picture, [there, absent])
    assert engine.detect(picture, [absent, there, there]) == found
    assert np.array_equal(picture, before)


@pytest.mark.parametrize("name", names("detector"))
def test_the_identity_follows_the_options(name: str) -> None:
    """It changes with what changes results, and not with threads: detections are cached under it."""
    identities = [loaded("detector", name, o).identity for o in ({}, {"threads": 2}, {"threshold": 0.7})]
    assert identities[0] == identities[1] != identities[2]
