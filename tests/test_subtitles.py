"""Subtitle files become rows, whatever state they are in; nothing but the project's errors ever comes out."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from vidrag.ingest.languages import language_of
from vidrag.ingest.subtitles import SubtitleOptions, Subtitles, parse
from vidrag.store.errors import MediaError, MediaLimit
from vidrag.store.records import Segment

CUES = SubtitleOptions(sentence_s=0)
Row = tuple[float, float, str]


def rows(text: str | bytes, options: SubtitleOptions = CUES, **more: float) -> list[Row]:
    return plain(read(text, options, **more).rows)


def read(text: str | bytes, options: SubtitleOptions = CUES, **more: float) -> Subtitles:
    data = text.encode() if isinstance(text, str) else text
    return parse(data, "a.srt", options, **more)  # type: ignore[arg-type]


def plain(segments: Sequence[Segment]) -> list[Row]:
    return [(s.start, s.end, s.text) for s in segments]


SRT = "1\n00:00:01,000 --> 00:00:02,500\nHello there.\n\n2\n00:01:03,040 --> 01:00:04,000\nWorld\nof two lines\n"
TWO = [(1.0, 2.5, "Hello there."), (63.04, 3604.0, "World of two lines")]

SAME = {
    "as it should be": SRT,
    "carriage returns": SRT.replace("\n", "\r\n"),
    "old carriage returns": SRT.replace("\n", "\r"),
    "doubled carriage returns": SRT.replace("\n", "\r\r\n"),
    "a byte order mark": "\ufeff" + SRT,
    "no blank lines": SRT.replace("\n\n", "\n"),
    "a blank line after each line": SRT.replace("\n", "\n\n"),
    "no numbers": SRT.replace("1\n00:00", "00:00").replace("\n2\n", "\n"),
    "numbers from zero": SRT.replace("1\n00:00", "0\n00:00").replace("\n2\n", "\n1\n"),
    "numbers out of order": SRT.replace("1\n00:00", "17\n00:00").replace("\n2\n", "\n9\n"),
    "points": SRT.replace(",", "."),
    "colons": SRT.replace(",", ":"),
    "spaces around": SRT.replace(" --> ", "   -->\t ").replace("00:00:01,000", " 00 : 00 : 01 , 000"),
    "no spaces around the arrow": SRT.replace(" --> ", "-->"),
    "another arrow": SRT.replace("-->", "->"),
    "positions": SRT.replace("02,500", "02,500  X1:100 X2:200 Y1:10 Y2:20"),
    "marked up": SRT.replace("Hello", '{\\an8}<b><font color="red">Hello</font></b>').replace("World", "<i>World</i>"),
    "a line break tag": SRT.replace("World\nof", "World<br/>of").replace("Hello", "{\\i1}Hello{\\i0}"),
    "another line break": SRT.replace("World\nof", "World\\Nof"),
    "entities": SRT.replace("Hello", "H&#101;llo&lrm;"),
    "unseen characters": SRT.replace("Hello", "\u200bHel\u00adlo\u202a").replace("World", "Wor\x02ld"),
    "no end of line at the end": SRT.rstrip(),
    "the number of a cue that never came": SRT + "\n3\n",
    "empty cues": "1\n00:00:00,000 --> 00:00:00,500\n\n" + SRT + "\n3\n00:00:09,000 --> 00:00:10,000\n \n\n\n",
    "an empty cue without a blank line": "1\n00:00:00,000 --> 00:00:00,500\n" + SRT,
    "a drawing": SRT + "\n3\n00:00:09,000 --> 00:00:10,000\nm 0 0 l 100 0 100 50 0 50\n",
    "not in order": "\n\n".join(reversed(SRT.strip().split("\n\n"))) + "\n",
    "the same cue twice": SRT + "\n" + SRT,
    "WebVTT": "WEBVTT - a title\nKind: captions\n\n" + SRT.replace(",", "."),
    "WebVTT without hours": "WEBVTT\n\n00:01.000 --> 00:02.500 align:start position:0%\nHello there.\n\n"
    "01:03.040 --> 01:00:04.000 line:0\nWorld\nof two lines\n",
    "WebVTT with names of cues": "WEBVTT\n\nintroduction\n00:01.000 --> 00:02.500\nHello there.\n\n"
    "2\n01:03.040 --> 01:00:04.000\nWorld\nof two lines\n",
    "WebVTT with notes and styles": "WEBVTT\n\nSTYLE\n::cue(b) { color: red }\n\nREGION\nid:r\n\nNOTE\n\n"
    "NOTE by 00:01.000 --> nobody\nhidden\n\n00:01.000 --> 00:02.500\nHello <c.loud.x>there</c>.\n\n"
    "NOTE hidden\nhidden as well\n\n01:03.040 --> 01:00:04.000\n<lang en>World</lang>\nof two lines\n\nNOTE end",
}


@pytest.mark.parametrize("state", SAME)
def test_the_same_cues_come_out_of_every_state_of_a_file(state: str) -> None:
    found = read(SAME[state])
    assert plain(found.rows) == TWO
    assert (found.bad_cues, found.beyond_end) == (0, 0)
    assert all(not s.flags for s in found.rows)


ENCODINGS = {
    "utf-8": (None, "Größe, naïve, 日本語"),
    "utf-8-sig": (None, "Größe, naïve, 日本語"),
    "utf-16": (None, "Größe, naïve, 日本語"),
    "utf-16-le": (None, "Größe, naïve, 日本語"),
    "utf-16-be": (None, "Größe, naïve, 日本語"),
    "cp1252": (None, "¿Dónde está el niño? – “Là-bas, à la forêt” – På måndag, não é? 5 €"),
    "cp1250": (None, "Dzień dobry, proszę bardzo, łąka i żółw"),
    "cp1251": (None, "Ну и ладно, сказал он, пойдём домой: завтра будет новый день, и всё будет хорошо"),
    "cp1253": (None, "Ο καιρός είναι πολύ καλός σήμερα, τι κάνετε;"),
    "shift_jis": (None, "今日はとても良い天気ですね。一緒に公園へ散歩に行きませんか。"),
    "gb18030": (None, "今天的天气非常好，我们一起去公园散步吧。明天可能会下雨。"),
    "cp1254": ("tr", "Günaydın, nasılsınız? Şimdi gidiyorum."),
    "cp1255": ("he", "שלום, מה שלומך היום?"),
    "cp932": ("ja", "家に帰ろう。"),
    "big5": ("zh", "今天的天氣非常好，我們一起去公園散步吧。"),
    "koi8_r": ("ru", "Сегодня хорошая погода, пойдём гулять."),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_encodings_are_told_apart(encoding: str) -> None:
    """By what is in the file; where that says too little, the language in its name helps."""
    language, text = ENCODINGS[encoding]
    data = f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n".encode(encoding)
    assert plain(parse(data, "a.srt", CUES, language=language).rows) == [(1, 2, text)]


def test_one_odd_byte_does_not_change_the_encoding() -> None:
    """The other characters of a UTF-8 file stay what they are."""
    data = "1\n00:00:01,000 --> 00:00:02,000\nGrüße aus Köln, schöne Wörter für später: ".encode() + b"\xff\n"
    assert rows(data)[0][2].startswith("Grüße aus Köln, schöne Wörter für später:")


def test_cues_that_cannot_be_read_are_counted_and_the_others_stay() -> None:
    bad = ["00:00:xx,000 --> 00:00:02,000", "00:61:00,000 --> 00:62:00,000", "00:00:01,000 -->", "--> 00:00:01,000"]
    text = "\n".join(f"{i}\n{times}\nlost\n" for i, times in enumerate(bad, 1)) + "\n9\n" + SRT[2:]
    found = read(text)
    assert plain(found.rows) == TWO
    assert found.bad_cues == len(bad)


def test_text_with_an_arrow_is_text() -> None:
    assert rows("1\n00:00:01,000 --> 00:00:02,000\nturn left -> then right --> stop\n") == [
        (1, 2, "turn left -> then right --> stop")
    ]


def test_a_cue_that_ends_before_it_starts_is_kept_and_flagged() -> None:
    found = read("1\n00:00:05,000 --> 00:00:02,000\nHello there, you.\n\n2\n00:00:09,000 --> 00:00:10,000\nok\n")
    assert [(s.start, s.text, s.flags) for s in found.rows] == [
        (5, "Hello there, you.", ("bad_time",)),
        (9, "ok", ()),
    ]
    assert 5 < found.rows[0].end <= 12
    assert found.bad_cues == 1


def test_a_cue_of_no_length_lasts_as_long_as_it_takes_to_read() -> None:
    found = read("1\n00:00:05,000 --> 00:00:05,000\nHello there, you.\n")
    assert 5 < found.rows[0].end <= 12
    assert (found.bad_cues, found.rows[0].flags) == (0, ())


def test_negative_times() -> None:
    """Before the start is nowhere; a cue that reaches into the video begins with it."""
    text = "1\n-00:00:05,000 --> -00:00:02,000\ngone\n\n2\n-00:00:01,000 --> 00:00:02,000\nhere\n"
    found = read(text)
    assert plain(found.rows) == [(0, 2, "here")]
    assert found.bad_cues == 1


def test_cues_after_the_end_are_dropped_and_counted() -> None:
    found = read(SRT + "\n3\n00:00:08,000 --> 00:00:12,000\nto the end\n", end=10)
    assert plain(found.rows) == [TWO[0], (8, 10, "to the end")]
    assert (found.beyond_end, found.bad_cues) == (1, 0)


def test_times_are_shifted() -> None:
    assert rows(SRT, shift=-1.5) == [(0, 1, "Hello there."), (61.54, 3602.5, "World of two lines")]
    assert rows(SRT, shift=-10) == [(pytest.approx(53.04), 3594, "World of two lines")]


ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.480 --> 00:00:02.190 align:start position:0%
 
hello<00:00:00.900><c> everyone</c><00:00:01.300><c> and</c>

00:00:02.190 --> 00:00:02.200 align:start position:0%
hello everyone and
 

00:00:02.200 --> 00:00:04.000 align:start position:0%
hello everyone and
welcome<00:00:02.500><c> back</c><00:00:03.100><c> to</c>

00:00:04.000 --> 00:00:04.010 align:start position:0%
welcome back to
 

00:00:04.010 --> 00:00:06.000 align:start position:0%
welcome back to
the<00:00:04.300><c> show</c>
"""  # noqa: W293


