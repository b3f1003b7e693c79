"""Decoders that hang, crash or want too much are stopped and named; what they sent before stays whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from media_files import painted, pattern, quarters, with_tone
from vidrag.ingest import decoder as protocol
from vidrag.ingest import media
from vidrag.ingest.media import MediaOptions
from vidrag.ingest.media.contain import limited, running
from vidrag.store.errors import DecoderDied, MediaError
from vidrag.store.records import MediaInfo, SoundTrack

INFO = MediaInfo("mov", 1.0, 0.0, True, True, 2, 2, video_index=0, audio=(SoundTrack(1, "aac"),))
FRAME_OF_2X2 = protocol.HEAD.pack(b"F", 28) + protocol.PICTURE.pack(0.5, 2, 2) + bytes(12)
SLEEP = "import time; time.sleep(600)"


def say(data: bytes, then: str = "") -> str:
    """Python code that writes ``data`` and goes on with ``then``."""
    return f"import sys, os, signal; sys.stdout.buffer.write({data!r}); sys.stdout.flush(); {then}"


def message_head(kind: bytes, size: int) -> bytes:
    return protocol.HEAD.pack(kind, size)


def ended(code: str, options: MediaOptions) -> tuple[bytes, str]:
    """What a child running Python ``code`` under limits sent, and how it ended."""
    with running(limited([sys.executable, "-c", code], options), options, "x.mp4") as child:
        sent = child.read(1 << 20)
        try:
            child.finish()
        except MediaError as e:
            return sent, str(e)
    return sent, ""


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """Puts Python code in the place of the decoder."""

    def use(code: str) -> None:
        def command(*_: object, **__: object) -> list[str]:
            return limited([sys.executable, "-c", code], MediaOptions())

        monkeypatch.setattr(media, "decoding_child", command)

    return use


def test_a_hanging_decoder_is_stopped_and_said_to_have_hung() -> None:
    began = time.monotonic()
    sent, told = ended(say(b"abc", SLEEP), MediaOptions(stall_s=0.5))
    assert sent == b"abc"
    assert "x.mp4" in told
    assert "hung" in told
    assert time.monotonic() - began < 10


def test_a_crash_is_told_with_its_signal() -> None:
    sent, told = ended(say(b"abc", "os.kill(os.getpid(), signal.SIGSEGV)"), MediaOptions())
    assert sent == b"abc"
    assert "crashed (signal 11)" in told


def test_the_last_words_of_a_failed_decoder_are_its_message() -> None:
    _, told = ended("import sys; sys.stderr.write('one\\ntwo\\n'); sys.exit(3)", MediaOptions())
    assert told == "x.mp4: two"


def test_endless_complaints_do_not_fill_the_disk() -> None:
    """Stderr counts as a written file: a decoder that floods it is stopped, and the message stays one short line."""
    _, told = ended("import sys\nwhile True: sys.stderr.write('x' * 100 + chr(10))", MediaOptions(stall_s=10))
    assert told
    assert len(told) < 400
    assert "hung" not in told


def test_memory_is_limited() -> None:
    options = MediaOptions(memory_mb=256)
    sent, told = ended("x = bytearray(400 << 20); print(len(x))", options)
    assert sent == b""
    assert "MemoryError" in told


def test_cpu_time_is_limited() -> None:
    _, told = ended("while True: pass", MediaOptions(cpu_s=1))
    assert "CPU limit 1 s" in told


def test_a_child_cannot_write_files(tmp_path: Path) -> None:
    """Nothing larger than a few words of complaint: a demuxer that could be led to write fills no disk."""
    target = tmp_path / "written"
    _, told = ended(f"open({str(target)!r}, 'wb').write(bytes(1 << 20))", MediaOptions())
    assert told
    assert not target.exists() or target.stat().st_size <= 64 << 10


def test_leaving_the_context_kills_the_child_and_its_children(tmp_path: Path) -> None:
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {SLEEP!r}]); "
    code += "print(p.pid, flush=True); p.wait()"
    with running([sys.executable, "-c", code], MediaOptions(), "x") as child:
        line = b""
        while not line.endswith(b"\n"):
            line += child.read(1)
    assert not alive(int(line))


def test_a_decoder_ends_with_whoever_reads_it() -> None:
    """Also one that writes nothing, and whose parent was killed without a chance to tidy up."""
    child = limited([sys.executable, "-c", SLEEP], MediaOptions())
    code = f"import subprocess, time; p = subprocess.Popen({child!r}); print(p.pid, flush=True); {SLEEP}"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    time.sleep(0.5)  # for the limits to be set
    assert Path(f"/proc/{pid}").exists()
    parent.kill()
    parent.communicate()
    assert not alive(pid)


def alive(pid: int) -> bool:
    """True while a process works (a zombie that init has not collected is dead)."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return False
        if state == "Z":
            return False
    return True


