"""Detectors of the real classes with few weights, all random, and tokenizers made on the spot: nothing is fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = (
    "a photo of the cat dog bus red mug blue staircase candle apple berry person suitcase locker cup spoon bowl "
    "espresso christmas tree big small cats dogs yellow star balloon"
)


def grounding_dino(folder: Path, seed: int = 0, **changed: Any) -> Path:
    """A Grounding DINO of 12 queries that looks at pictures of 64 pixels."""
    import torch
    from transformers import (
        BertConfig,
        BertTokenizerFast,
        GroundingDinoConfig,
        GroundingDinoForObjectDetection,
        GroundingDinoImageProcessor,
        GroundingDinoProcessor,
        SwinConfig,
    )

    tokenizer = BertTokenizerFast(tokenizer_object=_word_piece())
    torch.manual_seed(seed)
    config = GroundingDinoConfig(
        backbone_config=SwinConfig(
            image_size=64, patch_size=4, embed_dim=8, depths=[1, 1, 1, 1], num_heads=[1, 1, 2, 2], window_size=2,
            out_features=["stage2", "stage3", "stage4"], out_indices=[2, 3, 4],
        ),
        text_config=BertConfig(
            vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=64,
        ),
        d_model=32, encoder_layers=1, decoder_layers=2, encoder_attention_heads=2, decoder_attention_heads=2,
        encoder_ffn_dim=16, decoder_ffn_dim=16, num_queries=12, max_text_len=64, **changed,
    )  # fmt: skip
    model = GroundingDinoForObjectDetection(config)
    _spread(model)
    pictures = GroundingDinoImageProcessor(size={"shortest_edge": 64, "longest_edge": 128})
    return _saved(folder, model, GroundingDinoProcessor(pictures, tokenizer))


def owlv2(folder: Path, seed: int = 0) -> Path:
    """An OWLv2 of 16 patches."""
    import torch
    from transformers import (
        CLIPTokenizerFast,
        Owlv2Config,
        Owlv2ForObjectDetection,
        Owlv2ImageProcessor,
        Owlv2Processor,
        Owlv2TextConfig,
        Owlv2VisionConfig,
    )

    tokenizer = CLIPTokenizerFast(tokenizer_object=_clip_pieces(), pad_token="!", model_max_length=16)
    torch.manual_seed(seed)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    start, end = tokenizer.convert_tokens_to_ids(["<|startoftext|>", "<|endoftext|>"])
    config = Owlv2Config(
        text_config=Owlv2TextConfig(vocab_size=len(tokenizer), bos_token_id=start, eos_token_id=end, **small).to_dict(),
        vision_config=Owlv2VisionConfig(image_size=64, patch_size=16, **small).to_dict(),
        projection_dim=16,
    )
    model = Owlv2ForObjectDetection(config)
    _spread(model)
    pictures = Owlv2ImageProcessor(size={"height": 64, "width": 64})
    return _saved(folder, model, Owlv2Processor(pictures, tokenizer))


def _spread(model: Any) -> None:
    """Heads whose scores and boxes differ from one another and are not all 0 or 1."""
    import torch

    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1 and any(part in name for part in ("class_head", "box_head", "bbox_embed", "text_proj")):
                p.normal_(0, p.shape[-1] ** -0.5)


def _saved(folder: Path, model: Any, processor: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _word_piece() -> Any:
    """BERT's tokenizer over the words of the tests."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    letters = list("abcdefghijklmnopqrstuvwxyz0123456789.?'-")
    made.train_from_iterator(
        [WORDS] * 3, trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, initial_alphabet=letters)
    )
    ends = [("[CLS]", made.token_to_id("[CLS]")), ("[SEP]", made.token_to_id("[SEP]"))]
    made.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=ends)
    return made


def _clip_pieces() -> Any:
    """CLIP's byte pairs over the words of the tests."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    made = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    made.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|startoftext|>", "<|endoftext|>"]
    made.train_from_iterator(
        [WORDS] * 3,
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=["!"],
            end_of_word_suffix="</w>",
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        ),
    )
    made.add_special_tokens(special)  # last, as in CLIP: the vector of a text is read off its token of the highest id
    ends = [(t, made.token_to_id(t)) for t in special]
    made.post_processor = processors.TemplateProcessing("<|startoftext|> $A <|endoftext|>", special_tokens=ends)
    return made
