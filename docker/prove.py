"""Proves the images without a container engine: runs their Dockerfiles' own commands in Debian chroots, then uses them.

    python docker/prove.py [--cache DIR] [--only ingest|query] [--keep]

Needs root, debootstrap, iproute2 and the way to a Debian mirror and a Python index that this machine already has.
The containers get what docker/compose.yaml gives them: another user, no capabilities, a read-only root, no network
beyond their own.  The Debian base and the archive are kept in the cache; the images only with --keep.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from proof.build import Builder, debian_base
from proof.chroot import APART, Box, Image, Mount, run
from proof.cluster import Service, services
from proof.dockerfile import ProofError

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / "docker" / "compose.yaml"
QUESTION = "Where are the lockers?"
ANSWER = "blue staircase"
TOOLS = "cc c++ gcc g++ clang as ld make cmake rustc pip pip3"
ABSENT = "ray av faster_whisper rapidocr ai_edge_litert pip setuptools"


class Proof:
    """The checks; ``done`` counts those that held."""

    def __init__(self, cache: Path, work: Path) -> None:
        self.cache, self.work, self.done = cache, work, 0
        self.sizes = dict[str, int]()

    def say(self, text: str) -> None:
        print(text, flush=True)

    def check(self, what: str, holds: Callable[[], str]) -> None:
        """``holds`` raises :class:`ProofError` or returns what is worth telling."""
        began = time.monotonic()
        try:
            told = holds()
        except ProofError as e:
            raise ProofError(f"{what}: {e}") from e
        self.done += 1
        self.say(f"ok    {what}{': ' if told else ''}{told} ({time.monotonic() - began:.1f} s)")

    def build(self, name: str, base: Path) -> Image:
        began = time.monotonic()
        folder = self.work / name
        folder.mkdir()
        image = Builder(base, folder, ROOT, self.say).build(ROOT / "docker" / f"{name}.Dockerfile")
        self.sizes[name] = image.megabytes()
        self.say(f"built {name}: {self.sizes[name]} MB in {time.monotonic() - began:.0f} s")
        shutil.rmtree(folder / "build")
        return image

    def plain(self, name: str, image: Image) -> None:
        """What holds for both images."""

        def closed() -> str:
            uid, gid = image.user.split(":")
            code = "import os; print(os.getuid(), os.getgid(), open('/proc/self/status').read())"
            said = self.python(image, code)
            if int(uid) == 0 or not said.startswith(f"{uid} {gid}") or "CapBnd:\t0000000000000000" not in said:
                raise ProofError(f"runs as {said.split()[:2]}")
            return f"user {image.user}"

        def lean() -> str:
            tools = {f"{folder}/{tool}" for folder in image.env["PATH"].split(":") for tool in TOOLS.split()}
            places = [f"{image.root}{t}" for t in sorted(tools)]
            left = [p for p in places if os.path.lexists(p)]
            for folder, _, names in os.walk(image.root):
                left += [f"{folder}/{n}" for n in names if n.endswith((".whl", ".deb"))]
                left += [folder] if folder.endswith((".cache/pip", "/ensurepip")) else []
            left += list(map(str, (image.root / "var/lib/apt/lists").rglob("*_Packages*")))
            if left:
                raise ProofError(f"left in the image: {', '.join(p.removeprefix(str(image.root)) for p in left[:5])}")
            return "no compiler, pip, package lists or caches"

        def helps() -> str:
            said = run(image, [*image.entrypoint, *image.cmd], Box(), self.work)
            if "Usage: vidrag" not in said:
                raise ProofError(said[:200])
            return ""

        self.check(f"{name}: closed in", closed)
        self.check(f"{name}: lean", lean)
        self.check(f"{name}: entrypoint", helps)

    def python(self, image: Image, code: str, box: Box | None = None) -> str:
        return run(image, ["python", "-c", code], box or Box(), self.work)

    def ingest(self, image: Image) -> None:
        """The doctor, then the sample indexed in process, on a Ray of its own, on compose's cluster."""

        def doctor() -> str:
            return run(image, ["vidrag", "--offline", "doctor"], Box(), self.work).splitlines()[-1]

        def index(archive: Path, *how: str) -> Callable[[], str]:
            def go() -> str:
                mounts = (Mount(archive, "/archive"), Mount(self.videos(), "/videos", True))
                box = Box(mounts, tuple(services(COMPOSE, {})["ingest"]["tmpfs"]), shm="256m")
                command = ["vidrag", "--offline", "ingest", "/archive", "/videos", *how]
                return self.indexed(run(image, command, box, self.work))

            return go

        self.check("ingest: doctor", doctor)
        self.check("ingest: --no-ray", index(self.archive("alone", image), "--no-ray"))
        self.check("ingest: Ray in one container", index(self.archive("ray", image)))
        self.check("ingest: compose cluster of a head and two workers", lambda: self.cluster(image))

    def videos(self) -> Path:
        folder = self.cache / "videos"
        folder.mkdir(exist_ok=True)
        shutil.copy2(ROOT / "jobs" / "demo" / "sample.mp4", folder)
        return folder

    def archive(self, name: str, image: Image) -> Path:
        """An empty volume, which an engine would give the owner of the image's folder."""
        folder = self.cache / f"archive-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        st = (image.root / "archive").stat()
        os.chown(folder, st.st_uid, st.st_gid)
        return folder

    def indexed(self, said: str) -> str:
        found = [line for line in said.splitlines() if "videos indexed" in line]
        if not found or not found[0].startswith("1 of 1"):
            raise ProofError(f"nothing was indexed: {' | '.join(said.splitlines()[-4:])[:400]}")
        return found[0]

    def cluster(self, image: Image) -> str:
        folder = self.work / "cluster"
        folder.mkdir()
        plan = {
            "root": str(image.root), "env": image.env, "user": image.user, "workdir": image.workdir,
            "work": str(folder), "compose": str(COMPOSE), "settings": {"VIDRAG_WORKER_CPUS": "1"},
            "volumes": {"../videos": str(self.videos()), "archive": str(self.archive("cluster", image))},
        }  # fmt: skip
        command = [*APART, "--net", "--mount-proc", sys.executable, "-m", "proof.cluster"]
        done = subprocess.run(command, input=json.dumps(plan), capture_output=True, text=True, cwd=ROOT / "docker")
        if done.returncode:
            raise ProofError((done.stderr.strip().splitlines() or ["no words"])[-1][:600])
        return self.indexed(done.stdout)

    def query(self, image: Image) -> None:
        """Absent packages, then a question to each archive: read-only, no network, as compose asks it."""

        def absent() -> str:
            code = f"import importlib.util as u; print([m for m in '{ABSENT}'.split() if u.find_spec(m)])"
            if (said := self.python(image, code).strip()) != "[]":
                raise ProofError(f"the image has {said}")
            return f"no {ABSENT.replace(' ', ', ')}"

        def ask(archive: Path) -> Callable[[], str]:
            def go() -> str:
                given = services(COMPOSE, {})["ask"]
                asked = Service.of({**given, "command": [QUESTION, "--json"]}, {"archive": archive}, None, [])
                said = run(image, asked.command, asked.box, self.work).splitlines()
                if len(said) != 1:  # stderr is in it: nothing complains about the read-only root or the network
                    raise ProofError(f"says more than its answer: {said[0][:200]}")
                answer = json.loads(said[0])
                if ANSWER not in answer["answer"] or not answer["citations"]:
                    raise ProofError(f"answered: {answer['answer'][:200]}")
                return f"{answer['answer'][:80]} [{', '.join(answer['citations'])}]"

            return go

        self.check("query: without ingest", absent)
        for name in ("alone", "ray", "cluster"):
            archive = self.cache / f"archive-{name}"
            if not archive.is_dir():
                raise ProofError("the query image is asked about the archives of the ingest image: prove that first")
            self.check(f"query: ask, archive '{name}'", ask(archive))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "vidrag-docker"
    parser.add_argument("--cache", type=Path, default=default, help="folder for the Debian base and the archives")
    parser.add_argument("--only", choices=("ingest", "query"), help="one image")
    parser.add_argument("--keep", action="store_true", help="leave the images' files in the cache")
    given = parser.parse_args()
    began = time.monotonic()
    if os.getuid() != 0:
        print("prove: chroots need root", file=sys.stderr)
        return 2
    given.cache.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix="work-", dir=given.cache))
    proof = Proof(given.cache.resolve(), work.resolve())
    try:
        base = debian_base(proof.cache, proof.say)
        for name, use in (("ingest", proof.ingest), ("query", proof.query)):
            if given.only in (None, name):
                image = proof.build(name, base)
                proof.plain(name, image)
                use(image)
    except ProofError as e:
        print(f"prove: failed: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("prove: stopped", file=sys.stderr)
        return 130
    finally:
        if not given.keep:
            shutil.rmtree(work, ignore_errors=True)
    sizes = ", ".join(f"{name} {size} MB" for name, size in proof.sizes.items())
    print(f"prove: {proof.done} checks passed; {sizes}; {(time.monotonic() - began) / 60:.1f} min")
    return 0


if __name__ == "__main__":
    sys.exit(main())
