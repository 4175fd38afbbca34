"""Vocabularies of repositories without a `tokenizer.json`: the first file we know, converted."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import tokenizers

from hf_tokenize.characters import byt5_engine, canine_engine
from hf_tokenize.convert.bpe_files import build_bpe, parse_merges, parse_vocab_json
from hf_tokenize.convert.ranks import build_ranks, build_tekken, is_tiktoken, parse_tiktoken
from hf_tokenize.convert.sentencepiece import SentencePieceModel, parse_sentencepiece
from hf_tokenize.convert.spm_engine import build_spm
from hf_tokenize.convert.templates import apply_template, bos_eos_template
from hf_tokenize.convert.word_files import build_letters, build_wordpiece, build_words, parse_vocab_txt
from hf_tokenize.engine import Engine, RustEngine
from hf_tokenize.errors import TokenizerFilesError
from hf_tokenize.families import FAMILIES, NO_FACTS, TokenizerFamily
from hf_tokenize.load.files import TOKENIZER_JSON
from hf_tokenize.load.tokenizer_json import add_missing
from hf_tokenize.load.vocabulary import Order, Vocabulary
from hf_tokenize.patterns import CL100K
from hf_tokenize.special import ROLES, AddedToken, SpecialTokens
from hf_tokenize.wrappers import RemappedEngine

TEKKEN: Final = "tekken.json"
VOCAB_JSON: Final = "vocab.json"
MERGES: Final = "merges.txt"
VOCAB_TXT: Final = "vocab.txt"
SPM_NAMES: Final = (
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
    "spm.model",
    "tiktoken.model",
)
_LETTER_CLASSES: Final = frozenset({"Wav2Vec2CTCTokenizer", "Wav2Vec2Tokenizer"})
_TWO_PART_CLASSES: Final = frozenset({"MarianTokenizer", "M2M100Tokenizer", "Speech2TextTokenizer"})


def read_other_files(order: Order) -> Vocabulary:
    """The vocabulary of a repository from another file than `tokenizer.json`.

    Raises TokenizerFilesError when there is none, TokenizerFileError, JsonFileError.
    """
    where = order.files.where
    family = family_of(order)
    if order.class_name == "ByT5Tokenizer":
        return Vocabulary(engine=byt5_engine(), special=_BYT5, source="ByT5Tokenizer")
    if order.class_name == "CanineTokenizer":
        return Vocabulary(engine=canine_engine(), special=_CANINE, source="CanineTokenizer")
    if order.class_name in _TWO_PART_CLASSES and order.files.repo.find(VOCAB_JSON) is not None:
        return _two_parts(order)
    if (data := order.read(TEKKEN)) is not None:
        return _finish(order, build_tekken(data, source=where(TEKKEN)), _TEKKEN_ROLES, TEKKEN, "bos A")
    for name in (*SPM_NAMES, *_named(order, ".tiktoken")):
        if (data := order.read(name)) is not None:
            return _tiktoken(order, data, name) if is_tiktoken(data) else _sentencepiece(order, data, name)
    if (data := order.read(VOCAB_JSON)) is not None:
        return _vocab_json(order, data)
    if (data := order.read(VOCAB_TXT)) is not None:
        special = complete_roles(order.special, family_of(order).roles if order.class_name else _bert_roles())
        vocab = parse_vocab_txt(data, source=where(VOCAB_TXT))
        family = family if order.class_name else FAMILIES["BertTokenizer"]
        rust = build_wordpiece(vocab, family, special, order.files.config)
        return _finish(replace(order, special=special), rust, special, VOCAB_TXT, family.template)
    raise TokenizerFilesError(
        f"{order.files.repo.id} has none of {TOKENIZER_JSON}, {TEKKEN}, {', '.join(SPM_NAMES)}, *.tiktoken, "
        f"{VOCAB_JSON}, {VOCAB_TXT}",
        fix="check the folder, subfolder= and revision=; tokenizers without files need tokenizer_class in "
        "tokenizer_config.json",
    )


def family_of(order: Order) -> TokenizerFamily:
    """What the class says beyond its files."""
    return FAMILIES.get(order.class_name or "", NO_FACTS)


def complete_roles(given: SpecialTokens, defaults: SpecialTokens) -> SpecialTokens:
    """`given`, with the roles it leaves open filled from `defaults`."""
    for role in ROLES:
        if given.role(role) is None:
            given = given.with_role(role, defaults.role(role))
    return given


def _finish(
    order: Order,
    rust: tokenizers.Tokenizer,
    defaults: SpecialTokens,
    source: str,
    template: str | None,
) -> Vocabulary:
    """Fills roles, adds special tokens, and applies the template that configuration or family asks for."""
    given = complete_roles(order.special, family_of(order).roles)
    special = _present(complete_roles(given, defaults), order.special, rust)
    mask = special.mask_token if family_of(order).mask_takes_space else None
    roles = [AddedToken(content=token, lstrip=token == mask) for token in special.all()]
    add_missing(rust, [*order.added, *roles])
    config = order.files.config
    if (
        "add_bos_token" in config
        or "add_eos_token" in config
        or (template is None and family_of(order).adds_bos)
    ):
        template = bos_eos_template(
            bos=config.get("add_bos_token", family_of(order).adds_bos) is True,
            eos=config.get("add_eos_token") is True,
        )
    if template is not None:
        apply_template(rust, template, special)
    return Vocabulary(engine=RustEngine(rust), special=special, source=source)


def _present(special: SpecialTokens, given: SpecialTokens, rust: tokenizers.Tokenizer) -> SpecialTokens:
    """Without those default roles whose token this vocabulary does not have; what a file names stays."""
    for role in ROLES:
        token = special.role(role)
        if token is not None and given.role(role) is None and rust.token_to_id(token) is None:
            special = special.with_role(role, None)
    return special


def _named(order: Order, ending: str) -> list[str]:
    return [name for name in order.files.repo.list() if name.endswith(ending) and "/" not in name]


def _sentencepiece(order: Order, data: bytes, name: str) -> Vocabulary:
    model = parse_sentencepiece(data, source=order.files.where(name))
    family = family_of(order)
    rust = build_spm(model, family, order.files.config, source=order.files.where(name))
    defaults = _model_roles(model) if family is NO_FACTS else SpecialTokens()
    template = None if family.adds_bos or family is NO_FACTS else family.template
    return _finish(order, rust, defaults, name, template)


def _model_roles(model: SentencePieceModel) -> SpecialTokens:
    return SpecialTokens(
        bos_token=model.token(model.bos_id),
        eos_token=model.token(model.eos_id),
        unk_token=model.token(model.unk_id),
        pad_token=model.token(model.pad_id),
    )


def _tiktoken(order: Order, data: bytes, name: str) -> Vocabulary:
    ranks = parse_tiktoken(data, source=order.files.where(name))
    pattern = order.files.config.get("pattern", order.files.config.get("pat_str"))
    rust = build_ranks(
        ranks,
        pattern=pattern if isinstance(pattern, str) else CL100K,
        special=order.added,
        source=order.files.where(name),
    )
    return _finish(order, rust, SpecialTokens(), name, None)


def _vocab_json(order: Order, data: bytes) -> Vocabulary:
    where = order.files.where
    vocab = parse_vocab_json(data, source=where(VOCAB_JSON))
    merges = order.read(MERGES)
    special = complete_roles(order.special, family_of(order).roles)
    if merges is None:
        if order.class_name in _LETTER_CLASSES:
            special = complete_roles(special, _LETTERS)
            rust = build_letters(vocab, special, order.files.config)
        else:
            rust = build_words(vocab, special)
        return _finish(order, rust, special, VOCAB_JSON, None)
    pairs = parse_merges(merges, vocab, source=where(MERGES))
    rust = build_bpe(vocab, pairs, family_of(order), special, order.files.config, class_name=order.class_name)
    template = None if family_of(order).template == NO_FACTS.template else family_of(order).template
    return _finish(order, rust, special, VOCAB_JSON, template)


def _two_parts(order: Order) -> Vocabulary:
    """Pieces from SentencePiece models, ids from `vocab.json`: Marian, M2M100, Speech2Text."""
    special = complete_roles(order.special, family_of(order).roles)
    vocab = parse_vocab_json(order.read(VOCAB_JSON) or b"{}", source=order.files.where(VOCAB_JSON))
    for token in special.extra:
        vocab.setdefault(token, max(vocab.values()) + 1)
    kept = [(VOCAB_JSON, order.read(VOCAB_JSON) or b"")]
    engines: list[Engine] = []
    names = ("source.spm", "target.spm") if order.class_name == "MarianTokenizer" else SPM_NAMES
    for name in names:
        data = order.read(name)
        if data is None:
            continue
        kept.append((name, data))
        model = parse_sentencepiece(data, source=order.files.where(name))
        rust = build_spm(model, NO_FACTS, {}, source=order.files.where(name))
        codes = [token for token in vocab if token.startswith(">>") and token.endswith("<<")]
        add_missing(rust, [AddedToken(content=token) for token in (*special.all(), *codes)])
        if order.class_name != "M2M100Tokenizer":
            apply_template(rust, family_of(order).template, special)
        own = vocab
        if len(engines) == 1 and (other := order.read("target_vocab.json")) is not None:
            own = parse_vocab_json(other, source=order.files.where("target_vocab.json"))
            kept.append(("target_vocab.json", other))
        unk = special.unk_token or "<unk>"
        engines.append(RemappedEngine(RustEngine(rust), own, unk=unk, special=special.all()))
    if not engines:
        raise TokenizerFilesError(f"{order.files.repo.id} has {VOCAB_JSON} and none of {', '.join(names)}")
    return Vocabulary(
        engine=engines[0],
        special=special,
        source=VOCAB_JSON,
        target=engines[1] if len(engines) > 1 else None,
        files=tuple(kept),
    )


_BYT5: Final = SpecialTokens(
    eos_token="</s>",
    unk_token="<unk>",
    pad_token="<pad>",
    extra=tuple(f"<extra_id_{i}>" for i in range(125)),
)
_CANINE: Final = SpecialTokens(
    bos_token="\ue000",
    eos_token="\ue001",
    sep_token="\ue001",
    cls_token="\ue000",
    pad_token="\x00",
    mask_token="\ue003",
)
_TEKKEN_ROLES: Final = SpecialTokens(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
_LETTERS: Final = SpecialTokens(bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>")


def _bert_roles() -> SpecialTokens:
    return FAMILIES["BertTokenizer"].roles