@pytest.mark.parametrize(
    ("rest", "cause"),
    [
        (b"", "broke off"),
        (FRAME_OF_2X2[:1], "broke off"),
        (FRAME_OF_2X2[:9], "broke off"),
        (FRAME_OF_2X2[:-3], "broke off"),
        (b"D\x10\x00", "broke off"),
        (b"D\x10\x00\x00\x00{", "broke off"),
        (b"D\x01\x00\x00\x00{", "no sense"),
        (b"D\x02\x00\x00\x00{}", "no sense"),
        (protocol.HEAD.pack(b"F", 28) + protocol.PICTURE.pack(0.5, 2, 3) + bytes(12), "another size"),
        (protocol.HEAD.pack(b"F", 1 << 31), "broke off"),
        (b"garbage" * 10, "x.mp4"),
    ],
    ids=[
        "nothing",
        "kind only",
        "half a header",
        "half a picture",
        "half a length",
        "half a tally",
        "no tally",
        "an empty tally",
        "another picture",
        "too large",
        "garbage",
    ],
)
def test_a_message_that_breaks_off_is_a_dead_decoder(rest: bytes, cause: str, tmp_path: Path, decoder) -> None:  # type: ignore[no-untyped-def]
    """Frames that came whole are given out; then comes :class:`DecoderDied`, no other exception."""
    decoder(say(FRAME_OF_2X2 + rest))
    got = []
    with pytest.raises(DecoderDied, match=cause):
        for sample in media.frames(tmp_path / "x.mp4", INFO, MediaOptions(stall_s=5), 2, 640):
            got.append(sample.time)
    assert got == [0.5]


def test_frames_of_a_decoder_that_crashes_or_hangs(tmp_path: Path, decoder) -> None:  # type: ignore[no-untyped-def]
    for code, cause in (("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"), (SLEEP, "hung")):
        decoder(say(FRAME_OF_2X2, code))
        got = []
        with pytest.raises(DecoderDied, match=cause) as caught:
            for sample in media.frames(tmp_path / "x.mp4", INFO, MediaOptions(stall_s=0.5), 2, 640):
                got.append(sample.picture.shape)
        assert got == [(2, 2, 3)]
        assert not caught.value.permanent


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", "crashed"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "stopped"),
        (SLEEP, "hung"),
    ],
)
def test_a_probe_that_dies_may_be_tried_again(code: str, cause: str, tmp_path: Path, decoder) -> None:  # type: ignore[no-untyped-def]
    """What happened to the decoder says nothing for good about the file, unlike a header that cannot be read."""
    path = pattern(tmp_path / "x.mp4", 0.5)
    decoder(say(b"", code))
    with pytest.raises(DecoderDied, match=cause) as caught:
        media.probe(path, MediaOptions(stall_s=0.5))
    assert not caught.value.permanent


def test_a_probe_that_answers_nonsense_is_a_media_error(tmp_path: Path, decoder) -> None:  # type: ignore[no-untyped-def]
    path = pattern(tmp_path / "x.mp4", 0.5)
    decoder("print('{')")
    with pytest.raises(MediaError):
        media.probe(path, MediaOptions())


def test_sound_of_a_decoder_that_hangs(tmp_path: Path, decoder) -> None:  # type: ignore[no-untyped-def]
    decoder(say(message_head(b"S", 64) + bytes(64), SLEEP))
    with pytest.raises(DecoderDied, match="hung"):
        list(media.audio(tmp_path / "x.mp4", INFO, MediaOptions(stall_s=0.5)))


def test_a_reader_that_stops_early_leaves_no_decoder_behind(tmp_path: Path) -> None:
    path = painted(tmp_path / "a.mp4", [i / 10 for i in range(20)], [quarters()] * 20)
    info = media.probe(path, MediaOptions())
    samples = iter(media.frames(path, info, MediaOptions(), 10, 640))
    next(samples)
    samples.close()  # type: ignore[attr-defined]
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    names = [Path(f"/proc/{c}/cmdline").read_bytes() for c in children if Path(f"/proc/{c}").exists()]
    assert not [n for n in names if b"vidrag.ingest.decoder" in n]


def test_real_decoding_under_a_tight_memory_limit_is_a_typed_error_or_works(tmp_path: Path) -> None:
    """A picture that does not fit into the allowed memory never ends in a half result without a word."""
    path = pattern(tmp_path / "a.mp4", 0.4, "4096x4096", 5)
    options = MediaOptions(memory_mb=256, stall_s=20)
    with pytest.raises(MediaError):
        info = media.probe(path, options)
        source = media.frames(path, info, options, 5, 4096)
        shown = list(source)
        if len(shown) < 2 and source.errors:
            raise MediaError("counted")


def test_sound_under_the_default_limits(tmp_path: Path) -> None:
    """The limits are wide enough for real decoders."""
    path = with_tone(tmp_path / "a.mp4", 1)
    info = media.probe(path, MediaOptions())
    assert sum(len(b) for b in media.audio(path, info, MediaOptions())) > 15_000
