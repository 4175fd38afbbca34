"""Small tokenizers of every kind, trained here, as folders."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from hf_tokenize import AutoTokenizer, PreTrainedTokenizer

TEXTS = (
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "In 2026, 3.14159 and 1,234,567.89 were still numbers; 0x1F600 was not.",
    "Le café est fermé à Noël. Größere Straßen heißen Ring.",
    "Быстрая лиса. Η γρήγορη αλεπού. الثعلب البني. สุนัขจิ้งจอก. 敏捷的狐狸。素早い狐。빠른 여우.",
    "def main(argv: list[str]) -> int:\n    return sum(x ** 2 for x in range(10))\n",
    "I love 🍕 and 👩‍👩‍👧‍👦 and 👍🏽!!! e\u0301 a\u0308 ﬁ Ⅷ",
    "tabs\tand  double   spaces \n\n new lines\r\n and\u00a0no-break",
)
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def _byte_level(pattern: str | None) -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.BPE())
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pattern is None)
    if pattern is None:
        rust.pre_tokenizer = last
    else:
        rust.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"), last])
    rust.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator(TEXTS, trainer)
    if pattern is not None:
        rust.post_processor = processors.TemplateProcessing(
            single="<|begin|> $A", pair="<|begin|> $A <|begin|>:1 $B:1", special_tokens=[("<|begin|>", 0)]
        )
    return rust


def _sentencepiece_bpe() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    rust.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    rust.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<unk>", "<s>", "</s>", *BYTES],
        limit_alphabet=60,
        show_progress=False,
    )
    rust.train_from_iterator([text.replace(" ", "\n") for text in TEXTS], trainer)
    document = json.loads(rust.to_str())
    document["added_tokens"] = [t for t in document["added_tokens"] if t["content"] not in BYTES]
    rust = tokenizers.Tokenizer.from_str(json.dumps(document))
    rust.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
    )
    return rust


def _unigram() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.Unigram())
    rust.normalizer = normalizers.NFKC()
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=250, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    rust.train_from_iterator(TEXTS, trainer)
    rust.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    return rust


def _wordpiece() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    rust.normalizer = normalizers.BertNormalizer(lowercase=True)
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    rust.train_from_iterator(TEXTS, trainer)
    rust.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return rust


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
BYTE_ROLES = {"bos_token": "<|begin|>", "eos_token": "<|end|>", "pad_token": "<|end|>"}
KINDS: dict[str, tuple[Callable[[], tokenizers.Tokenizer] | None, Mapping[str, object]]] = {
    "byte-level": (lambda: _byte_level(None), BYTE_ROLES),
    "llama3": (lambda: _byte_level(LLAMA3), {**BYTE_ROLES, "padding_side": "left"}),
    "llama2": (
        _sentencepiece_bpe,
        {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"},
    ),
    "unigram": (_unigram, {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}),
    "wordpiece": (
        _wordpiece,
        {
            "unk_token": "[UNK]",
            "sep_token": "[SEP]",
            "pad_token": "[PAD]",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            "model_max_length": 64,
        },
    ),
    "bytes": (None, {"tokenizer_class": "ByT5Tokenizer"}),
    "code points": (None, {"tokenizer_class": "CanineTokenizer"}),
}
LOSSLESS = ("byte-level", "llama3", "llama2", "bytes", "code points")

FolderOf = Callable[[str], Path]
Get = Callable[[str], PreTrainedTokenizer]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> FolderOf:
    """The folder of a kind; tests that write must copy it."""
    root = tmp_path_factory.mktemp("kinds")

    def folder(kind: str) -> Path:
        path = root / kind
        if not path.exists():
            path.mkdir()
            make, config = KINDS[kind]
            if make is not None:
                make().save(str(path / "tokenizer.json"))
            (path / "tokenizer_config.json").write_text(json.dumps(config), "utf-8")
        return path

    return folder


@pytest.fixture(scope="session")
def get(folder_of: FolderOf) -> Get:
    """A tokenizer of a kind, loaded once."""
    loaded: dict[str, PreTrainedTokenizer] = {}

    def tokenizer(kind: str) -> PreTrainedTokenizer:
        if kind not in loaded:
            loaded[kind] = AutoTokenizer.from_pretrained(folder_of(kind))
        return loaded[kind]

    return tokenizer


@pytest.fixture(params=tuple(KINDS))
def each(request: pytest.FixtureRequest, get: Get) -> PreTrainedTokenizer:
    """A tokenizer of each kind in turn."""
    return get(request.param)
