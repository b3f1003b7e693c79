"""The ``vidrag`` command.  One module a command group; heavy imports stay inside the commands."""

from __future__ import annotations

import io
import os
import signal
import sys

from .app import app

_INTERRUPTED = 130


def main() -> None:
    """Runs the command line; every error is one line on stderr and a documented exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # else NumPy's threads spin while other modules are loaded
    from . import (
        answer_commands,
        archive_commands,
        ask_commands,
        bench_commands,
        chat_commands,
        embed_commands,
        eval_commands,
        ingest_commands,
        search_commands,
        serve_commands,
        system_commands,
    )
    from . import upkeep_commands as upkeep

    for module in (
        ingest_commands, embed_commands, ask_commands, chat_commands, answer_commands, search_commands, serve_commands,
        archive_commands, upkeep, eval_commands, bench_commands, system_commands,
    ):  # fmt: skip
        module.register(app)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # any name prints on any terminal
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill stops like Ctrl-C
    sys.exit(_run())


def _run() -> int:
    import typer

    from ...store.errors import VidragError, one_line

    try:
        code = app(standalone_mode=False)  # an interrupt comes back as a code
        return _stopped() if code == _INTERRUPTED else code if isinstance(code, int) else 0
    except typer.Abort:
        return _stopped()
    except VidragError as e:
        return _say(one_line(e), e.exit_code)
    except KeyboardInterrupt:
        return _stopped()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as e:
        if type(e).__name__ == "NoArgsIsHelpError":
            print(str(getattr(e, "message", e)), file=sys.stderr)
            return 2
        if any(c.__name__ == "ClickException" for c in type(e).__mro__):  # typer brings a click of its own
            told = one_line(e.format_message() if hasattr(e, "format_message") else e) or "a command is missing"
            if "extra argument" in told:
                told += "; a text of several words stands in quotation marks"
            command = getattr(getattr(e, "ctx", None), "command_path", "") or "vidrag"
            return _say(f"{told} (see '{command} --help')", 2)
        if os.environ.get("VIDRAG_DEBUG"):
            raise
        return _say(f"unexpected {type(e).__name__}: {one_line(e)} (VIDRAG_DEBUG=1 shows where)", 1)


def _stopped() -> int:
    return _say("stopped; nothing that was finished is lost", _INTERRUPTED)


def _say(text: str, code: int) -> int:
    print(f"vidrag: {text}", file=sys.stderr)
    return code


__all__ = ["app", "main"]
