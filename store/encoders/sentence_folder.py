"""What a folder of sentence-transformers says of its model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..engines.pretrained import head


@dataclass(frozen=True, slots=True)
class SentenceFolder:
    """``pooling``: ``cls`` or ``mean``; prefixes of questions and of what is looked through; ``max_tokens``: None where
    it says nothing.
    """

    pooling: str
    query: str
    document: str
    max_tokens: int | None

    @classmethod
    def of(cls, folder: Path) -> SentenceFolder:
        """Pooling, prefixes and length that a folder names; the defaults elsewhere."""
        pooling = head(folder / "1_Pooling" / "config.json")
        prompts = head(folder / "config_sentence_transformers.json").get("prompts") or {}
        prompts = prompts if isinstance(prompts, dict) else {}
        longest = head(folder / "sentence_bert_config.json").get("max_seq_length")
        return cls(
            "cls" if pooling.get("pooling_mode_cls_token") else "mean",
            str(prompts.get("query") or ""),
            str(prompts.get("document") or prompts.get("passage") or ""),
            longest if isinstance(longest, int) and longest > 0 else None,
        )
