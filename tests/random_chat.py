"""Language models of the real classes that say what a test wants: few weights, nothing fetched, nothing trained.

Attention and perceptrons add nothing, so that the next token follows from the last one alone, and the output weights
hold a chain of tokens.  Processors, templates, pictures, generation and probabilities are the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

SAID = '{"citations": ["E2"], "choice": "B", "answerable": true, "answer": "Next to the blue staircase."}'
KINDS = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "llava_onevision", "llava_next_video", "qwen2", "llama")
SEEING = KINDS[:5]
_MARKS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>",
    "<|video_pad|>", "<image>", "<video>",
)  # fmt: skip
_QWEN_PICTURES = (
    "{% if p.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif p.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ p.text }}{% endif %}"
)
_LLAVA_PICTURES = (
    "{% if p.type == 'image' %}<image>{% elif p.type == 'video' %}<video>{% else %}{{ p.text }}{% endif %}"
)
_TEXT = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "tie_word_embeddings": False, "max_position_embeddings": 4096,
}  # fmt: skip


def template(kind: str, system: bool = True) -> str:
    """A chat template like that of the kind; without ``system`` one that refuses a system message, as Gemma's does."""
    refuse = "" if system else "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    parts = {"qwen2": None, "llama": None, "llava_onevision": _LLAVA_PICTURES, "llava_next_video": _LLAVA_PICTURES}.get(
        kind, _QWEN_PICTURES
    )
    content = f"{{% for p in m.content %}}{parts}{{% endfor %}}" if parts else "{{ m.content }}"
    return (
        f"{{% for m in messages %}}{refuse}<|im_start|>{{{{ m.role }}}}\n{content}<|im_end|>\n{{% endfor %}}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def saved(folder: Path, kind: str, said: str = SAID, system: bool = True, live: bool = False, **text: Any) -> Path:
    """A folder with a model of ``kind`` that says ``said`` to everything, and B by the probability of its letter.

    ``live``: of random weights throughout, which says anything; ``text``: of the language model's config.
    """
    import torch

    tokenizer = _tokenizer(said)
    torch.manual_seed(0)
    model, processor = globals()[f"_{kind}"](tokenizer, {**_TEXT, "vocab_size": len(tokenizer), **text})
    if not live:
        _chained(model, tokenizer, [tokenizer.convert_tokens_to_ids(t) for t in ("\u010a", said, "<|im_end|>")])
    folder.mkdir(parents=True, exist_ok=True)
    processor.chat_template = template(kind, system)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def _chained(model: Any, tokenizer: Any, chain: Sequence[int]) -> None:
    import torch

    with torch.no_grad():
        language = getattr(model.model, "language_model", model.model)
        for layer in language.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embedded = language.embed_tokens.weight
        embedded.normal_()
        hidden = embedded / embedded.pow(2).mean(-1, keepdim=True).sqrt()
        head = model.lm_head.weight.zero_()
        for last, following in pairwise(chain):
            head[following] += 10 * hidden[last] / hidden.shape[-1]
        head[tokenizer.convert_tokens_to_ids("B")] += 9 * hidden[chain[0]] / hidden.shape[-1]


def _tokenizer(said: str) -> Any:
    """Qwen's kind of tokenizer: bytes, marks, and ``said`` as one token."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(["the"], trainers.BpeTrainer(vocab_size=len(alphabet) + 2, initial_alphabet=alphabet))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|endoftext|>", additional_special_tokens=[*_MARKS]
    )
    tokenizer.add_tokens([AddedToken(said, special=False, normalized=False)])
    return tokenizer


def _ids(tokenizer: Any) -> dict[str, int]:
    names = ("image", "video", "vision_start", "vision_end")
    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    return {f"{n}_token_id": tokenizer.convert_tokens_to_ids(m) for n, m in zip(names, marks, strict=True)}


def _qwen_pictures(tokenizer: Any, processor: str, patch: int = 14, videos: str = "Qwen2VLVideoProcessor") -> Any:
    import transformers as t

    limits = {"size": {"shortest_edge": 28 * 28, "longest_edge": 28 * 28 * 16}, "patch_size": patch}
    return getattr(t, processor)(t.Qwen2VLImageProcessor(**limits), tokenizer, getattr(t, videos)(**limits))


_ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}}


def _qwen2_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    eyes = {"depth": 1, "embed_dim": 16, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 1, "patch_size": 14}
    config = t.Qwen2VLConfig(
        text_config={**text, **_ROPE}, vision_config=eyes, tie_word_embeddings=False, **_ids(tokenizer)
    )
    return t.Qwen2VLForConditionalGeneration(config), _qwen_pictures(tokenizer, "Qwen2VLProcessor")


def _qwen2_5_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    eyes = {
        "depth": 1, "hidden_size": 16, "out_hidden_size": 32, "num_heads": 2, "intermediate_size": 16, "patch_size": 14,
        "window_size": 56, "fullatt_block_indexes": [0],
    }  # fmt: skip
    config = t.Qwen2_5_VLConfig(
        text_config={**text, **_ROPE}, vision_config=eyes, tie_word_embeddings=False, **_ids(tokenizer)
    )
    return t.Qwen2_5_VLForConditionalGeneration(config), _qwen_pictures(tokenizer, "Qwen2_5_VLProcessor")


def _qwen3_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    eyes = {
        "depth": 1, "hidden_size": 16, "out_hidden_size": 32, "num_heads": 2, "intermediate_size": 16, "patch_size": 16,
        "deepstack_visual_indexes": [], "num_position_embeddings": 64,
    }  # fmt: skip
    config = t.Qwen3VLConfig(
        text_config={**text, **_ROPE, "head_dim": 8}, vision_config=eyes, tie_word_embeddings=False, **_ids(tokenizer)
    )
    pictures = _qwen_pictures(tokenizer, "Qwen3VLProcessor", 16, "Qwen3VLVideoProcessor")
    return t.Qwen3VLForConditionalGeneration(config), pictures


def _llava_onevision(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    eyes = {
        "model_type": "siglip_vision_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 56, "patch_size": 14, "vision_use_head": False,
    }  # fmt: skip
    grid = [[56, 56], [56, 112], [112, 56], [112, 112]]
    config = t.LlavaOnevisionConfig(
        vision_config=eyes, text_config={"model_type": "qwen2", **text}, image_grid_pinpoints=grid,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"), tie_word_embeddings=False,
    )  # fmt: skip
    size = {"height": 56, "width": 56}
    processor = t.LlavaOnevisionProcessor(
        t.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grid), tokenizer,
        t.LlavaOnevisionVideoProcessor(size=size), num_image_tokens=16, vision_feature_select_strategy="full",
    )  # fmt: skip
    return t.LlavaOnevisionForConditionalGeneration(config), processor


def _llava_next_video(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    eyes = {
        "model_type": "clip_vision_model", "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 56, "patch_size": 14, "projection_dim": 16,
    }  # fmt: skip
    grid = [[56, 112], [112, 56], [112, 112]]
    config = t.LlavaNextVideoConfig(
        vision_config=eyes, text_config={"model_type": "llama", **text}, image_grid_pinpoints=grid,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<video>"), tie_word_embeddings=False,
        image_seq_length=16, video_seq_length=4,
    )  # fmt: skip
    size = {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}
    processor = t.LlavaNextVideoProcessor(
        t.LlavaNextVideoVideoProcessor(**size), t.LlavaNextImageProcessor(image_grid_pinpoints=grid, **size), tokenizer,
        patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1,
    )  # fmt: skip
    return t.LlavaNextVideoForConditionalGeneration(config), processor


def _qwen2(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    return t.Qwen2ForCausalLM(t.Qwen2Config(**text)), tokenizer


def _llama(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    return t.LlamaForCausalLM(t.LlamaConfig(**text)), tokenizer