def test_rolling_captions_say_each_line_once() -> None:
    found = read(ROLLING)
    assert plain(found.rows) == [
        (0.48, 2.2, "hello everyone and"),
        (2.2, 4.01, "welcome back to"),
        (4.01, 6.0, "the show"),
    ]
    assert found.language == "en"
    assert {s.language for s in found.rows} == {"en"}
    assert rows(ROLLING, SubtitleOptions()) == [(0.48, 6.0, "hello everyone and welcome back to the show")]


def srt(*cues: tuple[float, float, str]) -> str:
    def at(t: float) -> str:
        return f"{int(t // 3600):02d}:{int(t // 60 % 60):02d}:{int(t % 60):02d},{round(t % 1 * 1000):03d}"

    return "\n".join(f"{i}\n{at(a)} --> {at(b)}\n{text}\n" for i, (a, b, text) in enumerate(cues, 1))


def test_growing_captions_become_their_last_state() -> None:
    text = srt((1, 1.5, "this is"), (1.5, 2, "this is how"), (2, 3, "this is how it grows"), (3, 4, "next"))
    assert rows(text) == [(1, 3, "this is how it grows"), (3, 4, "next")]


def test_overlapping_cues_stay_apart() -> None:
    text = srt((1, 4, "- Who is it?"), (2, 5, "- Nobody."), (1, 4, "sign: CLOSED"))
    assert rows(text) == [(1, 4, "- Who is it?"), (1, 4, "sign: CLOSED"), (2, 5, "- Nobody.")]


