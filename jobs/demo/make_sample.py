"""Make the sample video of the project: a short, invented guided walk through a space museum.

The film has slides with text, photographs (still, moving and two side by side), a synthetic voice and a silent
stretch. What the voice says is not on the slides, and the other way round, so that an answer shows which kind of
evidence it came from. Beside the video a JSON file is written that tells what is shown and said, and when.

Needed programs:  ffmpeg (with libx264) and espeak-ng
Needed fonts:     DejaVu Sans (Debian and Ubuntu: apt install fonts-dejavu-core)
Needed packages:  pip install numpy pillow scikit-image pooch   (the photographs come with scikit-image)

Run:              python make_sample.py
                  python make_sample.py --out other.mp4 --truth other.json --crf 26

The same versions of the programs give the same bytes. Authors and licences of the photographs: see SOURCES.md.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from skimage import data

WIDTH, HEIGHT, FPS, RATE = 854, 480, 25, 22050
VOICE, WORDS_PER_MINUTE = "en-us", 145
HERE = Path(__file__).resolve().parent

# A view is a part of a photograph with the shape of the film: x of the middle, y of the middle, width (in pixels).
View = tuple[float, float, float]


@dataclass(frozen=True)
class Scene:
    """One shot: `seconds` long, a slide when it has a title, otherwise one photograph or two side by side."""

    key: str
    seconds: int
    title: str = ""
    lines: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    views: tuple[View, ...] = ()  # one view: still; two views: slow move from the first to the second
    objects: dict[str, int] = field(default_factory=dict)  # what an object detector should be able to count
    shows: str = ""
    speech: tuple[tuple[float, str], ...] = ()  # (seconds after the start of the shot, sentence)


SCENES = (
    Scene(
        "title",
        8,
        "A Morning at the Space Museum",
        ("Harbour Hill Museum", "Your guide: Martha Lindgren"),
        speech=(
            (0.8, "Good morning, and welcome."),
            (3.0, "Our walk has three stops, and it takes about forty minutes."),
        ),
    ),
    Scene(
        "start",
        8,
        "Before we start",
        ("Open Tuesday to Sunday, 9:30 to 17:00", "Adult ticket: 8.50 euros", "Locker code: 4719"),
        speech=((1.0, "Please leave your suitcases downstairs."), (4.2, "The lockers are next to the blue staircase.")),
    ),
    Scene(
        "rocket",
        10,
        photos=("rocket",),
        views=((320, 305, 380), (320, 238, 640)),
        shows="a white rocket on its launch pad at dusk, between tall steel towers",
        speech=(
            (0.8, "This rocket waited in Florida in February twenty fifteen."),
            (5.2, "It carried a satellite that keeps watch on the sun."),
        ),
    ),
    Scene(
        "engine",
        10,
        "Stop 1: The rocket hall",
        ("Hall B, level 2", "Engine built in 1968", "Restored by Tomas Aldana"),
        speech=(
            (0.9, "The engine you see here weighs six tons."),
            (4.4, "It took eleven people and a whole weekend to bring it inside."),
        ),
    ),
    Scene(
        "astronaut",
        10,
        photos=("astronaut",),
        views=((256, 146, 512),),
        objects={"person": 1},
        shows="a smiling astronaut in an orange suit, with a flag and a model of the space shuttle behind her",
        speech=(
            (0.9, "Eileen Collins was the first woman to pilot the space shuttle."),
            (5.6, "She spent thirty eight days in space."),
        ),
    ),
    Scene(
        "simulator",
        8,
        "Stop 2: Flight simulator",
        ("Seats: 12", "Next flight: 11:20", "Minimum height: 130 cm"),
        speech=(
            (0.9, "The simulator is free for school groups."),
            (4.3, "Book your seats at the desk, by the main entrance."),
        ),
    ),
    Scene(
        "wall",
        3,
        photos=("astronaut", "camera"),
        views=((228, 166, 292), (256, 256, 451)),
        objects={"person": 2},
        shows="two portraits side by side: the astronaut, and a man looking through a camera on a tripod",
    ),
    Scene(
        "coffee",
        10,
        photos=("coffee",),
        views=((300, 200, 600),),
        objects={"cup": 1},
        shows="a cup of coffee with a spoon on a red saucer, on a wooden table",
        speech=(
            (0.8, "Now it is time for a break."),
            (3.2, "Two sisters run the cafe on the roof, and they make plum cake every Saturday."),
        ),
    ),
    Scene(
        "cafe",
        8,
        "Stop 3: The roof cafe",
        ("Coffee and cake: 6 euros", "Guest Wi-Fi: moonwalk27", "Last orders: 16:15"),
        speech=((0.9, "Show your museum ticket after three o'clock."), (4.5, "Then your second cup of tea is free.")),
    ),
    Scene(
        "juniper",
        10,
        photos=("chelsea",),
        views=((225.5, 138, 451),),
        objects={"cat": 1},
        shows="the face of a tabby cat with green eyes",
        speech=(
            (0.8, "And this is Juniper."),
            (2.8, "She sleeps in our control room, every night."),
            (6.3, "She only wakes up when somebody brings tuna."),
        ),
    ),
    Scene(
        "end",
        8,
        "Thank you for coming",
        ("Next walk: Saturday 14 June", "Questions? Ask Nadia Brandt"),
        speech=((0.7, "Please drop your headset in the green box."), (4.2, "Goodbye, and have a lovely day.")),
    ),
)

# (kind, question, answer, evidence: a shot, or shot/number of the sentence in it)
QUESTIONS = (
    ("speech", "Where are the lockers?", "Next to the blue staircase", ("start/1",)),
    ("speech", "How heavy is the engine in the rocket hall?", "Six tons", ("engine/0",)),
    ("text", "What is the locker code?", "4719", ("start",)),
    ("text", "At what time does the next simulator flight start?", "11:20", ("simulator",)),
    ("objects", "What is the largest number of people seen at the same time?", "Two", ("wall",)),
    (
        "both",
        "What is shown while the speaker mentions plum cake?",
        "A cup of coffee with a spoon on a red saucer",
        ("coffee/1", "coffee"),
    ),
    ("both", "What kind of animal is Juniper?", "A cat", ("juniper/0", "juniper")),
)


def crop(photo: str, view: View, size: tuple[int, int]) -> Image.Image:
    """Cut a view out of a photograph; nothing is stretched."""
    image = Image.fromarray(getattr(data, photo)()).convert("RGB")
    (x, y, width), height = view, view[2] * size[1] / size[0]
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return image.resize(size, Image.Resampling.LANCZOS, box=box)


def slide(scene: Scene, number: int) -> Image.Image:
    """Draw a slide: a title, a thin line and a few short facts."""
    image = Image.new("RGB", (WIDTH, HEIGHT), ((18, 32, 58), (20, 48, 52), (44, 30, 58))[number % 3])
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 15, HEIGHT), fill=(240, 180, 70))
    draw.text((60, 90), scene.title, font=ImageFont.truetype("DejaVuSans-Bold.ttf", 39), fill="white", anchor="ls")
    draw.rectangle((60, 116, WIDTH - 60, 119), fill=(240, 180, 70))
    font = ImageFont.truetype("DejaVuSans.ttf", 34)
    for row, line in enumerate(scene.lines):
        draw.text((60, 205 + 85 * row), line, font=font, fill=(235, 238, 245), anchor="ls")
    return image


def frames(scene: Scene, number: int) -> Iterator[bytes]:
    """Yield every frame of a shot as raw RGB."""
    count = scene.seconds * FPS
    if len(scene.photos) == 1 and len(scene.views) == 2:
        for step in np.linspace(0.0, 1.0, count):
            x, y, width = (a + (b - a) * float(step) for a, b in zip(*scene.views, strict=True))
            yield crop(scene.photos[0], (x, y, width), (WIDTH, HEIGHT)).tobytes()
        return
    if scene.title:
        image = slide(scene, number)
    elif len(scene.photos) == 1:
        image = crop(scene.photos[0], scene.views[0], (WIDTH, HEIGHT))
    else:
        image = Image.new("RGB", (WIDTH, HEIGHT), "black")
        half = (WIDTH - 8) // 2
        for place, photo, view in zip((0, WIDTH - half), scene.photos, scene.views, strict=True):
            image.paste(crop(photo, view, (half, HEIGHT)), (place, 0))
    yield from [image.tobytes()] * count


def speak(text: str, folder: Path) -> np.ndarray:
    """Return one spoken sentence without the silence around it."""
    path = folder / "sentence.wav"
    subprocess.run(["espeak-ng", "-v", VOICE, "-s", str(WORDS_PER_MINUTE), "-w", str(path), text], check=True)
    with wave.open(str(path)) as file:
        if (file.getframerate(), file.getnchannels(), file.getsampwidth()) != (RATE, 1, 2):
            raise SystemExit("espeak-ng gave an unexpected sound format")
        sound = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > 150)
    return sound[loud[0] : loud[-1] + 1]


def main() -> None:
    """Build the sound, the list of what is shown and said, and the video."""
    parser = argparse.ArgumentParser(description="Make the sample video and the list of what it shows and says.")
    parser.add_argument("--out", type=Path, default=HERE / "sample.mp4")
    parser.add_argument("--truth", type=Path, default=HERE / "sample.truth.json")
    parser.add_argument("--crf", type=int, default=27, help="quality of the picture: lower is better and larger")
    options = parser.parse_args()

    total = sum(scene.seconds for scene in SCENES)
    track = np.zeros(total * RATE, dtype="<i2")
    shots: list[dict[str, object]] = []
    spans: dict[str, list[float]] = {}
    start = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for scene in SCENES:
            said, free = [], 0.0
            for index, (offset, text) in enumerate(scene.speech):
                sound = speak(text, folder)
                seconds = len(sound) / RATE
                if offset < free or offset + seconds > scene.seconds - 0.3:
                    raise SystemExit(f"the sentence does not fit: {text} ({seconds:.2f} s)")
                at, free = round((start + offset) * RATE), offset + seconds + 0.2
                track[at : at + len(sound)] = sound
                span = spans[f"{scene.key}/{index}"] = [round(start + offset, 2), round(start + offset + seconds, 2)]
                said.append({"start": span[0], "end": span[1], "text": text})
            span = spans[scene.key] = [float(start), float(start + scene.seconds)]
            shot = {"id": scene.key, "start": span[0], "end": span[1]}
            shot |= (
                {"kind": "slide", "text": [scene.title, *scene.lines]}
                if scene.title
                else {
                    "kind": "photo",
                    "photos": scene.photos,
                    "moving": len(scene.photos) < len(scene.views),
                    "shows": scene.shows,
                    "objects": scene.objects,
                }
            )
            shots.append(shot | {"speech": said})
            start += scene.seconds
        with wave.open(str(folder / "track.wav"), "wb") as file:
            file.setparams((1, 2, RATE, len(track), "NONE", ""))
            file.writeframes(track.tobytes())
        command = ["ffmpeg", "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}"]
        command += ["-r", str(FPS), "-i", "-", "-i", str(folder / "track.wav"), "-map_metadata", "-1"]
        command += ["-fflags", "+bitexact", "-flags:v", "+bitexact", "-flags:a", "+bitexact", "-threads", "1"]
        command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-colorspace", "bt709", "-c:v", "libx264"]
        command += ["-crf", str(options.crf), "-preset", "slow", "-pix_fmt", "yuv420p", "-g", str(2 * FPS)]
        command += ["-c:a", "aac", "-b:a", "56k", "-ac", "1", "-movflags", "+faststart", str(options.out)]
        with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            for number, scene in enumerate(SCENES):
                for frame in frames(scene, number):
                    process.stdin.write(frame)
        if process.returncode:
            raise SystemExit("ffmpeg failed")

    questions = [
        {"kind": kind, "question": question, "answer": answer, "evidence": [spans[key] for key in keys]}
        for kind, question, answer, keys in QUESTIONS
    ]
    truth = {"video": options.out.name, "seconds": float(total), "shots": shots, "questions": questions}
    options.truth.write_text(json.dumps(truth, indent=1) + "\n", encoding="utf-8")
    print(f"{options.out.name}: {total} s, {options.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
