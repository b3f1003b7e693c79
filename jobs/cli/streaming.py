"""An answer as it is written, on a terminal."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.live import Live


@contextlib.contextmanager
def shown(stream: TextIO, wanted: bool) -> Iterator[Callable[[str], object] | None]:
    """Gives a function that shows the answer so far; None where ``stream`` is no terminal or it is not ``wanted``.

    What was shown vanishes at the end: the checked answer with its evidence takes its place.
    """
    if not wanted or not stream.isatty():
        yield None
        return
    live: Live | None = None

    def tell(text: str) -> None:
        nonlocal live
        from rich.text import Text

        from ...store.shell import printable

        if live is None:
            from rich.console import Console
            from rich.live import Live

            live = Live(console=Console(file=stream), transient=True, auto_refresh=False, redirect_stdout=False)
            live.start()
        live.update(Text(" ".join(printable(line) for line in text.splitlines())), refresh=True)

    try:
        yield tell
    finally:
        if live is not None:
            live.stop()