def test_a_line_said_again_later_is_said_again() -> None:
    text = srt((1, 2, "Never."), (3, 4, "Never."))
    assert rows(text) == [(1, 2, "Never."), (3, 4, "Never.")]


def test_voices_become_speakers() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann Lee>Hi <i>you</i></v>\n<v.loud Bob>Yes &lt;b&gt; &amp; no\n"
    found = read(text).rows
    assert [(s.speaker, s.text) for s in found] == [("Ann Lee", "Hi you"), ("Bob", "Yes <b> & no")]
    assert {(s.start, s.end) for s in found} == {(1.0, 2.0)}


def test_a_voice_that_is_written_out_is_text() -> None:
    found = read("1\n00:00:01,000 --> 00:00:02,000\n&lt;v Bob&gt; hello\n").rows
    assert [(s.speaker, s.text) for s in found] == [(None, "<v Bob> hello")]


@pytest.mark.parametrize("text", ["[Music]", "(door slams)", "♪ ♪", "[Music] (applause)", "...", "♪", "（拍手）"])
def test_sounds_are_kept_and_flagged(text: str) -> None:
    found = read(srt((1, 2, text))).rows
    assert [(s.text, s.flags) for s in found] == [(text, ("non_speech",))]


@pytest.mark.parametrize(
    "text", ["[Ann] Hello", "♪ we will sing ♪", "Yes (laughs).", "x < y and y > z", "a {b} c", "42"]
)
def test_speech_is_not_flagged(text: str) -> None:
    found = read(srt((1, 2, text))).rows
    assert [(s.text, s.flags) for s in found] == [(text, ())]


