"""What a tokenizer class says beyond its files, for the classes where that is more than nothing.

Used only where a repository has no `tokenizer.json`: there the class name in `tokenizer_config.json` (or
the model type in `config.json`) is the only place that says how special tokens are laid out. A class that
is not listed needs no facts: its files say everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

from hf_tokenize.special import SpecialTokens

Layout: TypeAlias = Literal["pieces", "fairseq", "camembert", "seamless", "pegasus", "gemma"]
"""How ids are numbered from the pieces of a SentencePiece model.

`pieces`: as they are. `fairseq`: `<s> <pad> </s> <unk>`, then the pieces from 3 on. `camembert`: the same
with two unused places. `seamless`: `<pad> <unk> <s> </s>`, then from 3 on. `pegasus`: pad, end, masks,
unused places up to 105, then from 2 on. `gemma`: as they are, with a repaired tab.
"""

TextRules: TypeAlias = Literal["none", "albert", "deberta"]
"""Text changes before the model's own normalisation. `albert`: quotes, and accents and case as the
configuration
says. `deberta`: case, and punctuation split off, as the configuration says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenizerFamily:
    """The facts of one tokenizer class."""

    roles: SpecialTokens = field(default_factory=SpecialTokens)
    template: str = "A | A B:1"
    layout: Layout = "pieces"
    appended: tuple[str, ...] = ()
    extra_ids: int = 0
    text: TextRules = "none"
    lower_case: bool = False
    add_prefix_space: bool = False
    adds_bos: bool = False
    mask_takes_space: bool = False
    trim_offsets: bool = False


