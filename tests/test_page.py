"""The page in real browsers: what a visitor does with it, and that nothing else runs, loads or is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsers import PROGRAMS, program, started, visiting
from chat_server import completion, obliging, prompt_of
from chat_server import serving as chat_serving
from media_files import X264, ffmpeg, lavfi
from serve_tools import Server, serving
from store_tools import source_with_id
from vidrag.store.archive.archive import Archive
from vidrag.store.archive.schema import TableWriter
from vidrag.store.archive.stored_files import stored
from vidrag.store.records import Cell, Frame, Segment, TextTrack
from world import World, clip

TOKEN = "a-long-word-that-nobody-guesses"
EVIL = "<img src=x onerror=window.hacked=1><script>window.hacked=2</script>"
EVIL_NAME = "<img src=x onerror=window.hacked=3>.mp4"
LONG = 3000
PAUSE = 600.0
QUESTION = "Where are the lockers?"


@pytest.fixture(scope="module", params=PROGRAMS)
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    if program(request.param) is None:
        pytest.skip(f"{request.param} is not installed: the page was not tried in it")
    with started(request.param) as found:
        yield found


@pytest.fixture(scope="module")
def sample_server(sample_archive: Path, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(sample_archive, tmp_path_factory.mktemp("page"), "--media", str(sample.parent)) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def video(sample_server: Server) -> str:
    with sample_server.client() as client:
        return str(client.get("/api/v1/videos").json()["videos"][0]["id"])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """An archive of a video with a hostile name and hostile subtitles, of one that no browser plays, of one that is
    gone, and of one with a long transcript and hostile text on screen.
    """
    made = World.make(tmp_path_factory.mktemp("odd"))
    inside = made.root / "in"
    clip(inside / EVIL_NAME, 440, "red")
    cue = f"1\n00:00:00,000 --> 00:00:00,900\n{EVIL}\n"
    (inside / EVIL_NAME).with_suffix(".srt").write_text(cue)
    picture = lavfi("testsrc2=s=320x180:r=10:d=6")
    ffmpeg(*picture, *lavfi("sine=f=300:d=6"), "-c:v", "mpeg4", "-c:a", "mp3", inside / "old.avi")
    ffmpeg(*picture, *X264, inside / "gone.mp4")
    ffmpeg(*picture, *lavfi("sine=f=500:d=6"), *X264, "-c:a", "ac3", inside / "camera.ts")
    ran = made.run("ingest", "archive", "in", "--no-ray")
    assert ran.returncode == 0, ran.stderr
    (inside / "gone.mp4").unlink()
    (made.root / "new").mkdir()
    clip(made.root / "new" / "fresh.mp4", 500, "white")
    _publish_long(Archive.open(str(made.root / "archive")))
    return made


def _publish_long(archive: Archive) -> None:
    of = source_with_id("abcdef", "long.mp4")
    starts = [i * 3.0 + (PAUSE if i >= LONG // 2 else 0.0) for i in range(LONG)]
    said = [Segment(s, s + 2.5, f"This is sentence number {i}.", speaker="AB"[i % 2]) for i, s in enumerate(starts)]
    shown = [TextTrack(1.0, 9.0, EVIL, 0.9, (0, 0, 1, 1))]
    with archive.staging(of) as folder:
        cells, staged = {}, {}
        for kind, rows in (("speech", said), ("text", shown), ("frames", list[Frame]())):
            with TableWriter(folder / kind, kind, of.sha256[:16]) as out:
                out.write(rows)
            file, name = stored(kind, "d" * 16, folder / kind, len(rows))
            staged[name] = folder / kind
            cells[kind] = Cell(kind, "d" * 16, "ok", (file,), extent=LONG * 3.0 + PAUSE)
        archive.publish(of, cells, staged)


@pytest.fixture(scope="module")
def odd_server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    words = ["--profile", str(world.root / "fake.toml"), "--media", str(world.root / "in")]
    words += ["--allow-ingest", f"films={world.root / 'new'}", "--uploads", str(world.root / "up")]
    folder = tmp_path_factory.mktemp("odd-server")
    with serving(world.root / "archive", folder, *words, env=world.env) as running:
        yield running
        assert "Traceback" not in running.log.read_text()


@pytest.fixture(scope="module")
def odd_ids(odd_server: Server) -> dict[str, str]:
    with odd_server.client() as client:
        return {v["name"]: v["id"] for v in client.get("/api/v1/videos").json()["videos"]}


def near(seconds: float) -> tuple[str, float]:
    """A condition: the player is at that second."""
    return "s => Math.abs(document.querySelector('video')?.currentTime - s) < 0.3", seconds


def test_a_question_leads_to_its_moment(browser: Any, sample_server: Server) -> None:
    """Library, question, chip: the player stands where it was said, and the transcript shows it."""
    with visiting(browser, sample_server.url) as visit:
        page = visit.page
        visit.goto("/")
        page.wait_for_selector(".card-video a img")
        assert "sample.mp4" in visit.text(".card-video")
        page.fill("#q", QUESTION)
        page.press("#q", "Enter")
        page.wait_for_selector("a.chip")
        assert parse_qs(urlsplit(page.url).query)["q"] == [QUESTION]
        assert "next to the blue staircase" in visit.text(".answer .text")
        page.wait_for_selector(".hits a.hit")
        page.click("a.chip >> nth=0")
        page.wait_for_selector(".line.active")
        assert page.url.startswith(f"{sample_server.url}/v/")
        at = float(parse_qs(urlsplit(page.url).query)["t"][0])
        visit.wait(*near(at))
        visit.wait("() => document.querySelector('video').readyState > 1 && document.querySelector('video').videoWidth")
        assert "lockers are next to the blue staircase" in visit.text(".line.active")
        assert "next to the blue staircase" in visit.text(".answer .text")
        page.click("a.chip >> nth=1")
        visit.wait(*near(8.0))
        page.go_back()
        page.go_back()
        page.wait_for_selector(".results a.chip")


def test_the_transcript_is_searched_and_clicked(browser: Any, sample_server: Server, video: str) -> None:
    with visiting(browser, sample_server.url) as visit:
        page = visit.page
        visit.goto(f"/v/{video}")
        page.wait_for_selector(".line")
        page.fill(".find", "plum cake")
        page.wait_for_selector(".line.found mark")
        assert visit.text(".count") == "1 of 1"
        page.click(".line.found .at")
        visit.wait("() => document.querySelector('.line.active')?.innerText.includes('plum cake')")
        page.fill(".find", "no such words")
        visit.wait("() => document.querySelector('.count').innerText === 'Not found'")
        for tab, selector, text in (
            ("On screen", ".line", "Locker code: 4719"),
            ("Chapters", ".chapters li", "Morning at the Space Museum"),
            ("Frames", ".frames li", "00:16"),
        ):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_selector(selector)
            assert text in visit.text("#tabpanel"), tab
        assert "tab=frames" in page.url


def test_a_part_is_cut_out_and_a_moment_linked(browser: Any, sample_server: Server, video: str) -> None:
    with visiting(browser, sample_server.url) as visit:
        page = visit.page
        if browser.browser_type.name == "chromium":
            page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        visit.goto(f"/v/{video}?t=10")
        visit.wait(*near(10))
        page.keyboard.press("i")
        page.keyboard.press("ArrowRight")
        visit.wait(*near(15))
        page.keyboard.press("o")
        link = page.get_by_role("link", name="Save clip (00:05.0)")
        clipped = page.context.request.get(sample_server.url + link.get_attribute("href"))
        assert clipped.headers["content-type"] == "video/mp4"
        assert len(clipped.body()) > 10_000
        page.keyboard.press("l")
        visit.wait("() => document.querySelector('.toast')?.innerText === 'Link to 00:15 copied'")
        if browser.browser_type.name == "chromium":
            told = page.evaluate("() => navigator.clipboard.readText()")
            assert told == f"{sample_server.url}/v/{video}?t=15"
        page.fill("input[aria-label='Out time']", "nonsense")
        page.press("input[aria-label='Out time']", "Tab")
        assert page.get_attribute("input[aria-label='Out time']", "aria-invalid") == "true"


def test_filters_are_in_the_address(browser: Any, sample_server: Server, video: str) -> None:
    with visiting(browser, sample_server.url) as visit:
        page = visit.page
        visit.goto("/?q=flight+simulator")
        page.wait_for_selector("a.hit")
        page.get_by_role("button", name="Filters").click()
        page.locator("#filters").get_by_role("button", name="on screen").click()
        page.fill("#filters input[aria-label='From']", "0:40")
        page.press("#filters input[aria-label='From']", "Tab")
        visit.wait("() => location.search.includes('from=40')")
        page.fill("#f-video", "samp")
        visit.wait("() => document.querySelector('#f-videos option[value=\"sample.mp4\"]')")
        page.fill("#f-video", "sample.mp4")
        visit.wait("id => location.search.includes(`video=${id}`)", video)
        page.reload()
        visit.wait("() => document.querySelectorAll('a.hit').length && !document.querySelector('.skeleton')")
        kinds = page.evaluate("() => [...document.querySelectorAll('a.hit .kind')].map(e => e.textContent)")
        assert set(kinds) == {"on screen"}
        assert visit.text(".chipoff span").startswith("sample.mp4")
        assert page.get_attribute("#filters .kind-text", "aria-pressed") == "true"
        page.get_by_role("button", name="Clear").click()
        visit.wait("() => location.search === '?q=flight+simulator'")


def test_the_keyboard_is_enough(browser: Any, sample_server: Server, video: str) -> None:
    with visiting(browser, sample_server.url) as visit:
        page = visit.page
        visit.goto(f"/v/{video}")
        page.wait_for_selector(".lane-chapters")
        visit.wait("() => document.querySelector('video').readyState > 0")
        page.keyboard.press("/")
        visit.wait("() => document.activeElement.id === 'q'")
        page.keyboard.type(QUESTION)
        page.keyboard.press("Enter")
        page.wait_for_selector("a.chip")
        page.wait_for_selector(".lane-hits .mark")
        page.evaluate("() => document.activeElement.blur()")
        page.keyboard.press("1")
        visit.wait("() => document.querySelector('video')?.currentTime > 11")
        page.keyboard.press("ArrowLeft")
        visit.wait("() => document.querySelector('video')?.currentTime < 8")
        page.keyboard.press("n")
        visit.wait(*near(8.0))
        page.keyboard.press(" ")
        visit.wait("() => !document.querySelector('video').paused")
        page.keyboard.press(" ")
        visit.wait("() => document.querySelector('video').paused")
        page.focus(".lane-chapters [tabindex='0']")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        visit.wait(*near(26.0))
        page.keyboard.press("?")
        page.wait_for_selector("dialog[open]")
        page.keyboard.press("Escape")
        visit.wait("() => !document.querySelector('dialog[open]')")


def test_words_light_up_while_it_plays(browser: Any, sample_server: Server, video: str) -> None:
    with visiting(browser, sample_server.url) as visit:
        visit.goto(f"/v/{video}?t=13")
        visit.page.wait_for_selector(".line.active .word.now")
        visit.page.keyboard.press(" ")
        visit.wait("() => document.querySelector('.word.now')?.innerText.includes('blue')")
        assert visit.text(".line.active p") == "The lockers are next to the blue staircase."


def test_nothing_of_an_archive_is_taken_for_markup(browser: Any, odd_server: Server, odd_ids: dict[str, str]) -> None:
    """Names, speech and text on screen that are HTML are shown as they are, with scripts and without."""
    with visiting(browser, odd_server.url) as visit:
        page = visit.page
        visit.goto("/")
        page.wait_for_selector(".card-video")
        assert EVIL_NAME in visit.text(".grid")
        visit.goto("/?q=onerror&ask=1")
        page.wait_for_selector("a.hit")
        page.wait_for_selector(".answer .text")
        visit.goto(f"/v/{odd_ids[EVIL_NAME]}?q=onerror&ask=1")
        page.wait_for_selector(".line")
        assert visit.text("h1") == EVIL_NAME
        assert EVIL in visit.text(".line p")
        visit.goto(f"/v/{odd_ids['long.mp4']}?tab=screen")
        page.wait_for_selector(".line")
        assert visit.text(".line p") == EVIL
        visit.goto("/?q=" + "%3Cscript%3Ewindow.hacked%3D1%3C%2Fscript%3E")
        page.wait_for_selector("#hits-title")
        assert page.evaluate("() => window.hacked ?? document.querySelectorAll('img[src=x]').length") == 0
    with visiting(browser, odd_server.url, scripts=False) as visit:
        visit.goto("/")
        assert EVIL_NAME in visit.text("#plain")
        visit.goto(f"/v/{odd_ids[EVIL_NAME]}")
        assert EVIL in visit.text("#plain")
        assert visit.count("img[src=x]") == 0


def test_without_scripts_there_are_lists_and_transcripts(browser: Any, sample_server: Server) -> None:
    with visiting(browser, sample_server.url, scripts=False) as visit:
        visit.goto("/")
        visit.page.click("text=sample.mp4")
        told = visit.text("#plain")
        assert "The lockers are next to the blue staircase." in told
        assert "Locker code: 4719" in told


def test_what_no_browser_plays_is_streamed(browser: Any, odd_server: Server, odd_ids: dict[str, str]) -> None:
    with visiting(browser, odd_server.url) as visit:
        visit.goto(f"/v/{odd_ids['old.avi']}?t=2")
        visit.page.wait_for_selector(".way-stream .bar")
        visit.wait("() => document.querySelector('video').videoWidth > 0")
        assert "start=2.00" in visit.page.get_attribute("video", "src")
        visit.page.keyboard.press("ArrowLeft")
        visit.wait("() => document.querySelector('video').src.endsWith('start=0.00')")


def test_pictures_that_a_browser_plays_are_copied_out_of_what_it_does_not(
    browser: Any, odd_server: Server, odd_ids: dict[str, str]
) -> None:
    with visiting(browser, odd_server.url) as visit:
        visit.goto(f"/v/{odd_ids['camera.ts']}?t=2")
        visit.page.wait_for_selector(".way-copy video[controls]")
        visit.wait("() => document.querySelector('video').videoWidth === 320")
        visit.wait(*near(2.0))
        visit.page.keyboard.press("ArrowRight")
        visit.wait("() => document.querySelector('video').currentTime > 5")


def test_where_nothing_plays_the_stored_pictures_do(browser: Any, odd_server: Server, odd_ids: dict[str, str]) -> None:
    with visiting(browser, odd_server.url) as visit:
        page = visit.page
        visit.goto(f"/v/{odd_ids['gone.mp4']}")
        page.wait_for_selector(".way-frames .still")
        assert "not where it was indexed" in visit.text(".why")
        visit.wait("() => document.querySelector('.still').naturalWidth > 0")
        page.keyboard.press(" ")
        visit.wait("() => Number(document.querySelector('.bar input').value) > 0.3")
        page.keyboard.press(" ")
        page.keyboard.press("ArrowRight")
        visit.wait("() => Number(document.querySelector('.bar input').value) > 5")
        page.keyboard.press("i")
        assert "A clip needs the original" in visit.text(".clip")
        visit.check_accessible("frames")


def test_a_long_transcript_is_there_as_a_whole(browser: Any, odd_server: Server, odd_ids: dict[str, str]) -> None:
    """The first rows come at once, all of them soon; the last is found and gone to."""
    with visiting(browser, odd_server.url) as visit:
        visit.goto(f"/v/{odd_ids['long.mp4']}?t=8600")
        visit.wait("n => document.querySelectorAll('.line').length === n", LONG)
        visit.wait("() => document.querySelector('.line.active')?.innerText.includes('number 2666.')")
        visit.wait(in_sight(".line.active"))
        visit.page.fill(".find", f"number {LONG - 1}.")
        visit.page.wait_for_selector(".line.found")
        assert f"number {LONG - 1}." in visit.text(".line.found")


def test_in_a_pause_the_last_sentence_is_in_sight(browser: Any, odd_server: Server, odd_ids: dict[str, str]) -> None:
    with visiting(browser, odd_server.url) as visit:
        visit.goto(f"/v/{odd_ids['long.mp4']}?t={LONG // 2 * 3 + PAUSE / 2:.0f}")
        visit.wait("n => document.querySelectorAll('.line').length === n", LONG)
        visit.wait(in_sight(f".line[data-at='{LONG // 2 * 3 - 3}']"))
        assert not visit.page.query_selector(".line.active")


def in_sight(selector: str) -> str:
    """A condition: what is selected is within what scrolls."""
    return f"""() => {{
        const a = document.querySelector("{selector}").getBoundingClientRect()
        const b = document.querySelector('.scroll').getBoundingClientRect()
        return a.top >= b.top && a.top < b.bottom }}"""


def test_an_upload_is_indexed_and_followed(browser: Any, odd_server: Server, world: World) -> None:
    name = f"fresh-{browser.browser_type.name}.mp4"
    with visiting(browser, odd_server.url) as visit:
        page = visit.page
        visit.goto("/runs")
        page.wait_for_selector(".list")
        data = (world.root / "new" / "fresh.mp4").read_bytes()
        page.set_input_files("#i-files", [{"name": name, "mimeType": "video/mp4", "buffer": data}])
        page.locator(".uploads").get_by_role("button", name="Start indexing").click()
        visit.wait("() => location.pathname.startsWith('/runs/')")
        page.wait_for_selector(".badge.good:has-text('Finished')")
        assert name in visit.text(".sources")
        assert (world.root / "up" / name).read_bytes() == data
        visit.check_accessible("run")


def test_a_follow_up_needs_a_model(browser: Any, sample_server: Server) -> None:
    with visiting(browser, sample_server.url) as visit:
        visit.goto("/?q=Where+are+the+lockers%3F")
        visit.page.get_by_role("button", name="Ask a follow-up question").click()
        assert "need a language model" in visit.text(".follow")


def _talking(request: dict[str, Any]) -> Any:
    """Writes follow-up questions out in full, and cites the first row for all others."""
    if "Last question:" in prompt_of(request):
        return completion(json.dumps({"question": "When is the museum open?"}))
    return obliging(request)


@pytest.fixture(scope="module")
def model_server(sample_archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose answers a language model writes."""
    with chat_serving() as model:
        model.respond = _talking
        settings = (
            "chat=openai",
            f"chat.base_url={model.url}",
            "chat.model=m",
            "chat.retries=0",
            "chat.remember=false",
        )
        words = [w for s in settings for w in ("--set", s)]
        with serving(sample_archive, tmp_path_factory.mktemp("model"), *words) as running:
            yield running


