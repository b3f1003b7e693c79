"""What engines cost under every setting that is known to matter: how far the chosen ones are from the best.

Each measurement is a process of its own, as threads of a runtime keep what they were made with.
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...ingest.shares import digest_of
from ...ingest.stages import EngineChoice, IngestSettings
from ...ingest.steps import Clock
from ...store import engines
from ...store.engines import denormals
from ...store.weights import models

Call = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A method of an engine and what it was given."""
_MOST_CALLS = 20
_TYPES = ("int8", "int8_float32", "float32")
"""Number formats of CTranslate2 on a CPU: which is fastest depends on the CPU."""


@dataclass(frozen=True, slots=True)
class Setting:
    """Options, and whether denormal numbers count as zero in all of it: None as the engine does it."""

    options: Mapping[str, Any]
    as_zero: bool | None = None


def known(kind: engines.Kind, name: str) -> dict[str, Setting]:
    """By what they are called; the first is what was chosen."""
    found = {
        "as chosen": Setting({}),
        "denormal numbers as they are": Setting({}, False),
        "denormal numbers as zero": Setting({}, True),
        "threads=2": Setting({"threads": 2}),
    }
    if "compute_type" in engines.find(kind, name).Options.model_fields:
        found |= {f"compute_type={t}": Setting({"compute_type": t}) for t in _TYPES}
    return found


def run(settings: IngestSettings, calls: Mapping[engines.Kind, Sequence[Call]]) -> dict[str, Any]:
    """CPU of the first calls of each engine as chosen over that under the best setting known, and in total."""
    rows: dict[str, Any] = {}
    chosen = best = 0.0
    with tempfile.TemporaryDirectory() as name:
        for kind in (k for k, made in calls.items() if made):
            choice: EngineChoice = getattr(settings, kind)
            file = Path(name) / kind
            file.write_bytes(pickle.dumps((kind, choice, calls[kind][:_MOST_CALLS], models.offline())))
            cost = {label: _measured(file, label) for label in known(kind, choice.name)}
            usual = cost["as chosen"]
            least = min(c["cpu_s"] for c in cost.values())
            chosen, best = chosen + usual["cpu_s"], best + least
            rows[kind] = {
                "over_best": round(usual["cpu_s"] / least, 3),
                "settings": {
                    label: {"cpu_s": round(c["cpu_s"], 3), "same_answers": c["answers"] == usual["answers"]}
                    for label, c in cost.items()
                },
            }
    return {"engines_over_best_setting": round(chosen / best, 3), "engines": rows}


def _measured(file: Path, label: str) -> dict[str, Any]:
    command = [sys.executable, "-P", "-m", __name__, str(file), label]
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))


def _measure(file: Path, label: str) -> dict[str, Any]:
    """CPU seconds of the calls after the first, which warms up, and a digest of all answers."""
    kind, choice, calls, offline = pickle.loads(file.read_bytes())
    models.set_offline(offline)
    setting = known(kind, choice.name)[label]
    if setting.as_zero is False:
        denormals._library = lambda: None  # type: ignore[assignment]  # before engines are imported
    with denormals.as_zero() if setting.as_zero else nullcontext():
        engine = engines.load(kind, choice.name, {**choice.options, **setting.options})
        _answer(engine, calls[0])
        clock = Clock()
        answers = [repr(_answer(engine, call)) for call in calls]
        return {"cpu_s": clock.read()["cpu_seconds"], "answers": digest_of(answers).hex()}


def _answer(engine: Any, call: Call) -> Any:
    method, args, more = call
    return getattr(engine, method)(*args, **more)


if __name__ == "__main__":
    # not by its bare name: what was pickled is of the module as others import it
    from . import settings

    print(json.dumps(settings._measure(Path(sys.argv[1]), sys.argv[2])))
