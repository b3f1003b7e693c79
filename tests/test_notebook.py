"""The example notebook: its cells run in order, and what they show is what they say."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from vidrag.store.weights import models

NOTEBOOK = Path(__file__).resolve().parents[1] / "examples" / "ask_an_archive.ipynb"


def run(source: str, names: dict[str, Any]) -> Any:
    """Runs a cell as a notebook does, ``await`` included; the value of its last line, None where that has none."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    value = None
    for part in (tree, ast.Expression(last.value) if isinstance(last, ast.Expr) else None):
        if part is not None:
            mode = "eval" if isinstance(part, ast.Expression) else "exec"
            value = eval(compile(part, str(NOTEBOOK), mode, ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
    return value


def test_every_cell_does_what_it_says(
    sample_archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(sample_archive, tmp_path / "sample-archive")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(models, "_offline", models.offline())
    for name in ("VIDRAG_OFFLINE", "HF_HUB_OFFLINE"):  # the notebook sets them
        monkeypatch.setenv(name, "1")
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    assert not any(c["outputs"] for c in notebook["cells"] if c["cell_type"] == "code")
    names: dict[str, Any] = {"__name__": "__main__"}
    values = [run(cell, names) for cell in cells]
    printed = capsys.readouterr().out
    shown = [v._repr_html_() for v in values if hasattr(v, "_repr_html_")]
    assert len(shown) == 2 and all("data:image/jpeg;base64," in html for html in shown)
    assert "blue staircase" in shown[0] and "plum cake" in shown[1]
    assert "1 of 1 videos indexed" in printed and "\nB 0." in printed and "\nTrue " in printed
    assert "moonwalk27" in printed and "Eileen Collins" in printed and "no video 'holiday.mp4'" in printed
    assert (tmp_path / "lockers.jpg").read_bytes()[:2] == b"\xff\xd8"
