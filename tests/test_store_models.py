"""Weights are found, checked and joined; what is missing or wrong is an error that says how to get it."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from vidrag.store.errors import ModelMissing
from vidrag.store.weights import models
from vidrag.store.weights.known import KNOWN, WeightFile, Weights

PARTS = (b"first half, ", b"second half")
WHOLE = b"".join(PARTS)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDRAG_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The name of an importable package that carries two parts and a small file."""
    name = "weights_" + sha(request.node.name.encode())[:12]
    data = tmp_path / "site" / name / "data"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").touch()
    (data / "part1").write_bytes(PARTS[0])
    (data / "part2").write_bytes(PARTS[1])
    (data / "labels.txt").write_bytes(b"cat\ndog\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    return name


def known(
    monkeypatch: pytest.MonkeyPatch, package: str, files: Mapping[str, WeightFile], name: str = "mine"
) -> Weights:
    weights = Weights(name, "MIT", "nobody", (f"{package}==1.0 (--no-deps)", "other==2"), files)
    monkeypatch.setitem(KNOWN, name, weights)  # type: ignore[misc]
    return weights


def joined(package: str, data: bytes = WHOLE) -> WeightFile:
    return WeightFile((f"{package}:data/part1", f"{package}:data/part2"), len(data), sha(data))


def single(package: str, data: bytes = b"cat\ndog\n") -> WeightFile:
    return WeightFile((f"{package}:data/labels.txt",), len(data), sha(data))


def folder(package: str) -> Path:
    return Path(str(models._module_dir(package))) / "data"


def test_a_known_set_is_found_in_its_package(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Whole files where they lie, parts joined."""
    known(monkeypatch, package, {"model.bin": joined(package), "labels.txt": single(package)})
    assert models.installed("mine")
    found = models.files("mine")
    assert {n: p.read_bytes() for n, p in found.items()} == {"model.bin": WHOLE, "labels.txt": b"cat\ndog\n"}
    assert found["labels.txt"] == folder(package) / "labels.txt"


def test_parts_are_joined_once(monkeypatch: pytest.MonkeyPatch, package: str, cache: Path) -> None:
    """The joined file lies in the cache, alone; the next look leaves it as it is."""
    known(monkeypatch, package, {"model.bin": joined(package)})
    first = models.files("mine")["model.bin"]
    stamp = first.stat()
    assert cache in first.parents
    assert [p.name for p in first.parent.iterdir()] == ["model.bin"]
    assert models.files("mine")["model.bin"].stat().st_ino == stamp.st_ino


def test_a_joined_file_that_was_cut_is_joined_again(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    known(monkeypatch, package, {"model.bin": joined(package)})
    models.files("mine")["model.bin"].write_bytes(WHOLE[:5])
    assert models.files("mine")["model.bin"].read_bytes() == WHOLE


def test_a_joined_file_that_was_changed_is_not_used(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """The packages are sound, so that it is joined again."""
    known(monkeypatch, package, {"model.bin": joined(package)})
    models.files("mine")["model.bin"].write_bytes(WHOLE[::-1])
    assert models.files("mine")["model.bin"].read_bytes() == WHOLE


def test_a_folder_holds_all_files_side_by_side(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    known(monkeypatch, package, {"model.bin": joined(package), "names.txt": single(package)})
    for _ in range(2):
        place = models.folder_of("mine")
        assert {p.name: p.read_bytes() for p in place.iterdir()} == {"model.bin": WHOLE, "names.txt": b"cat\ndog\n"}


def test_one_file_under_its_own_name_stays_where_it_is(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    known(monkeypatch, package, {"labels.txt": single(package)})
    assert models.folder_of("mine") == folder(package)


@pytest.mark.parametrize("kind", ["whole", "joined"])
def test_a_wrong_hash_is_an_error(monkeypatch: pytest.MonkeyPatch, package: str, kind: str, cache: Path) -> None:
    """Weights that are not what they should be are never used, and nothing wrong stays in the cache."""
    file = single(package, b"cat\ndoG\n") if kind == "whole" else joined(package, WHOLE[::-1])
    known(monkeypatch, package, {"x": file})
    for _ in range(2):
        with pytest.raises(ModelMissing, match=r"mine.*get it again: pip install"):
            models.files("mine")
    assert not [p for p in cache.rglob("*") if p.is_file()]


def test_a_file_changed_after_it_was_checked_is_checked_again(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """Hashes are remembered for one size and time of change only."""
    known(monkeypatch, package, {"labels.txt": single(package)})
    models.files("mine")
    (folder(package) / "labels.txt").write_bytes(b"cat\ndog\nx")
    with pytest.raises(ModelMissing, match="SHA-256"):
        models.files("mine")


def test_no_cache_is_no_obstacle(monkeypatch: pytest.MonkeyPatch, package: str, tmp_path: Path) -> None:
    """Where nothing can be remembered, hashes are checked each time."""
    (tmp_path / "a file").touch()
    monkeypatch.setenv("VIDRAG_CACHE", str(tmp_path / "a file" / "cache"))
    known(monkeypatch, package, {"labels.txt": single(package)})
    for _ in range(2):
        assert models.files("mine")["labels.txt"].read_bytes() == b"cat\ndog\n"


def test_a_missing_package_names_the_command(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    """The whole command, without the remarks."""
    known(monkeypatch, "no_such_package_at_all", {"x": single("no_such_package_at_all")})
    assert not models.installed("mine")
    with pytest.raises(ModelMissing, match="pip install 'no_such_package_at_all==1.0' 'other==2'$"):
        models.files("mine")


def test_a_package_without_its_file_is_missing_too(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    known(monkeypatch, package, {"x": WeightFile((f"{package}:data/none",), 1, sha(b""))})
    assert not models.installed("mine")
    with pytest.raises(ModelMissing, match="pip install"):
        models.files("mine")


def test_a_path_is_a_reference(tmp_path: Path) -> None:
    """To a file, or to a folder with all its files."""
    place = tmp_path / "weights"
    place.mkdir()
    (place / "b.bin").write_bytes(b"b")
    (place / "a.txt").write_bytes(b"a")
    assert models.files(str(place)) == {"a.txt": place / "a.txt", "b.bin": place / "b.bin"}
    assert models.files(str(place / "b.bin")) == {"b.bin": place / "b.bin"}
    assert models.folder_of(str(place)) == place


def test_a_path_below_the_home_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "w.bin").write_bytes(b"w")
    assert models.files("~/w.bin") == {"w.bin": tmp_path / "w.bin"}


@pytest.mark.parametrize("ref", ["whisper-huge", "/no/such/path", ""])
def test_what_is_neither_name_nor_path_lists_the_names(ref: str) -> None:
    with pytest.raises(ModelMissing) as caught:
        models.files(ref)
    assert all(name in str(caught.value) for name in KNOWN)


def test_the_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    """For a path it is that of the content, not of the place."""
    prints = []
    for folder_name, data in (("one", b"x"), ("two", b"x"), ("three", b"y")):
        (tmp_path / folder_name).mkdir()
        (tmp_path / folder_name / "model.bin").write_bytes(data)
        prints.append(models.fingerprint(str(tmp_path / folder_name)))
    assert prints[0] == prints[1] != prints[2]
    assert models.fingerprint("minilm-l6-int8") == KNOWN["minilm-l6-int8"].sha256[:16]


def test_known_sets_are_complete() -> None:
    """Each says who made it, under which licence, and which exact package carries it."""
    for name, weights in KNOWN.items():
        assert weights.name == name and weights.licence and weights.upstream
        assert all("==" in p for p in weights.packages)
        assert all(len(f.sha256) == 64 and f.bytes > 0 and f.parts for f in weights.files.values())
    assert len({w.sha256 for w in KNOWN.values()}) == len(KNOWN)


def test_offline_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A repository that is not in the cache is missing, and the message says that the network was not asked."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr(models, "_offline", True)
    with pytest.raises(ModelMissing, match="offline"):
        models.files("hf:nobody/no-such-model-in-any-cache@main")


def test_the_switch_is_inherited_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VIDRAG_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "0")
    monkeypatch.setattr(models, "_offline", False)
    models.set_offline(True)
    assert models._offline is True
    assert os.environ["VIDRAG_OFFLINE"] == os.environ["HF_HUB_OFFLINE"] == "1"
    models.set_offline(False)
    assert models._offline is False and os.environ["VIDRAG_OFFLINE"] == "0"


def test_without_the_hub_client_the_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ModelMissing, match=r"pip install 'vidrag\[hub\]'"):
        models.files("hf:nobody/nothing")
