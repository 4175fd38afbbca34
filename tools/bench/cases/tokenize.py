"""Text to ids and back: short calls, batches, long text, decoding, loading; WordPiece and byte-level BPE."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tools.bench import Case, Workload, material

SHORT = "The quick brown fox jumps over the lazy dog, doesn't it?"
CALLS = 2_000


def documents() -> list[str]:
    """1,000 texts of 5 to 300 words, drawn as words are in texts: few often, many rarely."""
    draw = random.Random(0)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(draw.choices(letters, k=draw.randrange(2, 10))) for _ in range(8_000)]
    weights = [1 / (rank + 2) for rank in range(len(words))]
    return [" ".join(draw.choices(words, weights, k=draw.randrange(5, 300))) + "." for _ in range(1_000)]


def prepare(folder: Path) -> None:
    """The real MiniLM vocabulary, a byte-level one of 50,000 tokens, and one of 128,000 as it comes from a Hub."""
    import shutil

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    source = material.minilm()
    (folder / "wordpiece").mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(source / name, folder / "wordpiece" / name)
    rust = Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    rust.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=50_000,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator([*documents(), SHORT], trainer)
    write(folder / "bytes", json.loads(rust.to_str()))
    large = json.loads(rust.to_str())
    vocab, merges = large["model"]["vocab"], large["model"]["merges"]
    draw = random.Random(1)
    tokens = list(vocab)
    while len(vocab) < 128_000:
        first, second = draw.choice(tokens), draw.choice(tokens)
        if first + second not in vocab and len(first + second) < 14 and "<" not in first + second:
            merges.append([first, second] if isinstance(merges[0], list) else f"{first} {second}")
            vocab[first + second] = len(vocab)
    write(folder / "large", large)
    many = json.loads(rust.to_str())
    many["added_tokens"] += [
        {**many["added_tokens"][0], "id": len(many["model"]["vocab"]) + n, "content": f"<added {n}>"}
        for n in range(50_000)
    ]
    write(folder / "added", many)


def write(folder: Path, document: dict[str, Any]) -> None:
    folder.mkdir()
    (folder / "tokenizer.json").write_text(json.dumps(document, ensure_ascii=False))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "model_max_length": 1024,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def load_ours(folder: Path) -> Any:
    from hf_tokenize import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def load_peer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


Load = Callable[[Path], Any]


def short_calls(load: Load, kind: str) -> Callable[[Path], Workload]:
    def setup(folder: Path) -> Workload:
        tokenizer = load(folder / kind)

        def workload() -> dict[str, float]:
            ids: list[int] = []
            for _ in range(CALLS):
                ids = tokenizer(SHORT)["input_ids"]
            return {"check": float(sum(ids))}

        return workload

    return setup


def padded_batch(load: Load, kind: str) -> Callable[[Path], Workload]:
    def setup(folder: Path) -> Workload:
        import torch

        tokenizer, texts = load(folder / kind), documents()

        def workload() -> dict[str, float]:
            batch = tokenizer(texts, padding=True, truncation=True, max_length=512, return_tensors="pt")
            return {
                "check": float(torch.sum(batch["input_ids"])),
                "tokens": float(batch["attention_mask"].sum()),
            }

        return workload

    return setup


def one_by_one(load: Load, kind: str) -> Callable[[Path], Workload]:
    def setup(folder: Path) -> Workload:
        tokenizer, texts = load(folder / kind), documents()

        def workload() -> dict[str, float]:
            lengths = [len(tokenizer(text)["input_ids"]) for text in texts]
            return {"check": float(sum(lengths)), "tokens": float(sum(lengths))}

        return workload

    return setup


def new_words(load: Load, kind: str) -> Callable[[Path], Workload]:
    """Texts of which no word was ever seen: what memory of words cannot help with."""

    def setup(folder: Path) -> Workload:
        tokenizer, draw = load(folder / kind), random.Random(3)

        def workload() -> dict[str, float]:
            total = 0
            for _ in range(100):
                words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(150)]
                total += len(tokenizer(" ".join(words))["input_ids"])
            return {"tokens": float(total)}

        return workload

    return setup


def decoding(load: Load, kind: str) -> Callable[[Path], Workload]:
    def setup(folder: Path) -> Workload:
        tokenizer = load(folder / kind)
        rows = [tokenizer(text)["input_ids"] for text in documents()]

        def workload() -> dict[str, float]:
            texts = tokenizer.batch_decode(rows, skip_special_tokens=True)
            return {"check": float(sum(map(len, texts)))}

        return workload

    return setup


def loading(load: Load, kind: str) -> Callable[[Path], Workload]:
    def setup(folder: Path) -> Workload:
        load(folder / "wordpiece")  # imports are not what is timed

        def workload() -> dict[str, float]:
            return {"check": float(len(load(folder / kind)))}

        return workload

    return setup


def pair(
    name: str, make: Callable[[Load, str], Callable[[Path], Workload]], kind: str, goal: float | None
) -> Case:
    return Case(
        name=f"tokenize-{name}",
        ours=make(load_ours, kind),
        peer=make(load_peer, kind),
        prepare=prepare,
        goal=goal,
    )


CASES = (
    pair("short-wordpiece", short_calls, "wordpiece", 1.8),
    pair("short-byte-level", short_calls, "bytes", 8),
    pair("batch-tensors-wordpiece", padded_batch, "wordpiece", 2.5),
    pair("batch-tensors-byte-level", padded_batch, "bytes", 2.5),
    pair("one-by-one-byte-level", one_by_one, "bytes", 4),
    pair("new-words-wordpiece", new_words, "wordpiece", None),
    pair("new-words-byte-level", new_words, "bytes", None),
    pair("decode-wordpiece", decoding, "wordpiece", 1.8),
    pair("decode-byte-level", decoding, "bytes", 1.8),
    pair("load-128k", loading, "large", 1.5),
    pair("load-50k-added", loading, "added", None),
)