_BERT = SpecialTokens(
    unk_token="[UNK]", sep_token="[SEP]", pad_token="[PAD]", cls_token="[CLS]", mask_token="[MASK]"
)
_BERT_TEMPLATE: Final = "cls A sep | cls A sep B:1 sep:1"
_ROBERTA = SpecialTokens(
    bos_token="<s>",
    eos_token="</s>",
    unk_token="<unk>",
    sep_token="</s>",
    pad_token="<pad>",
    cls_token="<s>",
    mask_token="<mask>",
)
_ROBERTA_TEMPLATE: Final = "cls A sep | cls A sep sep B sep"
_ALBERT = SpecialTokens(
    bos_token="[CLS]",
    eos_token="[SEP]",
    unk_token="<unk>",
    sep_token="[SEP]",
    pad_token="<pad>",
    cls_token="[CLS]",
    mask_token="[MASK]",
)
_ROBERTA_NO_MASK = replace(_ROBERTA, mask_token=None)
_LLAMA = SpecialTokens(bos_token="<s>", eos_token="</s>", unk_token="<unk>")
_SEQ2SEQ = SpecialTokens(eos_token="</s>", unk_token="<unk>", pad_token="<pad>")
_GPT2 = SpecialTokens(bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")

_MBART_NAMES: Final = """
ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP
nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN
"""
_MBART50_NAMES: Final = """
af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE
ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI
"""
_MBART_CODES: Final = tuple(_MBART_NAMES.split())
_MBART50_CODES: Final = (*_MBART_CODES, *_MBART50_NAMES.split())

_WORDPIECE: Final = TokenizerFamily(roles=_BERT, template=_BERT_TEMPLATE, lower_case=True)
_BYTE_BPE_PAIRED: Final = TokenizerFamily(
    roles=_ROBERTA, template=_ROBERTA_TEMPLATE, mask_takes_space=True, trim_offsets=True
)
_SPM_PAIRED: Final = TokenizerFamily(
    roles=_ROBERTA, template=_ROBERTA_TEMPLATE, layout="fairseq", appended=("<mask>",), mask_takes_space=True
)
_SPM_BRACKETS: Final = TokenizerFamily(
    roles=_ALBERT, template=_BERT_TEMPLATE, text="albert", lower_case=True, mask_takes_space=True
)
_LLAMA_LIKE: Final = TokenizerFamily(roles=_LLAMA, adds_bos=True)
_GEMMA_LIKE: Final = TokenizerFamily(
    roles=SpecialTokens(bos_token="<bos>", eos_token="<eos>", unk_token="<unk>", pad_token="<pad>"),
    layout="gemma",
    adds_bos=True,
)
_END_MARKED: Final = "A eos | A eos B eos"
_MBART: Final = "A eos lang | A B eos lang"
_LANGUAGE_FIRST: Final = "lang A eos | lang A B eos"

FAMILIES: Final[Mapping[str, TokenizerFamily]] = {
    "AlbertTokenizer": _SPM_BRACKETS,
    "BartTokenizer": _BYTE_BPE_PAIRED,
    "BarthezTokenizer": TokenizerFamily(roles=_ROBERTA, template=_ROBERTA_TEMPLATE, mask_takes_space=True),
    "BertJapaneseTokenizer": TokenizerFamily(roles=_BERT, template=_BERT_TEMPLATE),
    "BertTokenizer": _WORDPIECE,
    "BigBirdTokenizer": TokenizerFamily(
        roles=replace(_ALBERT, bos_token="<s>", eos_token="</s>"),
        template=_BERT_TEMPLATE,
        mask_takes_space=True,
    ),
    "BlenderbotTokenizer": TokenizerFamily(
        roles=_ROBERTA, template="A eos | A eos B", add_prefix_space=True, mask_takes_space=True
    ),
    "CLIPTokenizer": TokenizerFamily(
        roles=SpecialTokens(
            bos_token="<|startoftext|>",
            eos_token="<|endoftext|>",
            unk_token="<|endoftext|>",
            pad_token="<|endoftext|>",
        ),
        template="bos A eos | bos A eos eos B eos",
        lower_case=True,
    ),
    "CamembertTokenizer": replace(_SPM_PAIRED, layout="camembert"),
    "CodeGenTokenizer": TokenizerFamily(roles=_GPT2),
    "CodeLlamaTokenizer": _LLAMA_LIKE,
    "ConvBertTokenizer": _WORDPIECE,
    "DPRContextEncoderTokenizer": _WORDPIECE,
    "DPRQuestionEncoderTokenizer": _WORDPIECE,
    "DebertaTokenizer": TokenizerFamily(
        roles=replace(_BERT, bos_token="[CLS]", eos_token="[SEP]"),
        template=_BERT_TEMPLATE,
        mask_takes_space=True,
    ),
    "DebertaV2Tokenizer": TokenizerFamily(
        roles=replace(_BERT, bos_token="[CLS]", eos_token="[SEP]"), template=_BERT_TEMPLATE, text="deberta"
    ),
    "DistilBertTokenizer": _WORDPIECE,
    "ElectraTokenizer": _WORDPIECE,
    "FunnelTokenizer": TokenizerFamily(
        roles=SpecialTokens(
            bos_token="<s>",
            eos_token="</s>",
            unk_token="<unk>",
            sep_token="<sep>",
            pad_token="<pad>",
            cls_token="<cls>",
            mask_token="<mask>",
        ),
        template="cls:2 A sep | cls:2 A sep B:1 sep:1",
        lower_case=True,
    ),
    "GPT2Tokenizer": TokenizerFamily(roles=_GPT2),
    "GPTNeoXTokenizer": TokenizerFamily(roles=_GPT2),
    "GemmaTokenizer": _GEMMA_LIKE,
    "LEDTokenizer": _BYTE_BPE_PAIRED,
    "LayoutLMTokenizer": _WORDPIECE,
    "LayoutLMv2Tokenizer": _WORDPIECE,
    "LayoutLMv3Tokenizer": replace(_BYTE_BPE_PAIRED, add_prefix_space=True),
    "LayoutXLMTokenizer": _SPM_PAIRED,
    "LlamaTokenizer": _LLAMA_LIKE,
    "LongformerTokenizer": _BYTE_BPE_PAIRED,
    "LxmertTokenizer": _WORDPIECE,
    "M2M100Tokenizer": TokenizerFamily(roles=_ROBERTA_NO_MASK, template=_LANGUAGE_FIRST),
    "MBart50Tokenizer": TokenizerFamily(
        roles=_ROBERTA,
        template=_LANGUAGE_FIRST,
        layout="fairseq",
        appended=(*_MBART50_CODES, "<mask>"),
        mask_takes_space=True,
    ),
    "MBartTokenizer": TokenizerFamily(
        roles=_ROBERTA,
        template=_MBART,
        layout="fairseq",
        appended=(*_MBART_CODES, "<mask>"),
        mask_takes_space=True,
    ),
    "MPNetTokenizer": TokenizerFamily(
        roles=replace(_ROBERTA, unk_token="[UNK]"),
        template=_ROBERTA_TEMPLATE,
        lower_case=True,
        mask_takes_space=True,
    ),
    "MarianTokenizer": TokenizerFamily(roles=_SEQ2SEQ, template="A eos | A B eos"),
    "MobileBertTokenizer": _WORDPIECE,
    "MvpTokenizer": _BYTE_BPE_PAIRED,
    "NllbTokenizer": TokenizerFamily(
        roles=_ROBERTA, template=_LANGUAGE_FIRST, layout="fairseq", mask_takes_space=True
    ),
    "PegasusTokenizer": TokenizerFamily(
        roles=replace(_SEQ2SEQ, mask_token="<mask_2>"), template="A eos | A B eos", layout="pegasus"
    ),
    "Qwen2Tokenizer": TokenizerFamily(
        roles=SpecialTokens(eos_token="<|endoftext|>", unk_token="<|endoftext|>", pad_token="<|endoftext|>")
    ),
    "RemBertTokenizer": replace(_SPM_BRACKETS, text="albert", lower_case=False),
    "RobertaTokenizer": _BYTE_BPE_PAIRED,
    "SeamlessM4TTokenizer": TokenizerFamily(
        roles=_ROBERTA_NO_MASK, template=_LANGUAGE_FIRST, layout="seamless"
    ),
    "SiglipTokenizer": TokenizerFamily(roles=_SEQ2SEQ, template=_END_MARKED),
    "SqueezeBertTokenizer": _WORDPIECE,
    "T5Tokenizer": TokenizerFamily(roles=_SEQ2SEQ, template=_END_MARKED, extra_ids=100),
    "TapasTokenizer": TokenizerFamily(roles=_BERT, template=_BERT_TEMPLATE, lower_case=True),
    "UdopTokenizer": TokenizerFamily(roles=_SEQ2SEQ, template=_END_MARKED),
    "WhisperTokenizer": TokenizerFamily(
        roles=_GPT2, template="'<|startoftranscript|>' '<|notimestamps|>' A eos"
    ),
    "XGLMTokenizer": TokenizerFamily(
        roles=_ROBERTA_NO_MASK,
        template="eos A | eos A eos eos B",
        layout="fairseq",
        appended=tuple(f"<madeupword{i}>" for i in range(7)),
    ),
    "XLMRobertaTokenizer": _SPM_PAIRED,
    "XLNetTokenizer": TokenizerFamily(
        roles=SpecialTokens(
            bos_token="<s>",
            eos_token="</s>",
            unk_token="<unk>",
            sep_token="<sep>",
            pad_token="<pad>",
            cls_token="<cls>",
            mask_token="<mask>",
        ),
        template="A sep cls:2 | A sep B:1 sep:1 cls:2",
        text="albert",
        mask_takes_space=True,
    ),
}

NO_FACTS: Final = TokenizerFamily()