def test_a_conversation_goes_on_and_outlives_a_reload(browser: Any, model_server: Server) -> None:
    both = "() => document.querySelectorAll('.turn .answer .text:not(.writing)').length === 2"
    with visiting(browser, model_server.url) as visit:
        page = visit.page
        visit.goto("/?q=Where+are+the+lockers%3F")
        page.wait_for_selector("a.chip")
        page.fill("form.follow input", "And when do they open?")
        page.press("form.follow input", "Enter")
        visit.wait(both)
        assert visit.text(".question") == "And when do they open?"
        assert "Understood as: When is the museum open?" in visit.text(".turn:last-of-type")
        page.reload()
        visit.wait(both)
        stored = page.evaluate("() => [Object.keys(localStorage), Object.keys(sessionStorage)]")
        assert stored == [[], ["vidrag.thread"]]


@pytest.fixture(scope="module")
def guarded_server(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that asks for a token."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "token").write_text(TOKEN)
    words = ["--profile", str(world.root / "fake.toml"), "--token-file", str(folder / "token")]
    with serving(world.root / "archive", folder, *words, env=world.env) as running:
        yield running


def test_the_printed_link_opens_the_door(browser: Any, guarded_server: Server) -> None:
    with visiting(browser, guarded_server.url) as visit:
        visit.goto("/")
        assert urlsplit(visit.page.url).path == "/login"
        visit.check_accessible("login")
        visit.goto(f"/login#{TOKEN}")
        visit.page.wait_for_selector(".card-video")
        assert TOKEN not in visit.page.url
        assert TOKEN not in visit.page.evaluate("() => document.cookie + JSON.stringify({ ...localStorage })")
    with visiting(browser, guarded_server.url, scripts=False) as visit:
        visit.goto("/login")
        visit.page.fill("#token", TOKEN)
        visit.page.click("button")
        assert EVIL_NAME in visit.text("#plain")


VIEWS = {
    "/": ".card-video",
    "/?q=Where+are+the+lockers%3F": "a.chip",
    "/v/{video}?t=13&q=Where+are+the+lockers%3F": ".line.active",
    "/runs": ".list li",
    "/?q=Who+won+the+world+cup%3F&kind=speech&from=10": ".answer .text",
    "/v/{video}?tab=chapters": ".chapters li",
    "/v/{video}?tab=frames": ".frames li",
    "/v/{video}?q=simulator&tab=hits": ".panel a.hit",
}
"""Addresses, and what is there once they are ready."""


@pytest.mark.parametrize(
    ("scheme", "width", "locale", "views"), [("light", 1280, "en-US", 8), ("dark", 390, "de-DE", 4)]
)
def test_every_view_is_accessible(
    browser: Any, sample_server: Server, video: str, scheme: Any, width: int, locale: str, views: int
) -> None:
    """By axe, in both themes, wide and narrow, in both languages; nothing is wider than the window."""
    with visiting(browser, sample_server.url, width, color_scheme=scheme, locale=locale) as visit:
        for path, selector in list(VIEWS.items())[:views]:
            visit.goto(path.format(video=video))
            visit.page.wait_for_selector(selector)
            visit.check_accessible(f"{path} {scheme} {width} {locale}")
            assert visit.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), path


