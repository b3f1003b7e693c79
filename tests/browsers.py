"""Browsers that visit the page for tests, and what they complain of while they do."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

PROGRAMS = {"chromium": ("chromium", "chromium-browser", "google-chrome"), "firefox": ("firefox-esr", "firefox")}
WAIT_MS = 40_000
_NOTE_VIOLATIONS = """
addEventListener('securitypolicyviolation', e =>
  (window.violations ??= []).push(`${e.violatedDirective} ${e.blockedURI}`))
"""


def program(name: str) -> str | None:
    """The program of a browser on this machine; None where it is not installed."""
    return next((found for p in PROGRAMS[name] if (found := shutil.which(p))), None)


@contextlib.contextmanager
def started(name: str) -> Iterator[Any]:
    """The installed ``chromium`` or ``firefox``."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        path = program(name)
        if name == "chromium":
            browser = p.chromium.launch(executable_path=path, args=["--no-sandbox"])
        else:
            browser = p.firefox.launch(channel="moz-firefox", executable_path=path)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Visit:
    """``troubles``: errors on the console, reports of the content security policy, requests to anywhere else."""

    page: Any
    url: str
    troubles: list[str] = field(default_factory=list)

    def goto(self, path: str) -> None:
        self.page.goto(self.url + path)

    def wait(self, condition: str, argument: Any = None) -> None:
        """Until the JavaScript function holds."""
        self.page.wait_for_function(condition, arg=argument)

    def text(self, selector: str) -> str:
        """What is shown there, as soon as it is drawn: what ``content-visibility`` puts off has no text before."""
        drawn = self.page.wait_for_function("shown => document.querySelector(shown)?.innerText", arg=selector)
        return str(drawn.json_value())

    def count(self, selector: str) -> int:
        return int(self.page.locator(selector).count())

    def check_accessible(self, what: str) -> None:
        """No rule of axe is broken."""
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        assert [(what, v["id"], [n["html"][:200] for n in v["nodes"]]) for v in found] == []


@contextlib.contextmanager
def visiting(browser: Any, url: str, width: int = 1280, scripts: bool = True, **options: Any) -> Iterator[Visit]:
    """A new visitor; fails at the end where there was trouble.  Without ``scripts`` none of the page runs."""
    options = {"locale": "en-US", "viewport": {"width": width, "height": 800}, **options}
    context = browser.new_context(**options)
    context.set_default_timeout(WAIT_MS)
    context.add_init_script(_NOTE_VIOLATIONS)
    if not scripts:  # Firefox takes no notice of java_script_enabled
        context.route("**/*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page = context.new_page()
    visit = Visit(page, url)

    def requested(request: Any) -> None:
        if not request.url.startswith((f"{url}/", "data:", f"blob:{url}")):
            visit.troubles.append(f"asked for {request.url}")

    page.on("request", requested)
    page.on("response", lambda r: visit.troubles.append(f"{r.status} {r.url}") if r.status >= 400 else None)
    page.on("pageerror", lambda e: visit.troubles.append(f"error {e}"))
    page.on(
        "console", lambda m: visit.troubles.append(f"{m.type} {m.text}") if m.type in ("error", "warning") else None
    )
    try:
        yield visit
        visit.troubles += page.evaluate("() => window.violations ?? []")
        assert visit.troubles == [], visit.troubles
    finally:
        context.close()
