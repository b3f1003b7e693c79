"""Weights in torch's own files, as Contriever has them: the tensors come, nothing else that is in such a file runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from vidrag.store.engines import pretrained
from vidrag.store.errors import ModelMissing
from vidrag.store.weights import models

pytestmark = pytest.mark.full
torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, door: Path) -> None:
        self.door = door

    def __reduce__(self) -> tuple[object, ...]:
        return (os.mkdir, (str(self.door),))


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    """A small BERT of random weights in ``pytorch_model.bin``."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8
    )
    folder = tmp_path / "bert"
    folder.mkdir()
    config.save_pretrained(folder)
    torch.save(transformers.BertModel(config).state_dict(), folder / "pytorch_model.bin")
    return folder


def test_torchs_own_file_gives_its_tensors(bert: Path) -> None:
    models.open_files(str(bert))
    held = torch.load(bert / "pytorch_model.bin", weights_only=True)
    made = pretrained.model("AutoModel", bert, str(bert))
    assert {n: t.tolist() for n, t in made.state_dict().items() if n in held} == {
        n: t.tolist() for n, t in held.items()
    }


def test_code_in_it_does_not_run(bert: Path, tmp_path: Path) -> None:
    door = tmp_path / "door"
    held = torch.load(bert / "pytorch_model.bin", weights_only=True)
    torch.save({**held, "trap": Trap(door)}, bert / "pytorch_model.bin")
    with pytest.raises(ModelMissing, match="cannot load it") as e:
        pretrained.model("AutoModel", bert, str(bert))
    assert "\n" not in str(e.value) and not door.exists()
    torch.load(bert / "pytorch_model.bin", weights_only=False)
    assert door.exists()  # the trap is one


def test_safetensors_are_preferred(bert: Path, tmp_path: Path) -> None:
    """Where both are there, torch's file is not opened."""
    from safetensors.torch import save_file

    held = torch.load(bert / "pytorch_model.bin", weights_only=True)
    save_file(held, bert / "model.safetensors", {"format": "pt"})
    torch.save({"trap": Trap(tmp_path / "door")}, bert / "pytorch_model.bin")
    pretrained.model("AutoModel", bert, str(bert))
    assert not (tmp_path / "door").exists()


def test_no_weights_at_all(bert: Path) -> None:
    (bert / "pytorch_model.bin").unlink()
    with pytest.raises(ModelMissing, match=r"neither .safetensors weights nor a pytorch_model.bin"):
        pretrained.model("AutoModel", bert, str(bert))
