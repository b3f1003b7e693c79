"""What importing costs: a question never pays for ingest, and ingest's packages need not be there."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
import tomllib
from importlib import import_module, resources
from pathlib import Path

import pytest

PACKAGES = ("store", "ingest", "query", "jobs")
HEAVY = {"torch", "ray", "av", "faster_whisper", "rapidocr"}
ROOT = Path(__file__).resolve().parent.parent

IMPORTS = """
import importlib, json, pkgutil, sys
package = importlib.import_module(sys.argv[1])
seen = [package.__name__]
for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if ".decoder." in info.name:
        continue  # the program of a child process, which loads what it needs at once
    importlib.import_module(info.name)
    seen.append(info.name)
print(json.dumps([seen, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def imported(package: str) -> tuple[set[str], set[str]]:
    """All modules of ``package``, and the top-level modules that a fresh process has loaded after importing them."""
    command = [sys.executable, "-P", "-c", IMPORTS, package]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    modules, loaded = json.loads(done.stdout)
    return set(modules), set(loaded)


@pytest.mark.parametrize(
    "package, some, heavy",
    [
        (
            "vidrag.store",
            {"vidrag.store.archive.archive", "vidrag.store.encoders.minilm"},
            HEAVY | {"cv2", "onnxruntime"},
        ),
        (
            "vidrag.query",
            {"vidrag.query.asker", "vidrag.query.answer.models.openai"},
            HEAVY | {"cv2", "openai", "onnxruntime"},
        ),
        ("vidrag.ingest", {"vidrag.ingest.pipeline", "vidrag.ingest.asr.faster_whisper"}, HEAVY),
        ("vidrag.jobs.cli", {"vidrag.jobs.cli.app"}, HEAVY),
    ],
)
def test_importing_loads_nothing_heavy(package: str, some: set[str], heavy: set[str]) -> None:
    """Every module of a package can be imported, and none of them brings what only some work needs."""
    modules, loaded = imported(package)
    assert some <= modules
    assert heavy & loaded == set()


def test_a_question_knows_nothing_of_ingest() -> None:
    """Nor the other way round, and the store knows neither."""
    code = (
        "import sys, importlib; importlib.import_module(sys.argv[1]); print([m for m in sys.modules if 'vidrag' in m])"
    )
    for module, others in (
        ("vidrag.query.asker", ("vidrag.ingest", "vidrag.jobs")),
        ("vidrag.ingest.pipeline", ("vidrag.query", "vidrag.jobs")),
        ("vidrag.store.archive.archive", ("vidrag.query", "vidrag.ingest", "vidrag.jobs")),
    ):
        done = subprocess.run([sys.executable, "-c", code, module], capture_output=True, text=True, check=True)
        assert module in done.stdout
        assert [o for o in others if o in done.stdout] == []


@pytest.mark.parametrize("package", ["vidrag", *(f"vidrag.{p}" for p in PACKAGES)])
def test_types_are_shipped(package: str) -> None:
    """``py.typed`` lies in every package and is named among the files that a wheel holds."""
    assert resources.files(package).joinpath("py.typed").is_file()
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert "py.typed" in settings["tool"]["setuptools"]["package-data"][package]


def test_every_package_is_named_for_the_wheel() -> None:
    """A folder that is forgotten in ``pyproject.toml`` would be missing after an ordinary installation."""
    named = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"])
    found = {"vidrag", *(f"vidrag.{p}" for p in PACKAGES)}
    for package in PACKAGES:
        module = import_module(f"vidrag.{package}")
        found |= {i.name for i in pkgutil.walk_packages(module.__path__, f"vidrag.{package}.") if i.ispkg}
    assert found == named


def test_every_file_that_is_read_is_named_for_the_wheel() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]
    folders = {name: name.removeprefix("vidrag.").replace(".", "/") for name in tools["packages"]}
    named = {
        f for name, patterns in tools["package-data"].items() for p in patterns for f in (ROOT / folders[name]).glob(p)
    }
    lying = {
        f for p in (*PACKAGES, "vidrag") for f in (ROOT / p).rglob("*") if f.is_file() and "__pycache__" not in f.parts
    }
    unread = {ROOT / "jobs/demo/SOURCES.md", ROOT / "jobs/demo/sample.truth.json"}
    assert {f for f in lying - named if f.suffix != ".py"} == unread


def packages_under_their_names(folder: Path) -> None:
    """Makes ``folder/vidrag`` of links, for tools that read files."""
    (folder / "vidrag").mkdir()
    for path in (*(ROOT / p for p in PACKAGES), ROOT / "vidrag" / "__init__.py"):
        (folder / "vidrag" / path.name).symlink_to(path)


def test_imports_go_down_only(tmp_path: Path) -> None:
    """The contracts in ``pyproject.toml`` are kept: jobs -> ingest | query -> store, and the order inside the rooms."""
    packages_under_their_names(tmp_path)
    command = [sys.executable, "-P", "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    command += ["--no-cache", "--config", str(ROOT / "pyproject.toml")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "9 kept, 0 broken" in done.stdout


def test_no_module_imports_itself_through_others(tmp_path: Path) -> None:
    packages_under_their_names(tmp_path)
    code = (
        "import sys; sys.path.insert(0, '.'); import grimp, graphlib; g = grimp.build_graph('vidrag', cache_dir=None)"
    )
    code += "; print(len(g.modules)); imports = g.find_modules_directly_imported_by"
    code += "; graphlib.TopologicalSorter({m: imports(m) - {m} for m in g.modules}).prepare()"
    command = [sys.executable, "-P", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-500:]
    assert int(done.stdout) > 250