def test_cues_of_one_sentence_become_one_row() -> None:
    text = srt(
        (1, 3, "The engine that you see"), (3.1, 5, "here weighs six tons."), (5.2, 7, "It"), (7, 8, "- Does it?"),
        (8, 9, "[Laughter]"), (9, 10, "and then"), (30, 31, "much later"),
    )  # fmt: skip
    assert [r[2] for r in rows(text, SubtitleOptions())] == [
        "The engine that you see here weighs six tons.",
        "It",
        "- Does it?",
        "[Laughter]",
        "and then",
        "much later",
    ]
    assert rows(text, SubtitleOptions())[0][:2] == (1, 5)


def test_a_sentence_that_begins_with_a_short_word_at_the_end_of_a_cue() -> None:
    text = srt(
        (1, 9, "Mrs Haldane was quite nice about it. She"), (9, 17, "said we could keep the old price."),
        (20, 27, "Una chica danesa lleva cuatro años. Se"), (27, 34, "va a quedar con el taller."),
        (40, 44, "It has approx. 5"), (44, 48, "doors."),
    )  # fmt: skip
    assert [r[2] for r in rows(text, SubtitleOptions())] == [
        "Mrs Haldane was quite nice about it.",
        "She said we could keep the old price.",
        "Una chica danesa lleva cuatro años.",
        "Se va a quedar con el taller.",
        "It has approx. 5 doors.",
    ]


def test_rows_grow_no_longer_than_allowed_and_wide_scripts_need_no_space() -> None:
    text = srt(*((i, i + 1, f"word{i}") for i in range(60)))
    found = read(text, SubtitleOptions(sentence_s=10)).rows
    assert all(s.end - s.start <= 10 for s in found)
    assert " ".join(s.text for s in found).split() == [f"word{i}" for i in range(60)]
    assert rows(srt((1, 2, "今日は"), (2, 3, "良い天気です")), SubtitleOptions()) == [(1, 3, "今日は良い天気です")]


