"""``vidrag chat``: a conversation about an archive in the terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from ...store.shell import counted
from .app import ArchivePath, ProfileName, Settings
from .ask_commands import Video

if TYPE_CHECKING:
    from ...query.types import Answer
    from ..library import Library

_HELP = "/video NAME asks about one video (/video: about all), /more shows all rows of the last answer, /quit ends."


def register(app: typer.Typer) -> None:
    app.command("chat")(chat)


def chat(
    archive: ArchivePath, video: Video = None, profile: ProfileName = "embedded", settings: Settings = None
) -> int:
    """Ask one question after the other; a language model understands what follows on what was said before.

    Nothing of the conversation is kept when it ends.
    """
    from ..library import Library

    library = Library(archive, profile, settings or [])
    talk = _Talk(library, [library.archive.find(v) for v in video or ()] or None)
    talk.greet()
    while (line := _line()) is not None:
        try:
            if line.startswith("/") and not talk.command(line):
                break
            if line and not line.startswith("/"):
                talk.ask(line)
        except KeyboardInterrupt:  # ends the answer, not the conversation
            print("\nstopped")
    return 0


def _line() -> str | None:
    """The next line that the user writes; None at the end: Ctrl-D, Ctrl-C or the end of a pipe."""
    if sys.stdin.isatty():
        import readline  # noqa: F401  # arrow keys

        try:
            return input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            print()
            return None
    from ...store.shell import printable

    line = sys.stdin.buffer.readline().decode("utf-8", "replace")
    if line.strip():
        print(f"> {printable(line.strip())}")
    return line.strip() if line else None


class _Talk:
    """A conversation; ``videos``: what it is about, None for all."""

    def __init__(self, library: Library, videos: list[str] | None) -> None:
        self._library, self._videos = library, videos
        self._history = list[tuple[str, str]]()
        self._last: Answer | None = None

    def greet(self) -> None:
        from ..answers.conversation import NO_MODEL

        count = self._library.listing.table().num_rows
        print(f"{self._library.name}: {counted(count, 'video')}\n{_HELP}")
        if not self._library.model:
            print(f"note: {NO_MODEL}")

    def command(self, line: str) -> bool:
        """Does what a line with a slash says; False where it ends the conversation."""
        name, _, rest = line.partition(" ")
        if name in ("/quit", "/exit", "/q"):
            return False
        if name == "/more":
            self._more()
        elif name == "/video":
            self._about(rest.strip())
        else:
            print(_HELP if name == "/help" else f"no command is called '{name}'. {_HELP}")
        return True

    def ask(self, question: str) -> None:
        """Prints the answer as ``vidrag ask`` does, and how the question was understood where that differs."""
        from ...store.errors import UsageError, one_line
        from ...store.shell import printable
        from .streaming import shown

        try:
            standalone = self._library.standalone(question, self._history)
            if standalone != question:
                print(f"asked: {printable(standalone)}")
            with shown(sys.stdout, True) as tell:
                answer = self._library.ask(standalone, self._videos, (), tell)
        except UsageError as e:
            print(f"vidrag: {one_line(e)}")
            return
        self._last = answer
        self._history.append((standalone, answer.text))
        self._print(answer, more=False)

    def _more(self) -> None:
        if self._last is None:
            print("nothing was asked yet")
        else:
            self._print(self._last, more=True)

    def _about(self, name: str) -> None:
        from ...store.errors import UsageError, one_line
        from ...store.shell import printable

        if not name:
            self._videos = None
            print("asking about all videos")
            return
        try:
            shard = self._library.shard(name)
        except UsageError as e:
            print(f"vidrag: {one_line(e)}")
            return
        self._videos = [shard.video]
        print(f"asking about {printable(shard.name)}")

    def _print(self, answer: Answer, more: bool) -> None:
        from ..printing import answer_lines, opener

        for line in answer_lines(answer, opener(self._library.archive), more):
            print(line)
        print(flush=True)
