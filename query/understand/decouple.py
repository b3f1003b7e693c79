"""Query decoupling: a question becomes a request for speech, things, relations between them, and captions.

The method is Video-RAG's (Luo et al., 2024, arXiv 2411.13093), the rules and prompts are our own.  The question goes in
without its options, so that no option leaks into the request; whatever the request says, the raw question is searched
as well.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...store.encoders.coco import NAMES
from ...store.errors import VidragError, one_line
from ...store.options import Options
from ..types import MOST_THINGS, Message, Relation, Reply, Request, Scope, TimeHint, When
from . import cues
from .times import named_stretch


class DecoupleOptions(Options):
    """``engine``: ``rules``, or ``llm`` to ask the chat engine where it is a language model (rules otherwise).
    ``pictures``: a sentence with ``{}`` in it, with which frames are looked for by the things asked for alone; None
    looks for captions too.  ``options``: the options stand in the question that is decoupled and searched for, as
    published.
    """

    engine: Literal["rules", "llm"] = "rules"
    options: bool = False
    pictures: str | None = Field(None, pattern=r"^[^{}]*\{\}[^{}]*$", max_length=200)

    def worded(self, request: Request) -> Request:
        """The request with what pictures are looked for by in the words of :attr:`pictures`."""
        if self.pictures is None:
            return request
        return replace(request, captions=tuple(self.pictures.format(thing) for thing in request.det))


_PROMPT = """You turn a question about a video into search requests, as JSON:
"asr": one sentence to look for in what is spoken, or null when speech cannot help;
"det": at most five physical things to look for in the picture, nouns without articles, or [];
"type": any of "location", "number", "relation": what must be known of these things;
"captions": one to three short statements that a matching picture would bear out, or [];
"time": where in the video: [{"kind": "beginning" or "end"}] or [{"kind": "after", "before", "next", "previous" or \
"during", "text": the event}], else [];
"scope": "moment", "whole" for a question about all of the video, or "several" videos;
"negations": what the question excludes, or [].
Write only what the question itself holds. Do not answer it."""
_PLACE = re.compile(r"\b(where|which side|left|right|corner|cent(?:er|re)|middle|top|bottom|position|located)\b", re.I)
_RELATION = re.compile(
    r"\b(next to|beside|behind|in front of|above|below|under|underneath|on top of|between|near|close to|hold(?:s|ing)?|"
    r"wear(?:s|ing)?|carr(?:y|ies|ying)|sit(?:s|ting)?|stand(?:s|ing)?|rid(?:e|es|ing))\b",
    re.I,
)
_SEEN = re.compile(
    r"\b(shown?|shows|showing|see|seen|visible|appears?|look(?:s|ing)?|picture[sd]?|photo\w*|image\w*|frames?|"
    r"on (?:the )?screen|scene|colou?rs?|wear(?:s|ing)?|hold(?:s|ing)?|animals?|objects?|pattern|doing|background|"
    r"hangs?|stands?|depicted|displayed|take place|"
    r"camera (?:moves?|pans?|zooms?|turns?|tilts?|shows?|follows?|focus\w*))\b",
    re.I,
)
SAID = re.compile(
    r"\b(say|says|said|saying|mention\w*|talk\w*|speak\w*|spoken|narrat\w*|tell|tells|told|explain\w*|discuss\w*|"
    r"according to|call(?:s|ed)?|describ\w*|ask(?:s|ed)?|hear|heard|words?|claim\w*|announce\w*|advice|advise\w*)\b",
    re.I,
)
_SIGN = r"(?:sign|text|poster|banner|screen|board|plate|card|note|letter|label|badge|envelope|door|wall)s?"
WRITTEN = re.compile(
    r"\b(?:written|printed|titled?|headed|heading|caption(?:ed)?|slides?|label(?:led)?|spelled|(?:what|which) text|"
    rf"(?:web|e-?mail) address|folien?|diapositivas?|diapos?|слайд\w*|"
    rf"(?:says?|reads?|words?|address)\b(?: \w+){{0,3}} on (?:the|a|his|her|their) {_SIGN})\b",
    re.I,
)
_SPEAKING = re.compile(
    rf"\b{_SIGN}(?: (?!(?:while|when|as|narrator|speaker|voice|he|she|they|we)\b)\w+){{0,5}}? (?:say|read|tell)s?\b",
    re.I,
)
_HELD = re.compile(
    r"\b(?:on|with|in|of|by|at|near|behind|hold\w*|carry\w*|wear\w*|read\w*)(?: (?:the|a|an|his|her))? $", re.I
)
_WHY = re.compile(r"\b(why|reason\w*|purpose|theme|mean(?:s|ing)?|because|opinion|believe\w*|think\w*)\b", re.I)
_DETERMINER = re.compile(
    r"^(what|which|the|a|an|this|that|these|those|his|her|their|its|any|some|two|three|four|five|old|many)$"
)
_ABSTRACT = frozenset(
    "video videos clip film movie speaker narrator question answer time times moment beginning start end part name "
    "names number numbers word words sentence topic reason purpose way kind type sort colour color day days year "
    "years month months week hour hours minute minutes second seconds place places thing things title titles text "
    "code order side left right top bottom middle screen picture pictures photo photos image images frame frames "
    "scene scenes slide slides first last next main following password remark mistake statement story event "
    "password page line lines subtitle object objects content contents topic theme idea point focus message summary "
    "option options event events following method methods step steps attempt attempts evaluation opinion attitude "
    "performance relationship background profession job concept segment section element attention feature features "
    "height length size weight distance speed location whereabouts setting style mood tone genre emotion feeling "
    "irregularities irregularity anomaly instance instances activity activities action actions behavior behaviour "
    "skill skills power powers result results outcome effect cause meaning explanation difference similarity change "
    "changes problem problems information fact facts detail details process role character's protagonist process "
    "breath sound voice music correctly initially".split()
)
_BREAK = cues.ENDS | frozenset(
    "say says said show shows shown appear appears stand stands hold holds wear wears given see sees seen happen "
    "happens happened see find found mention mentions mentioned talk talks really right".split()
)


def by_rules(question: str) -> Request:
    """The request of a question by rules alone; never fails, whatever the text."""
    text = " ".join(question.split())
    things = _things(text)
    said, seen = bool(SAID.search(text)), bool(_SEEN.search(text))
    kinds: list[Relation] = []
    if cues.NUMBER.search(text):
        kinds.append("number")
    if _PLACE.search(text):
        kinds.append("location")
    if _RELATION.search(text):
        kinds.append("relation")
    seen = seen or bool(kinds and any(n in t for t in things for n in NAMES))
    statement = declarative(text)
    captions = tuple(dict.fromkeys([*(f"a photo of {t}" for t in things), statement])) if seen or things else ()
    asr = None if (seen and not said and not cues.quoted(text) and not _WHY.search(text)) else statement
    return Request(
        asr=asr,
        det=tuple(things),
        type=tuple(kinds) if things else (),
        captions=captions[: MOST_THINGS + 1],
        time=cues.times(text),
        negations=cues.negations(text),
        stretch=named_stretch(text),
        visual=seen,
        anchor=_anchor(text),
    )


def _anchor(text: str) -> Literal["speech", "text"] | None:
    signs = (m for m in _SPEAKING.finditer(text) if not _HELD.search(text[: m.start()]))  # not who holds one
    if WRITTEN.search(text) or any(signs):
        return "text"
    return "speech" if SAID.search(text) else None


def declarative(question: str) -> str:
    """The question without its question words, nearer to a statement that answers it."""
    text = question.rstrip(" ?.!")
    text = re.sub(
        r"^(?:(?:at|in|on|from|to|by|with|for) )?(?:what|which|who|whom|whose|where|when|why|how(?: many| much| long| "
        r"old| far)?)\b\s*(?:(?:kind|type|sort) of\s+)?(?:(?:is|are|was|were|do|does|did|has|have|had|can|will)\b\s*)?",
        "",
        text,
        flags=re.I,
    )
    return text.strip() or question


def _things(question: str) -> list[str]:
    """Physical things that the question names: noun phrases after determiners or a count, and known object names."""
    tokens = re.findall(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", re.sub(r'"[^"]*"|“[^”]*”', " ; ", question).lower())
    found: list[str] = []
    for i, token in enumerate(tokens):
        after_count = token in ("many", "number") or (token == "of" and i and tokens[i - 1] == "number")
        clause = token == "that" and i and tokens[i - 1] not in _BREAK  # "the picture that fills the screen"
        if (_DETERMINER.match(token) and not clause) or after_count:
            phrase: list[str] = []
            for word in tokens[i + 1 : i + 5]:
                if word in _BREAK or (phrase and word.endswith("ing")) or len(phrase) == 3:
                    break
                phrase.append(word)
            while phrase and phrase[0] in _ABSTRACT and len(phrase) > 1:
                phrase.pop(0)
            if phrase and phrase[-1] not in _ABSTRACT and len(phrase[-1]) > 2:
                found.append(" ".join(phrase))
    lower = question.lower()
    known = [n for n in NAMES if n in lower and re.search(rf"\b{re.escape(n)}(?:e?s)?\b", lower)]
    found += [n for n in known if not any(n in f for f in found)]
    return list(dict.fromkeys(found))[:MOST_THINGS]


class _Time(BaseModel):
    model_config = ConfigDict(extra="ignore")
    kind: When
    text: str | None = Field(None, max_length=300)


class _Reply(BaseModel):
    """The schema that a language model must fill."""

    model_config = ConfigDict(extra="ignore")
    asr: str | None = Field(None, max_length=1000)
    det: list[str] = Field(default_factory=list, max_length=20)
    type: list[Relation] = Field(default_factory=list)
    captions: list[str] = Field(default_factory=list, max_length=20)
    time: list[_Time] = Field(default_factory=list, max_length=8)
    scope: Scope = "moment"
    negations: list[str] = Field(default_factory=list, max_length=8)


def prompt(question: str) -> list[Message]:
    """Asks for the request of a question, as JSON."""
    return [Message(role="system", text=_PROMPT), Message(role="user", text=f"Question: {question}")]


def by_model(question: str, complete: Callable[..., Reply]) -> tuple[Request, str | None]:
    """The request as a language model sees it, and a note where it failed and the rules stepped in.  ``complete``: the
    method of :class:`.LanguageModel`.

    Where the model wants nothing of a kind, nothing is looked for; the event that a question names stays what the rules
    read off its words.
    """
    ruled = by_rules(question)
    try:
        reply = complete(prompt(question), schema=_Reply.model_json_schema(), max_tokens=400)
        told = _Reply.model_validate(json.loads(reply.text))
    except (ValidationError, ValueError, RecursionError) as e:
        return ruled, f"the model's request was not usable ({type(e).__name__}); rules were used"
    except VidragError as e:
        return ruled, f"the model did not decouple the question ({one_line(e, 120)}); rules were used"
    things = _clean(told.det)
    hints = [TimeHint(kind=t.kind, text=(t.text or "").strip() or None) for t in told.time]
    events = {"after", "before", "next", "previous", "during"}
    hints = [h for h in hints if h.kind != "at" and (h.text or h.kind not in events)]
    return replace(
        ruled,
        asr=told.asr or None,
        det=things,
        captions=_clean(told.captions) or tuple(f"a photo of {t}" for t in things),
        type=tuple(dict.fromkeys(told.type)) if things else (),
        time=ruled.time or tuple(dict.fromkeys(hints)),
        scope=told.scope,
        negations=_clean(told.negations) or ruled.negations,
    ), None


def _clean(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(t.strip()[:200] for t in texts if t.strip()))[:MOST_THINGS]
