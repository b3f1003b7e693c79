"""``python -m vidrag.ingest.decoder VERB OPTIONS PATH``: options are JSON; see the package for what it writes."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Callable
from typing import Any

import av
from av.error import FFmpegError

from . import confine
from .container import reason
from .cues import cues
from .pictures import frames
from .probe import probe
from .sending import Sender
from .sound import sound
from .timeline import Timeline


def _load_all() -> None:
    """Imports what PyAV would load when it first meets a kind of stream: once confined, nothing can be loaded."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def main(argv: list[str]) -> int:
    verb, given, path = argv
    options = json.loads(given)
    av.logging.set_level(av.logging.PANIC)
    sender = Sender()
    try:
        if options.pop("confined", False):
            _load_all()
            confine.confine(path)
        if verb == "probe":
            sender.done(probe(path, alive=sender.alive, **options))
            return 0
        options["timeline"] = Timeline.of_json(options["timeline"])
        passes: dict[str, Callable[..., dict[str, Any]]] = {"frames": frames, "sound": sound, "cues": cues}
        sender.done(passes[verb](path, sender=sender, **options))
        return 0
    except MemoryError:
        sys.stderr.write("needs more memory than allowed\n")
    except FFmpegError as e:
        sys.stderr.write(f"{reason(e)}\n")
    except (OSError, ValueError, IndexError, KeyError, TypeError) as e:
        sys.stderr.write(f"{' '.join(str(e).split())}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