REFUSED = {
    "empty": (b"", "holds no subtitle cue"),
    "other text": (b"hello\nworld\n", "holds no subtitle cue"),
    "zeros": (bytes(10_000), "not text"),
    "junk": (bytes(range(256)) * 40, "not text"),
    "a video": (b"\0\0\0\x18ftypisom\0\0\0\0isommp41" * 9, "not text"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_holds_no_subtitles_is_one_clear_line(what: str) -> None:
    data, why = REFUSED[what]
    with pytest.raises(MediaError, match=f"^a.srt: .*{why}") as caught:
        read(data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 100])
def test_a_huge_file_is_refused_at_once(size: int) -> None:
    data = SRT.encode() * (size * (1 << 20) // len(SRT) + 1)
    began = time.perf_counter()
    with pytest.raises(MediaLimit, match="subtitles.max_mb"):
        read(data, SubtitleOptions(max_mb=1))
    assert time.perf_counter() - began < 1


def test_a_huge_line_is_refused_at_once() -> None:
    with pytest.raises(MediaLimit, match="a line of more than"):
        read(srt((1, 2, "a" * 10_000_000)))


HOSTILE = {
    "spaces before an arrow": " " * 60_000 + "-->\n",
    "times without an arrow": "0:0:0:0" * 8000 + "->\n",
    "open tags": "<v " * 20_000 + "\n",
    "open braces": "{\\" * 30_000 + "\n",
    "open brackets": "[(" * 30_000 + "\n",
    "a drawing that is none": "m 1 1 " + "l " * 30_000 + "x\n",
    "line breaks": "<br" + " " * 60_000 + "\n",
    "entities": "&#9" * 20_000 + "\n",
    "cues at one time": "0:0:1 --> 0:0:2\nx\n" * 40_000,
    "different cues at one time": "".join(f"0:0:1 --> 0:0:2\n{i}.\n" for i in range(40_000)),
    "many lines in a cue": "x\n" * 200_000,
    "many lines in two cues": "x\ny\n" * 50_000 + "0:0:2 --> 0:0:3\n" + "y\nx\n" * 50_000,
}


@pytest.mark.parametrize("what", HOSTILE)
def test_nothing_takes_longer_than_its_size(what: str) -> None:
    began = time.process_time()
    read("0:0:1 --> 0:0:2\n" + HOSTILE[what] * max(1, 600_000 // len(HOSTILE[what])), SubtitleOptions())
    assert time.process_time() - began < 10


PIECES = st.sampled_from(
    [*"0123456789:.,->< \n\r\t\0-{}[]()&;é♪\ufeff\u2028", "00:00:01,000", " --> ", "-->", "\n\n", "WEBVTT", "NOTE",
     "STYLE", "<v Ann>", "</v>", "<c.x>", "<00:00:01.000>", "{\\an8}", "&amp;", "&#xD800;", "[Music]", "9" * 30,
     "-00:00:01.5", "00:01:00.000 --> 00:02:00.000", "hello", "\xed\xa0\xbd",
     "\ufdd0", "\ufdd1", "\N{ARABIC-INDIC DIGIT FOUR}", "²"]
)  # fmt: skip
TEXTS = st.lists(PIECES, max_size=60).map("".join)
DATA = st.one_of(
    st.builds(str.encode, TEXTS, st.sampled_from(["utf-8", "utf-16", "utf-16-le", "utf-32"])),
    st.binary(max_size=400),
    st.builds(lambda a, b, c: a + b + c, st.binary(max_size=20), TEXTS.map(str.encode), st.binary(max_size=20)),
)


def survives(data: bytes, end: float | None, shift: float, joined: bool) -> None:
    """Rows or one of the project's errors; rows are sane."""
    try:
        found = parse(data, "a.srt", SubtitleOptions(sentence_s=15 if joined else 0), end=end, shift=shift)
    except MediaError as e:
        assert "\n" not in str(e)
        return
    assert found.bad_cues >= 0
    most = found.cues * (2 if joined else 1)  # a cue is cut in two where a sentence ends within it
    assert most >= len(found.rows) - sum(s.speaker is not None for s in found.rows) * 2
    starts = [s.start for s in found.rows]
    assert starts == sorted(starts)
    for s in found.rows:
        assert 0 <= s.start < s.end
        assert end is None or s.start < end
        assert s.text.strip() == s.text != ""
        s.text.encode()
        assert not set(s.text) & set("\n\r\0\ufdd0\ufdd1")


FUZZ = {"suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
INPUT = (DATA, st.none() | st.floats(0.1, 200), st.floats(-100, 100), st.booleans())


@settings(max_examples=300, **FUZZ)  # type: ignore[arg-type]
@given(*INPUT)
def test_any_bytes_give_rows_or_an_error_of_ours(data: bytes, end: float | None, shift: float, joined: bool) -> None:
    survives(data, end, shift, joined)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@settings(max_examples=100_000, **FUZZ)  # type: ignore[arg-type]
@given(*INPUT)
def test_any_bytes_for_a_long_time(data: bytes, end: float | None, shift: float, joined: bool) -> None:
    survives(data, end, shift, joined)


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 9_000_000), st.integers(1, 5000)), min_size=1, max_size=30, unique=True))
def test_what_is_written_well_is_read_exactly(times: list[tuple[int, int]]) -> None:
    """Every cue, to the millisecond, in both formats."""
    cues = sorted((a / 1000, (a + d) / 1000, f"line {a} {d}.") for a, d in times)
    text = srt(*cues)
    expected = [(pytest.approx(a, abs=1e-6), pytest.approx(b, abs=1e-6), t) for a, b, t in cues]
    assert rows(text) == expected
    assert rows("WEBVTT\n\n" + text.replace(",", ".")) == expected


@pytest.mark.parametrize(
    ("tag", "code"),
    [("en", "en"), ("ENG", "en"), ("en-US", "en"), ("pt_BR", "pt"), ("ger", "de"), ("deu", "de"), ("zh-Hans", "zh"),
     ("yue", "yue"), ("und", None), ("forced", None), ("", None), (None, None), ("part2", None)],
)  # fmt: skip
def test_language_tags(tag: str | None, code: str | None) -> None:
    assert language_of(tag) == code


ASS = r"""[Script Info]
ScriptType: v4.00+
[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,20,&H00not a colour&
[Fonts]
fontname: x.ttf
Dialogue that is none
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Comment: 0,0:00:00.00,0:00:09.00,Default,,0,0,0,,never shown
Dialogue: 0,0:00:01.00,0:00:03.00,Default,,0,0,0,,{\i1}The harbour office{\i0} opens, at nine.{a remark}
Dialogue: 0,0:00:04.00,0:00:06.00,Default,Ann,0,0,0,,Bring the\Nblue\hfolder.
Dialogue: 0,0:00:07.00,0:00:08.00,Default,,0,0,0,,{\p1}m 0 0 l 100 0 100 50{\p0}
"""
TTML = """<?xml version="1.0" encoding="utf-8"?>
<tt xmlns="http://www.w3.org/ns/ttml" xmlns:ttp="http://www.w3.org/ns/ttml#parameter" ttp:tickRate="10000000"
 ttp:frameRate="25" xml:lang="en"><body><div>
<p begin="10000000t" end="00:00:03.000">The <span>harbour</span> office opens, at nine.</p>
<p begin="00:00:04:00" end="6s">Bring the<br/>blue folder.</p></div></body></tt>"""
JSON3 = """{"wireMagic": "pb3", "events": [{"tStartMs": 0, "dDurationMs": 9000, "id": 1},
 {"tStartMs": 1000, "dDurationMs": 2000, "segs": [{"utf8": "The harbour office"}, {"utf8": " opens, at nine."}]},
 {"tStartMs": 3000, "dDurationMs": 1000, "aAppend": 1, "segs": [{"utf8": "\\n"}]},
 {"tStartMs": 4000, "dDurationMs": 2000, "segs": [{"utf8": "Bring the\\nblue folder."}]}]}"""
SBV = (
    "0:00:01.000,0:00:03.000\nThe harbour office opens, at nine.\n\n"
    "0:00:04.000,0:00:06.000\nBring the[br]blue folder.\n"
)
SSA = ASS.replace("V4+", "V4").replace("Dialogue: 0", "Dialogue: Marked=0").replace("v4.00+", "v4.00")
OTHERS = {
    "SubStation Alpha": SSA,
    "Advanced SubStation": ASS,
    "TTML": TTML,
    "TTML of an early draft": TTML.replace("www.w3.org/ns/ttml", "www.w3.org/2006/10/ttaf1"),
    "YouTube's JSON": JSON3,
    "YouTube's SBV": SBV,
    "SBV with carriage returns": SBV.replace("\n", "\r\n"),
}


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_other_formats_give_the_same_rows(kind: str, encoding: str) -> None:
    """Whatever the name says; styles, remarks, drawings and comments are no text."""
    assert rows(OTHERS[kind].encode(encoding)) == [
        (1.0, 3.0, "The harbour office opens, at nine."),
        (4.0, 6.0, "Bring the blue folder."),
    ]


def test_actors_of_substation_are_speakers() -> None:
    assert [s.speaker for s in read(ASS).rows] == [None, "Ann"]


def test_a_bad_line_of_substation_costs_itself() -> None:
    found = read(ASS.replace("0:00:04.00", "0:xx:04.00"))
    assert [s.text for s in found.rows] == ["The harbour office opens, at nine."] and found.bad_cues == 1


def test_recognised_lines_of_youtube_last_until_the_next() -> None:
    events = [
        {"tStartMs": 1000 * i, "dDurationMs": 5000, "segs": [{"utf8": f"line {i}"}, {"utf8": " x", "tOffsetMs": 300}]}
        for i in range(3)
    ]
    assert rows(json.dumps({"events": events})) == [(0, 1, "line 0 x"), (1, 2, "line 1 x"), (2, 7, "line 2 x")]


BROKEN_OTHERS = {
    "entities": TTML.replace("<tt ", '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><tt '),
    "half XML": TTML[:-60],
    "half JSON": JSON3[:-9],
    "a list": '{"events": 3}',
    "deep JSON": '{"events": ' + "[" * 60_000,
    "odd numbers": '{"events": [{"tStartMs": 1e999, "segs": [{"utf8": "x"}]}, '
    '{"tStartMs": NaN, "segs": [{"utf8": "x"}]}]}',
    "no dialogue": "[Script Info]\nTitle: x\n",
    "an unknown time": TTML.replace("6s", "wallclock(1)"),
}


@pytest.mark.parametrize("what", BROKEN_OTHERS)
def test_other_formats_that_are_broken_are_one_clear_line(what: str) -> None:
    try:
        found = read(BROKEN_OTHERS[what])
        assert not found.rows and found.bad_cues
    except MediaError as e:
        assert str(e).startswith("a.srt: ") and "\n" not in str(e)


OTHER_PIECES = st.sampled_from(
    ["[Script Info]\n", "[Events]\n", "Dialogue: ", "0,0:00:01.00,0:00:03.00,Default,,0,0,0,,", "{\\i1}", "{\\p1}",
     "\\N", ",", "<tt xmlns='http://www.w3.org/ns/ttml'>", "<body>", "<p begin='1s' end='2s'>",
     "<p begin='00:00:01:99' dur='9999t'>", "</p>", "</body>", "</tt>", "<br/>", "&amp;", "<!--",
     '{"events": [', '{"tStartMs": 1, ', '"segs": [{"utf8": "x"}]}',
     "]}", "0:00:01.000,0:00:03.000\n", "Ann: hi", "JOHN: ", ">> ", "-", "NaN", "1e999", "\n", "x", "\0", "é"]
)  # fmt: skip
OTHER_DATA = st.builds(
    lambda head, rest: (head + "".join(rest)).encode(),
    st.sampled_from(["[Script Info]\n", "Dialogue: ", "<tt ", "<tt xmlns='http://www.w3.org/ns/ttml'><body>",
                     '{"events": [', "0:00:01.000,0:00:03.000\n", ASS, TTML, JSON3, SBV]),
    st.lists(OTHER_PIECES, max_size=40),
)  # fmt: skip


@settings(max_examples=300, **FUZZ)  # type: ignore[arg-type]
@given(OTHER_DATA, *INPUT[1:])
def test_any_bytes_of_other_formats(data: bytes, end: float | None, shift: float, joined: bool) -> None:
    survives(data, end, shift, joined)


@pytest.mark.parametrize("kind", ["Advanced SubStation", "TTML", "YouTube's JSON", "YouTube's SBV"])
def test_many_lines_of_other_formats_take_no_longer_than_their_size(kind: str) -> None:
    line = {
        "Advanced SubStation": ("[Events]\n", "Dialogue: 0,0:0x:01.00,0:00:03.00,Default,,0,0,0,,x\n", ""),
        "TTML": ("<tt xmlns='http://www.w3.org/ns/ttml'><body>", "<p begin='1s' end='2s'>x</p>", "</body></tt>"),
        "YouTube's JSON": ('{"events": [{}', ', {"tStartMs": 1, "segs": [{"utf8": "x"}]}', "]}"),
        "YouTube's SBV": ("", "0:00:01.000,0:00:03.000\nx\n", ""),
    }[kind]
    began = time.process_time()
    with contextlib.suppress(MediaError):
        read(line[0] + line[1] * (600_000 // len(line[1])) + line[2], SubtitleOptions())
    assert time.process_time() - began < 10


def said(*lines: str, name: str = "a.srt") -> list[tuple[str | None, str]]:
    data = srt(*((2 * i + 1, 2 * i + 2, text) for i, text in enumerate(lines))).encode()
    return [(s.speaker, s.text) for s in parse(data, name, CUES).rows]


def test_names_before_a_colon_are_speakers_where_they_come_again() -> None:
    lines = ["Anna Smith: Hello.", "Bob Lee: Hi.", "It is late.", "Anna Smith: Yes.", "Bob Lee: Go on."]
    assert said(*lines) == [
        ("Anna Smith", "Hello."), ("Bob Lee", "Hi."), (None, "It is late."), ("Anna Smith", "Yes."),
        ("Bob Lee", "Go on."),
    ]  # fmt: skip


def test_names_of_a_transcript_are_speakers_at_once() -> None:
    assert said("Anna Smith: One thing.", "Jürgen O'Neil-Díaz: Yes.", name="x.transcript.vtt") == [
        ("Anna Smith", "One thing."), ("Jürgen O'Neil-Díaz", "Yes."),
    ]  # fmt: skip
    assert said("Anna Smith: Note: bring it.", "See: this.", "x", name="x.transcript.vtt")[0] == (
        "Anna Smith", "Note: bring it.",
    )  # fmt: skip


def test_names_in_capitals_and_after_the_sign_of_a_turn() -> None:
    more = [f"Sentence {i}." for i in range(30)]
    found = said(">> JOHN: We go.", *more, "- MARY: Stay.\n- JOHN: No.", "JOHN:\nFine.", "MARY: Well.")
    assert [f for f in found if f[0]] == [
        ("JOHN", "We go."), ("MARY", "Stay."), ("JOHN", "No."), ("JOHN", "Fine."), ("MARY", "Well."),
    ]  # fmt: skip


NO_SPEAKERS = [
    ["Note: this is new.", "Then we go on.", "Note: that is old.", "The end."],
    ["10:30 is the time.", "At 10:30: the talk.", "10:30 it was."],
    ["He said: go.", "She said: stay.", "He said: no.", "She said: yes."],
    ["See https://example.org now.", "See https://example.org now."],
    ["The result: nothing.", *["More words."] * 20, "The result: nothing."],
    ["Paris: the city of light.", *["More words."] * 20],
    ["Step 1: cut.", "Step 2: mix.", "Step 3: bake.", "Step 4: eat."],
    ["Ingredients: flour, salt.", "Ingredients: water."],
]


@pytest.mark.parametrize("lines", NO_SPEAKERS)
def test_a_colon_alone_makes_no_speaker(lines: list[str]) -> None:
    assert said(*lines) == [(None, line) for line in lines]


def test_speakers_in_scripts_without_capitals() -> None:
    assert said("张三：你好。", "李四：你好吗？", "张三：很好。", "李四：好。") == [
        ("张三", "你好。"), ("李四", "你好吗？"), ("张三", "很好。"), ("李四", "好。"),
    ]  # fmt: skip


def test_a_sentence_of_a_speaker_goes_on_in_the_next_cue() -> None:
    text = srt(
        (1, 2, "ANN: I think that"), (2, 3, "it is late."), (3, 4, "BOB: No."), (4, 5, "ANN: Yes."), (5, 6, "BOB: Ok.")
    )
    found = read(text, SubtitleOptions()).rows
    assert [(s.speaker, s.text) for s in found][:2] == [("ANN", "I think that it is late."), ("BOB", "No.")]