def test_it_speaks_german_and_can_be_dark(browser: Any, sample_server: Server) -> None:
    background = "() => getComputedStyle(document.body).backgroundColor"
    with visiting(browser, sample_server.url, locale="de-DE", color_scheme="light") as visit:
        page = visit.page
        visit.goto("/")
        page.wait_for_selector(".card-video")
        assert page.get_attribute("html", "lang") == "de"
        assert visit.text("nav") == "Mediathek\nLäufe"
        light = page.evaluate(background)
        page.get_by_role("button", name="Farben: wie das System").click()
        assert page.evaluate(background) != light
        dark = page.evaluate(background)
        page.get_by_role("button", name="English").click()
        assert visit.text("nav") == "Library\nRuns"
        page.reload()
        page.wait_for_selector(".card-video")
        assert visit.text("nav") == "Library\nRuns"
        assert page.evaluate(background) == dark
        visit.goto("/?lang=de")
        page.wait_for_selector(".card-video")
        assert visit.text("nav") == "Mediathek\nLäufe"


def test_both_languages_say_the_same() -> None:
    """Every text stands in both, with the same values in it."""
    told = (Path(__file__).parents[1] / "jobs/serve/page/texts.js").read_text("utf-8")
    english, german = told.split("\n  de: {")
    pattern = re.compile(r"""(?:^|[\s{,])(?:'([\w-]+)'|(\w+)): (\[[^\]]*\]|'(?:[^'\\]|\\.)*')""")
    keys = [
        {a or b: sorted(set(re.findall(r"\{\w+\}", text))) for a, b, text in pattern.findall(part)}
        for part in (english, german)
    ]
    assert len(keys[0]) > 100
    assert keys[0] == keys[1]
