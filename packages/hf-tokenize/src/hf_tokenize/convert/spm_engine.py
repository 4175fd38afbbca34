"""A SentencePiece model as a Rust engine that gives the same pieces for the same text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, assert_never

import tokenizers
from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers

from hf_hub_io import JsonValue
from hf_tokenize.convert.charsmap import is_compatibility_form, parse_charsmap
from hf_tokenize.convert.sentencepiece import ModelKind, Piece, PieceKind, SentencePieceModel
from hf_tokenize.engine import to_rust
from hf_tokenize.errors import TokenizerFileError
from hf_tokenize.families import TokenizerFamily
from hf_tokenize.special import AddedToken

_SPACE: Final = "▁"
# Unicode reserves U+FDD0 and its neighbours for use inside programs.
_APART: Final = "\ufdd0"
_HELD: Final = {"\uff5e": "\ufdd1", "\u0130": "\ufdd2"}  # the full-width tilde, the dotted capital I


def build_spm(
    model: SentencePieceModel, family: TokenizerFamily, config: Mapping[str, JsonValue], *, source: str
) -> tokenizers.Tokenizer:
    """The engine of `model`, numbered as `family` numbers it, with the text options of `config`.

    Raises TokenizerFileError for a model that cannot be expressed.
    """
    if model.whitespace_as_suffix:
        raise TokenizerFileError(
            f"{source} marks the ends of words instead of their beginnings, which the engine cannot do",
            fix="train it again with treat_whitespace_as_suffix=False",
            file=source,
        )
    pieces = lay_out(model, family, config)
    rust = tokenizers.Tokenizer(_model(model, pieces, source))
    prefix = model.add_dummy_prefix and config.get("add_prefix_space") is not False
    first_only = prefix and (config.get("legacy") is False or _cuts_at_symbols(model))
    steps = _text_rules(family, config)
    steps += _normalizers(model, prefix=prefix, first_only=first_only, source=source)
    splits: list[pre_tokenizers.PreTokenizer] = []
    if family.text == "deberta" and config.get("split_by_punct") is True:
        splits.append(pre_tokenizers.Punctuation(behavior="isolated"))
    if first_only:
        splits.append(pre_tokenizers.Metaspace(replacement=_SPACE, prepend_scheme="first", split=False))
    else:
        steps.append(normalizers.Replace(" ", _SPACE))
    if steps:
        rust.normalizer = normalizers.Sequence(steps)
    if splits:
        rust.pre_tokenizer = splits[0] if len(splits) == 1 else pre_tokenizers.Sequence(splits)
    ends: list[decoders.Decoder] = [decoders.Replace(_SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    rust.decoder = decoders.Sequence([*ends, decoders.Strip(" ", 1, 0)] if prefix else ends)
    rust.add_tokens([to_rust(token) for token in _added(model, pieces)])
    return rust


def lay_out(
    model: SentencePieceModel, family: TokenizerFamily, config: Mapping[str, JsonValue]
) -> list[Piece]:
    """The pieces in the order of the ids that the family gives them."""
    own, roles = model.pieces, family.roles

    def control(*tokens: str | None) -> list[Piece]:
        return [Piece(token, 0.0, PieceKind.CONTROL) for token in tokens if token is not None]

    def unknown(token: str | None) -> list[Piece]:
        return [Piece(token or "<unk>", 0.0, PieceKind.UNKNOWN)]

    match family.layout:
        case "fairseq":
            pieces = [
                *control(roles.bos_token, roles.pad_token, roles.eos_token),
                *unknown(roles.unk_token),
                *own[3:],
            ]
        case "camembert":
            pieces = [
                Piece("<s>NOTUSED", 0.0, PieceKind.UNUSED),
                *control(roles.pad_token),
                Piece("</s>NOTUSED", 0.0, PieceKind.UNUSED),
                *unknown(roles.unk_token),
                Piece("<unk>NOTUSED", -100.0, PieceKind.UNUSED),
                *own[1:],
            ]
        case "seamless":
            pieces = [*control(roles.pad_token), *unknown(roles.unk_token), *control("<s>", "</s>"), *own[3:]]
        case "pegasus":
            offset = config.get("offset", 103)
            unused = [Piece(f"<unk_{i}>", -100.0, PieceKind.UNUSED) for i in range(2, int(str(offset)))]
            pieces = [*control(roles.pad_token, roles.eos_token, "<mask_1>", "<mask_2>"), *unused, *own[2:]]
        case "gemma":
            pieces = list(own)
            names = [piece.text for piece in own]
            if "\t" not in names and "<0x09>" in names:  # early files left the tab out
                pieces[names.index("<0x09>")] = Piece("\t", 0.0, PieceKind.NORMAL)
        case "pieces":
            pieces = list(own)
        case _:
            assert_never(family.layout)
    count = config.get("extra_ids", family.extra_ids)
    extra = [f"<extra_id_{i}>" for i in reversed(range(count if isinstance(count, int) else 0))]
    present = {piece.text for piece in pieces}
    return [*pieces, *control(*(token for token in (*extra, *family.appended) if token not in present))]


def _model(model: SentencePieceModel, pieces: Sequence[Piece], source: str) -> models.Model:
    unk = next((i for i, piece in enumerate(pieces) if piece.kind is PieceKind.UNKNOWN), None)
    match model.kind:
        case ModelKind.UNIGRAM:
            return models.Unigram(_scored(pieces), unk, model.byte_fallback)
        case ModelKind.BPE | ModelKind.CHAR:
            vocab = {piece.text: i for i, piece in enumerate(pieces)}
            merges = _merges(pieces, vocab) if model.kind is ModelKind.BPE else []
            return models.BPE(
                vocab=vocab,
                merges=merges,
                unk_token=None if unk is None else pieces[unk].text,
                fuse_unk=True,
                byte_fallback=model.byte_fallback,
            )
        case ModelKind.WORD:
            raise TokenizerFileError(
                f"{source} is a SentencePiece word model, which knows whole words only",
                fix="train it again with model_type='unigram' or 'bpe'",
                file=source,
            )


def _scored(pieces: Sequence[Piece]) -> list[tuple[str, float]]:
    """Scores as the algorithm uses them: user-defined symbols always win, unused pieces never do."""
    normal = [piece.score for piece in pieces if piece.kind is PieceKind.NORMAL]
    best, worst = max(normal, default=0.0), min(normal, default=0.0)

    def score(piece: Piece) -> float:
        match piece.kind:
            case PieceKind.USER_DEFINED:
                return len(piece.text) * best - 0.1
            case PieceKind.UNUSED | PieceKind.BYTE:  # bytes stand for themselves, not for text such as <0x41>
                return min(piece.score, worst - 100.0 * len(piece.text))
            case _:
                return piece.score

    return [(piece.text, score(piece)) for piece in pieces]


def _merges(pieces: Sequence[Piece], vocab: Mapping[str, int]) -> list[tuple[str, str]]:
    """Every split of a piece into two pieces, the best pieces first: what BPE over scores amounts to."""
    mergeable = (PieceKind.NORMAL, PieceKind.USER_DEFINED, PieceKind.UNUSED)
    ranked = sorted(
        (piece for piece in pieces if piece.kind in mergeable and len(piece.text) > 1),
        key=lambda piece: -piece.score,  # sorting is stable: equal scores stay in the order of the ids
    )
    merges: list[tuple[str, str]] = []
    for piece in ranked:
        text = piece.text
        splits = [(text[:i], text[i:]) for i in range(1, len(text))]
        found = [pair for pair in splits if pair[0] in vocab and pair[1] in vocab]
        merges += sorted(found, key=lambda pair: (vocab[pair[0]], vocab[pair[1]]))
    return merges


def _cuts_at_symbols(model: SentencePieceModel) -> bool:
    """Whether text is cut at user-defined symbols, so that the prefix must come before the first cut only.

    Unigram models need no cut: there, scores make the symbols win.
    """
    return model.kind is not ModelKind.UNIGRAM and any(p.kind is PieceKind.USER_DEFINED for p in model.pieces)


def _normalizers(
    model: SentencePieceModel, *, prefix: bool, first_only: bool, source: str
) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    before_all = prefix and not first_only
    if not model.remove_extra_whitespaces:
        if before_all:
            steps.append(normalizers.Prepend(" "))  # even before a text that begins with a space
        elif prefix:  # Metaspace adds its prefix only where there is no space: there, one becomes two
            steps.append(normalizers.Replace(Regex(r"\A "), "  "))
            steps.append(normalizers.Replace(Regex(rf"\A{_SPACE}"), _SPACE * 2))
    if model.charsmap:
        steps += _charsmap(model.charsmap, source)
    if model.remove_extra_whitespaces:
        # Only spaces count, as in SentencePiece; the engine's Strip would take other white space along.
        steps.append(normalizers.Replace(Regex(r"\A +"), " " if first_only else ""))
        steps.append(normalizers.Replace(Regex(f"[ {_SPACE}]+\\z"), ""))
        steps.append(normalizers.Replace(Regex(" {2,}"), " "))
        if before_all:
            steps.append(normalizers.Prepend(" "))
    return steps


def _charsmap(table: bytes, source: str) -> list[normalizers.Normalizer]:
    """The table, guarded against an error of the engine's reading: of a character with marks that the table does
    not list as a whole, the engine replaces the character and drops the marks.

    The usual tables are NFKC (and case folding) with a few changes, so normalising that far before leaves them only
    the changes. Characters they leave alone, and line ends of two characters, are held apart
    meanwhile.
    """
    charsmap = parse_charsmap(table, source=source)
    plain = normalizers.Precompiled(table)
    if not is_compatibility_form(charsmap):
        return [plain]
    steps: list[normalizers.Normalizer] = [normalizers.Replace("\r\n", f"\r{_APART}\n")]
    held = [(own, away) for own, away in _HELD.items() if charsmap.normalize(own) == own]
    steps += [normalizers.Replace(own, away) for own, away in held]
    if charsmap.normalize("A") == "a":
        steps.append(normalizers.Lowercase())
    steps += [normalizers.NFKC(), plain, normalizers.Replace(_APART, "")]
    return [*steps, *(normalizers.Replace(away, own) for own, away in held)]


def _text_rules(family: TokenizerFamily, config: Mapping[str, JsonValue]) -> list[normalizers.Normalizer]:
    steps: list[normalizers.Normalizer] = []
    if family.text == "albert":
        steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
        if config.get("keep_accents") is not True:
            steps += [normalizers.NFKD(), normalizers.StripAccents()]
    lower = config.get("do_lower_case", family.lower_case)
    if family.text != "none" and lower is True:
        steps.append(normalizers.Lowercase())
    return steps


def _added(model: SentencePieceModel, pieces: Sequence[Piece]) -> list[AddedToken]:
    kinds = {PieceKind.CONTROL}
    if model.kind is not ModelKind.UNIGRAM:  # there, scores already make user-defined symbols win
        kinds.add(PieceKind.USER_DEFINED)
    return [
        AddedToken(
            content=piece.text,
            special=piece.kind is PieceKind.CONTROL,
            # Symbols are cut out of normalised text, so that the text around them is normalised as a whole.
            normalized=piece.kind is PieceKind.USER_DEFINED,
        )
        for piece in pieces
        if piece.kind in kinds and piece.text
    ]
