"""What kind of answer a question wants, told by the example that it is most like, in any language."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from vidrag.query.understand.kinds import Kinds, common_terms
from vidrag.store.encoders.e5 import E5, E5Options

UNSEEN: dict[str, list[str]] = {
    "fact": [
        "Where is the ladder kept?", "When is the next meeting?", "How long is the pier?",
        "Who painted the fence?", "How tall is the lighthouse?",
        "Wer hat den Zaun gestrichen?", "¿Quién pintó la valla?",
        "Qui a peint la clôture ?", "Кто покрасил забор?", "谁刷了篱笆？", "誰が塀を塗りましたか？",
    ],
    "whole": [
        "What's this recording about?", "Give me a short summary of this video.",
        "Which subjects does the lecture cover?", "Fasse den Vortrag zusammen.", "¿De qué va este vídeo?",
        "Résume cette conférence.", "О чём эта лекция?",
        "这个讲座讲了什么？", "この講義を要約してください。",
    ],
    "every": [
        "Find all mentions of the lighthouse.", "Which phone numbers are mentioned?", "all prices",
        "List every mention of rust.",
        "Finde alle Erwähnungen des Leuchtturms.",
        "Combien de fois le phare est-il mentionné ?", "提到了多少次灯塔？",
    ],
    "compare": [
        "Compare the two lectures.", "Vergleiche die beiden Aufnahmen.", "Compara las dos reuniones.",
        "Compare les deux vidéos qui parlent du phare.", "Сравни две лекции.", "比较这两个讲座。",
    ],
    "followup": ["And what about Q3?", "Tell me more.", "Und was noch?", "¿Y el otro?", "А что ещё?", "还有什么？"],
    "details": [
        "How long is the lecture?", "Who is talking here?", "When was this video recorded?",
        "Which recordings are there?", "How many speakers are in this recording?",
        "Wie lang ist die Aufnahme?", "Wer redet?", "¿Quiénes hablan?", "Qui parle dans cette vidéo ?",
        "Кто говорит на записи?", "谁在讲话？",
    ],
    "topic": [
        "Summarise what the mayor said on the flood.",
        "Summarize the discussion about parking fees.", "What did they say about the museum?",
        "Résume le débat sur les vaccins.", "Was wurde über den Bahnhof gesagt?",
    ],
    "decided": [
        "What were the decisions?", "What did the group decide?", "Was wurde entschieden?",
        "¿Qué decisiones se tomaron?", "Quelles décisions ont été prises ?", "Какие решения приняли?",
    ],
    "tasks": ["Give me the action items.", "Who needs to do what until next time?", "Wer muss was erledigen?"],
    "beginning": ["How does the lecture start?", "Was passiert zu Beginn?", "¿Cómo comienza la reunión?"],
    "ending": ["How does the lecture end?", "Was passiert zum Schluss?", "¿Cómo acaba la reunión?"],
    "seen": [
        "What colour is the hat?", "What is the woman wearing?", "How many bottles are on the table?",
        "帽子是什么颜色的？",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> E5:
    return E5(E5Options())


@pytest.fixture(scope="module")
def kinds(encoder: E5) -> Kinds:
    return Kinds(encoder)


@pytest.mark.parametrize("kind", UNSEEN)
def test_questions_that_are_no_examples(kind: str, kinds: Kinds, encoder: E5) -> None:
    """Of things that no example names."""
    found = {q: kinds.of(v) for q, v in zip(UNSEEN[kind], encoder.queries(UNSEEN[kind]), strict=True)}
    assert {q: k for q, k in found.items() if k != kind} == {}


def test_questions_of_somebody_who_saw_no_example(kinds: Kinds, encoder: E5) -> None:
    """300 questions in 14 languages, as people type them at an archive.  The constants were chosen on them."""
    lines = (Path(__file__).parent / "data" / "kinds.tsv").read_text("utf-8").splitlines()
    labels, _, questions = zip(*(line.split("\t") for line in lines), strict=True)
    found = [kinds.of(v) for v in encoder.queries(questions)]
    assert np.mean([kind == label for kind, label in zip(found, labels, strict=True)]) >= 0.87
    facts = [kind for kind, label in zip(found, labels, strict=True) if label == "fact"]
    assert np.mean([kind in ("fact", "topic") for kind in facts]) >= 0.9  # both are answered with the same rows


def test_what_is_like_no_example_is_a_fact(kinds: Kinds, encoder: E5) -> None:
    """Whatever it is nearest to."""
    for text in ("herring", "¿¡ 🎬", "a long way from the old mill to the harbour", "x" * 300):
        assert kinds.of(encoder.queries([text])[0]) == "fact"
    assert kinds.of(np.zeros(encoder.spec.dim, np.float32)) == "fact"


def test_words_that_say_what_is_wanted_and_not_of_what() -> None:
    assert {"mention", "word"} & common_terms("every") and "video" in common_terms("whole")
    assert not {"merger", "harbour"} & common_terms("every")
