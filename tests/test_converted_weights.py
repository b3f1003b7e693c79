"""Files made of weights: once, whole or not at all, again where they are damaged."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from vidrag.store.errors import ModelMissing
from vidrag.store.weights.converted import converted


class Convert:
    """Writes two files and counts how often."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times, self.error = 0, error

    def __call__(self, folder: Path) -> None:
        self.times += 1
        (folder / "a.bin").write_bytes(b"x" * 1000)
        if self.error:
            raise self.error
        (folder / "b.json").write_text("{}")


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("VIDRAG_CACHE", str(tmp_path / "cache"))
    (tmp_path / "weights.bin").write_bytes(b"weights")
    return str(tmp_path / "weights.bin")


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "sums.json"}


WHOLE = {"a.bin": b"x" * 1000, "b.json": b"{}"}


def test_they_are_made_once(weights: str) -> None:
    convert = Convert()
    folder = converted(weights, "form", convert)
    assert converted(weights, "form", convert) == folder
    assert convert.times == 1 and contents(folder) == WHOLE
    assert {oct(p.stat().st_mode & 0o777) for p in folder.iterdir()} == {"0o644"}


def test_another_form_and_other_weights_have_a_folder_of_their_own(weights: str, tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"others")
    folders = {
        converted(ref, form, Convert()) for ref in (weights, str(tmp_path / "other.bin")) for form in ("one", "two")
    }
    assert len(folders) == 4


@pytest.mark.parametrize("harm", ["cut", "changed", "missing", "no sums", "bad sums", "odd sums"])
def test_what_is_damaged_is_made_again(weights: str, harm: str) -> None:
    convert = Convert()
    folder = converted(weights, "form", convert)
    file, sums = folder / "a.bin", folder / "sums.json"
    if harm in ("cut", "changed"):
        file.write_bytes(b"x" * 500 if harm == "cut" else b"y" * 1000)
    elif harm in ("missing", "no sums"):
        (file if harm == "missing" else sums).unlink()
    else:
        sums.write_text("{" if harm == "bad sums" else '["a.bin"]')
    assert converted(weights, "form", convert) == folder
    assert convert.times == 2 and contents(folder) == WHOLE


def test_a_conversion_that_fails_leaves_nothing(weights: str) -> None:
    with pytest.raises(ModelMissing, match="odd"):
        converted(weights, "form", Convert(ModelMissing("odd")))
    convert = Convert()
    folder = converted(weights, "form", convert)
    assert convert.times == 1 and contents(folder) == WHOLE
    assert [p.name for p in folder.parent.iterdir() if p.name.startswith(".")] == []


def test_many_at_once_make_it_once(weights: str) -> None:
    convert, found, start = Convert(), list[Path](), threading.Barrier(8)

    def one() -> None:
        start.wait()
        found.append(converted(weights, "form", convert))

    threads = [threading.Thread(target=one) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert convert.times == 1 and len(set(found)) == 1 and len(found) == 8 and contents(found[0]) == WHOLE


def test_without_locks_all_of_them_make_it(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on some network mounts: whoever publishes last publishes the same."""

    def no_locks(*_: object) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr("fcntl.flock", no_locks)
    found, start, inside = list[Path](), threading.Barrier(4), threading.Barrier(4)

    def convert(folder: Path) -> None:
        inside.wait()
        Convert()(folder)

    def one() -> None:
        start.wait()
        found.append(converted(weights, "form", convert))

    threads = [threading.Thread(target=one) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 4 and contents(found[0]) == WHOLE


def test_a_cache_that_cannot_be_written_is_one_line(
    weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VIDRAG_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ModelMissing, match=r"cannot be written.*VIDRAG_CACHE") as caught:
        converted(weights, "form", Convert())
    assert "\n" not in str(caught.value)


def test_a_cache_that_is_ready_need_not_be_writable(weights: str) -> None:
    """As in an image."""
    folder = converted(weights, "form", Convert())
    for root in (folder, folder.parent):
        root.chmod(0o555)
    try:
        assert converted(weights, "form", Convert(AssertionError("made again"))) == folder
    finally:
        for root in (folder.parent, folder):
            os.chmod(root, 0o755)
