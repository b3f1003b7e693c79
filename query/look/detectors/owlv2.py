"""OWLv2: finds what a phrase names (Minderer et al., 2023, arXiv 2306.09683), through transformers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ....store.encoders import Picture
from .open_vocabulary import OpenVocabulary, OpenVocabularyOptions
from .phrases import check_prompt, corners, out_of_square

_MOST = 64
"""Phrases at a time."""


class Owlv2Options(OpenVocabularyOptions):
    """``prompt``: what the text encoder is given for a phrase, which stands for ``{}``."""

    model: str = Field("hf:google/owlv2-base-patch16-ensemble", min_length=1)
    threshold: float = Field(0.2, ge=0, le=1)
    overlap: float = Field(0.5, ge=0, le=1)
    prompt: str = "a photo of a {}"


class Owlv2(OpenVocabulary):
    """Each patch of the picture is a box, named by the phrase whose vector it fits best."""

    Options = Owlv2Options
    requires = ("torch", "transformers", "PIL", "torchvision")
    extra = "vision"
    name = "owlv2"
    kinds = ("owlv2",)

    def __init__(self, options: Owlv2Options) -> None:
        check_prompt(options.prompt, self.name)
        super().__init__(options)
        self.options = options
        self._longest = self._model.config.text_config.max_position_embeddings

    def _portions(self, wanted: list[str]) -> list[list[str]]:
        return [wanted[at : at + _MOST] for at in range(0, len(wanted), _MOST)]

    def _see(
        self, pictures: Sequence[Picture], wanted: Sequence[str]
    ) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        import torch

        read = self._processor.tokenizer(
            [self.options.prompt.replace("{}", w) for w in wanted] * len(pictures),
            padding="max_length",
            truncation=True,
            max_length=self._longest,
            return_tensors="pt",
        )
        looked = self._processor.image_processor(images=[p.copy() for p in pictures], return_tensors="pt")
        with torch.inference_mode():
            out = self._model(
                input_ids=read["input_ids"].to(self._where),
                attention_mask=read["attention_mask"].to(self._where),
                pixel_values=looked["pixel_values"].to(self._where, next(self._model.parameters()).dtype),
            )
            scores = out.logits.float().sigmoid().cpu()
            boxes = corners(out.pred_boxes.float().cpu().numpy())
        return [(scores[i].numpy(), out_of_square(boxes[i], *p.shape[:2])) for i, p in enumerate(pictures)]
