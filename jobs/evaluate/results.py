"""What came of a run: figures of every arm as one JSON value, and the files of a results folder."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...store.errors import UsageError
from ...store.shell import path_word
from ...store.storage.faults import storage_errors
from ...store.storage.whole import write_whole
from . import score, stats, tables
from .arms import BASE, Arm
from .asking import ArmRun, Report, Setting, run
from .dataset import Dataset, Question
from .score import Scores
from .videos import Videos, present

NAMED = 5
"""So many missing videos are named."""


def measure(setting: Setting, arms: Sequence[Arm], report: Report) -> tuple[list[ArmRun], dict[str, Any]]:
    """Asks what can be asked under each of ``arms``, and the figures.

    Raises :class:`UsageError` where no question's videos are there; the first arm's reason where none could run.
    """
    videos = Videos(setting.archive)
    asked, missing = present(setting.dataset, videos)
    where = setting.archive.location
    if not asked:
        names = ", ".join(sorted(missing)[:3])
        raise UsageError(
            f"{where}: none of the {len(missing)} videos of {setting.dataset.path} is in it (looked for {names}); "
            f"add them with 'vidrag ingest {path_word(where)} FOLDER'"
        )
    runs = run(setting, arms, asked, report)
    if runs and all(r.error for r in runs):
        raise runs[0].error or UsageError("no arm ran")
    return runs, results(setting, runs, asked, missing)


def results(
    setting: Setting, runs: Sequence[ArmRun], asked: Sequence[Question], missing: Mapping[str, int]
) -> dict[str, Any]:
    """Everything that the tables show.

    Each arm is compared with ``ours`` (the first arm where that did not run) on the questions that both were asked.
    """
    dataset = setting.dataset
    by_id = {q.id: q for q in asked}
    scored = {
        r.arm.name: {i: score.score(by_id[i], t, dataset.proofs) for i, t in r.traces.items()}
        for r in runs
        if not r.reason
    }
    base = BASE if BASE in scored else next(iter(scored), None)
    return {
        "dataset": dataset.name,
        "file": str(dataset.path),
        "archive": setting.archive.location,
        "subtitled": setting.subtitled.location if setting.subtitled else None,
        "questions": len(dataset.questions),
        "asked": len(asked),
        "missing": {
            "videos": len(missing),
            "questions": sum(missing.values()),
            "names": sorted(missing)[:NAMED],
        },
        "profile": setting.profile,
        "settings": list(setting.overrides),
        "seed": setting.seed,
        "level": stats.LEVEL,
        "resamples": stats.RESAMPLES,
        "chance": round(score.chance(asked), 4),
        "base": base,
        "arms": [_arm(setting, r, scored, base) for r in runs],
    }


def _arm(setting: Setting, run: ArmRun, scored: Mapping[str, Mapping[str, Scores]], base: str | None) -> dict[str, Any]:
    arm, own = run.arm, scored.get(run.arm.name)
    told: dict[str, Any] = {
        "name": arm.name,
        "title": arm.title,
        "group": arm.group,
        "set": list(arm.options.set),
        "reason": run.reason or None,
        "notes": run.notes,
        "failed": run.failed,
        "reused": run.reused,
        "fingerprints": run.fingerprints,
        "table": [],
        "against": None,
    }
    if own is not None:
        told["table"] = score.table(setting.dataset, own, setting.seed)
        if base and arm.name != base:
            told["against"] = score.differences(own, scored[base], setting.seed)
    return told


def write(folder: Path, setting: Setting, runs: Sequence[ArmRun], told: Mapping[str, Any]) -> None:
    """``results.json``, ``tables.md`` and ``submission/ARM.json`` beside the traces.

    Written answers go to ``submission/ARM.TASK.json``, in the form that MLVU's own judges read.
    """
    write_whole(folder / "results.json", json.dumps(told, indent=1, ensure_ascii=False) + "\n")
    write_whole(folder / "tables.md", tables.markdown(told))
    if setting.dataset.submission is None:
        return
    with storage_errors(folder):
        (folder / "submission").mkdir(exist_ok=True)
    for one in runs:
        if not one.reason:
            choices = {i: str(c) for i, t in one.traces.items() if (c := t.get("answer", {}).get("choice"))}
            made = {"": setting.dataset.submission(choices), **_written(setting.dataset, one)}
            for task, rows in made.items():
                file = folder / "submission" / f"{one.arm.name}{task and '.' + task}.json"
                write_whole(file, json.dumps(rows, ensure_ascii=False, indent=1))


def _written(dataset: Dataset, run: ArmRun) -> dict[str, list[dict[str, str]]]:
    """Written answers by task."""
    out: dict[str, list[dict[str, str]]] = {}
    for q in dataset.questions:
        if not q.options and q.videos and (answer := run.traces.get(q.id, {}).get("answer")):
            row = {"video_name": q.videos[0][0], "Q": q.question, "A": q.reference or "", "pred": answer["answer"]}
            out.setdefault(re.sub(r"[^\w-]+", "-", q.groups["task"]), []).append(row)
    return out
