"""Grounding DINO: finds what a phrase names (Liu et al., 2023, arXiv 2303.05499), through transformers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ....store.encoders import Picture
from ....store.errors import ModelMissing
from .open_vocabulary import OpenVocabulary, OpenVocabularyOptions
from .phrases import corners


class GroundingDinoOptions(OpenVocabularyOptions):
    """``text_threshold``: least score of the words of a phrase in a box, for the box to be named so; the score of a
    box is that of its best word, as published.
    """

    model: str = Field("hf:IDEA-Research/grounding-dino-tiny", min_length=1)
    threshold: float = Field(0.35, ge=0, le=1)
    text_threshold: float = Field(0.25, ge=0, le=1)


class GroundingDino(OpenVocabulary):
    """All phrases are one text, "cup. red mug.", and each box has a score for each of its tokens.

    The published reading joins the tokens that pass into a name, which may mix two phrases.  Here a box belongs to the
    phrase that holds its best token.
    """

    Options = GroundingDinoOptions
    name = "grounding-dino"
    kinds = ("grounding-dino", "mm-grounding-dino")

    def __init__(self, options: GroundingDinoOptions) -> None:
        super().__init__(options)
        self.options = options
        self._tokenizer = self._processor.tokenizer
        if not self._tokenizer.is_fast:
            raise ModelMissing(f"{options.model}: its tokenizer has no tokenizer.json; make one with transformers")
        config = self._model.config
        places = getattr(config.text_config, "max_position_embeddings", config.max_text_len)
        self._longest = min(config.max_text_len, places)

    def _portions(self, wanted: list[str]) -> list[list[str]]:
        out: list[list[str]] = []
        left = 0
        for w in wanted:
            cost = len(self._tokenizer(f"{w}.", add_special_tokens=False)["input_ids"])
            if not out or cost > left:
                out.append([])
                left = self._longest - 2
            out[-1].append(w)
            left -= cost
        return out

    def _see(
        self, pictures: Sequence[Picture], wanted: Sequence[str]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        import torch

        text, spans = "", []
        for w in wanted:
            text += " " if text else ""
            spans.append((len(text), len(text) + len(w)))
            text += f"{w}."
        read = self._tokenizer(
            [text] * len(pictures),
            truncation=True,
            max_length=self._longest,
            return_offsets_mapping=True,
            return_token_type_ids=True,
            return_tensors="pt",
        )
        offsets = read.pop("offset_mapping")[0].tolist()
        looked = self._processor.image_processor(images=[p.copy() for p in pictures], return_tensors="pt")
        pixels = looked["pixel_values"].to(self._where, next(self._model.parameters()).dtype)
        with torch.inference_mode():
            out = self._model(
                pixel_values=pixels, pixel_mask=looked["pixel_mask"].to(self._where), **read.to(self._where)
            )
            tokens = out.logits.float().sigmoid()[..., : len(offsets)]
        scores = torch.zeros(*tokens.shape[:2], len(wanted))
        for i, (start, end) in enumerate(spans):
            own = [t for t, (a, b) in enumerate(offsets) if a < b and a < end and start < b]
            if own:
                scores[..., i] = tokens[..., own].amax(-1).cpu()
        scores[scores < self.options.text_threshold] = 0
        boxes = corners(out.pred_boxes.float().cpu().numpy())
        return list(zip(scores.numpy(), boxes, strict=True))
