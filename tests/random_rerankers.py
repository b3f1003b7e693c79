"""A cross-encoder of the real class with few weights, all random, and its tokenizer made on the spot."""

from __future__ import annotations

from pathlib import Path


def cross_encoder(folder: Path, outputs: int = 1) -> Path:
    """Saves it in the layout of transformers."""
    import torch
    from random_detectors import _word_piece
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    torch.manual_seed(0)
    tokenizer = BertTokenizerFast(tokenizer_object=_word_piece())
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
        max_position_embeddings=64, num_labels=outputs,
    )  # fmt: skip
    BertForSequenceClassification(config).eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
