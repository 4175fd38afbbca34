"""Batches equal the peer's, random choices included: the same seed masks the same tokens."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from hf_tokenize import AutoTokenizer, PreTrainedTokenizer
from hf_train import collators as ours

pytestmark = pytest.mark.parity
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    words = [f"w{index}" for index in range(40)] + [f"##s{index}" for index in range(10)]
    rust = Tokenizer(
        models.WordPiece({word: index for index, word in enumerate(SPECIAL + words)}, unk_token="[UNK]")
    )
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.add_special_tokens(SPECIAL)
    rust.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    rust.save(str(folder / "tokenizer.json"))
    roles = {f"{token.strip('[]').lower()}_token": token for token in SPECIAL}
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**roles, "tokenizer_class": "PreTrainedTokenizerFast"})
    )
    return folder


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> PreTrainedTokenizer:
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def peer_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer as PeerTokenizer

    return PeerTokenizer.from_pretrained(folder)


def texts(tokenizer: PreTrainedTokenizer) -> Rows:
    generator = np.random.default_rng(0)
    rows = []
    for length in (3, 17, 8, 30):
        words = [
            f"w{index}" + (f"s{index % 10}" if index % 3 == 0 else "")
            for index in generator.integers(0, 40, length)
        ]
        rows.append(
            dict(tokenizer(" ".join(words), return_offsets_mapping=True, return_special_tokens_mask=True))
        )
    return rows


def same(mine: dict[str, Any], theirs: Any) -> None:
    assert set(mine) == set(theirs)
    for name, value in mine.items():
        other = theirs[name]
        if isinstance(value, int):
            assert value == other
        else:
            assert np.asarray(value).dtype == np.asarray(other).dtype, name
            np.testing.assert_array_equal(np.asarray(value), np.asarray(other), err_msg=name)


def keep(rows: Rows, *names: str, **more: list[Any]) -> Rows:
    return [
        {**{name: row[name] for name in names}, **{name: values[index] for name, values in more.items()}}
        for index, row in enumerate(rows)
    ]


BASIC = ("input_ids", "attention_mask")


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_default(kind: Any) -> None:
    from transformers import default_data_collator

    rows = [
        {"x": [1.5, 2.0], "label": 3, "name": "a", "none": None},
        {"x": [1.0, 2.0], "label": 4, "name": "b"},
    ]
    mine = ours.default_data_collator(rows, kind)
    if kind == "np":  # NumPy's own default, which no model computes in
        mine["x"] = mine["x"].astype(np.float64)
    same(mine, default_data_collator(rows, return_tensors=kind))


@pytest.mark.parametrize("multiple", [None, 8])
def test_padding_collators(tokenizer: PreTrainedTokenizer, peer_tokenizer: Any, multiple: int | None) -> None:
    import transformers as peer

    rows = texts(tokenizer)
    with_label = keep(rows, *BASIC, label=[1, 0, 2, 1])
    mine = ours.DataCollatorWithPadding(tokenizer, pad_to_multiple_of=multiple)
    same(
        mine(with_label),
        peer.DataCollatorWithPadding(peer_tokenizer, pad_to_multiple_of=multiple)(with_label),
    )
    tags = keep(rows, *BASIC, labels=[[5] * len(row["input_ids"]) for row in rows])
    token = ours.DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=multiple)
    theirs = peer.DataCollatorForTokenClassification(peer_tokenizer, pad_to_multiple_of=multiple)
    same(token(tags), theirs(tags))
    targets = keep(rows, *BASIC, labels=[[7] * (3 * index + 1) for index in range(4)])
    seq2seq = ours.DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=multiple)
    same(seq2seq(targets), peer.DataCollatorForSeq2Seq(peer_tokenizer, pad_to_multiple_of=multiple)(targets))


def test_multiple_choice(tokenizer: PreTrainedTokenizer, peer_tokenizer: Any) -> None:
    from transformers import DataCollatorForMultipleChoice

    rows = [
        {name: [row[name], row[name][:3]] for name in BASIC} | {"label": index % 2}
        for index, row in enumerate(texts(tokenizer))
    ]
    mine = ours.DataCollatorForMultipleChoice(tokenizer)(rows)
    same(mine, DataCollatorForMultipleChoice(peer_tokenizer)(rows))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mlm_probability": 0.4, "mask_replace_prob": 0.5, "random_replace_prob": 0.2},
        {"mask_replace_prob": 1.0, "random_replace_prob": 0.0},
        {"mlm": False},
        {
            "whole_word_mask": True,
            "mlm_probability": 0.4,
            "mask_replace_prob": 1.0,
            "random_replace_prob": 0.0,
        },
    ],
)
@pytest.mark.parametrize("given", [True, False])
def test_language_modelling(
    tokenizer: PreTrainedTokenizer, peer_tokenizer: Any, settings: dict[str, Any], given: bool
) -> None:
    from transformers import DataCollatorForLanguageModeling

    names = [*BASIC]
    if given:
        names.append("special_tokens_mask")
    if "whole_word_mask" in settings:
        names.append("offset_mapping")
    rows = keep(texts(tokenizer), *names)
    if "whole_word_mask" in settings:
        rows = rows[1:2]  # the peer cannot pad the offsets of rows of different lengths
    drawn: list[dict[str, Any]] = []
    for make, chosen in (
        (ours.DataCollatorForLanguageModeling, tokenizer),
        (DataCollatorForLanguageModeling, peer_tokenizer),
    ):
        torch.manual_seed(11)
        collate: Callable[[Rows], Any] = make(chosen, **settings)
        drawn.append(collate([dict(row) for row in rows]))
    same(*drawn)


def test_permutation(tokenizer: PreTrainedTokenizer, peer_tokenizer: Any) -> None:
    from transformers import DataCollatorForPermutationLanguageModeling

    rows = [[5 + index % 30 for index in range(length)] for length in (20, 20)]
    torch.manual_seed(5)
    mine = ours.DataCollatorForPermutationLanguageModeling(tokenizer)(rows)
    torch.manual_seed(5)
    same(mine, DataCollatorForPermutationLanguageModeling(peer_tokenizer)(rows))


@pytest.mark.parametrize("kind", ["pt", "np"])
def test_flattening(tokenizer: PreTrainedTokenizer, kind: Any) -> None:
    from transformers import DataCollatorWithFlattening

    settings: dict[str, Any] = {"return_flash_attn_kwargs": True, "return_seq_idx": True}
    rows = keep(texts(tokenizer), "input_ids")
    mine = ours.DataCollatorWithFlattening(return_tensors=kind, **settings)(rows)
    same(mine, DataCollatorWithFlattening(return_tensors=kind, **settings)(rows))
