"""Collators: what every batch holds, for both padding sides and both kinds of arrays."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from hf_hub_io.errors import HfError
from hf_tokenize import AutoTokenizer, PreTrainedTokenizer
from hf_train.collators import (
    CollatorError,
    DataCollatorForCompletionOnlyLM,
    DataCollatorForLanguageModeling,
    DataCollatorForMultipleChoice,
    DataCollatorForPermutationLanguageModeling,
    DataCollatorForSeq2Seq,
    DataCollatorForTokenClassification,
    DataCollatorWithFlattening,
    DataCollatorWithPadding,
    DefaultDataCollator,
    PackedCollator,
    chat_row,
    completion_row,
    default_data_collator,
    pack,
)

WORDS = [
    "the",
    "a",
    "cat",
    "dog",
    "sat",
    "ran",
    "on",
    "mat",
    "fast",
    "##s",
    "##er",
    "##ly",
    "user",
    "bot",
    ":",
    "hello",
    "good",
    "day",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<end>"]
TEMPLATE = "{% for m in messages %}{{ m.role }} : {{ m.content }} <end> {% endfor %}"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizer:
    folder = tmp_path_factory.mktemp("tokenizer")
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *WORDS])}
    rust = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    rust.normalizer = normalizers.Lowercase()
    rust.pre_tokenizer = pre_tokenizers.Whitespace()
    rust.decoder = decoders.WordPiece()
    rust.add_special_tokens(SPECIAL)
    rust.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    rust.save(str(folder / "tokenizer.json"))
    config = {
        "pad_token": "[PAD]",
        "mask_token": "[MASK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "unk_token": "[UNK]",
        "eos_token": "<end>",
        "chat_template": TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return AutoTokenizer.from_pretrained(folder)


def rows(*texts: list[int], **columns: list[Any]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in texts]
    for name, values in columns.items():
        for row, value in zip(made, values, strict=True):
            row[name] = value
    return made


def test_default_stacks_and_names_labels() -> None:
    batch = default_data_collator(
        [{"x": [1, 2], "label": 1, "text": "a"}, {"x": [3, 4], "label": 0, "text": "b"}]
    )
    assert set(batch) == {"x", "labels"}
    assert batch["labels"].dtype == torch.int64
    assert batch["x"].tolist() == [[1, 2], [3, 4]]
    assert default_data_collator([{"label": 0.5}])["labels"].dtype == torch.float32
    assert default_data_collator([{"label_ids": [1, 2]}])["labels"].tolist() == [[1, 2]]
    arrays = default_data_collator([{"x": np.zeros(2)}, {"x": torch.ones(2).numpy()}])
    assert arrays["x"].tolist() == [[0, 0], [1, 1]]


def test_default_takes_objects_and_gives_arrays() -> None:
    class Example:
        def __init__(self, value: int) -> None:
            self.x = [value]
            self.label = value

    batch = DefaultDataCollator("np")([Example(1), Example(2)])
    assert isinstance(batch["x"], np.ndarray)
    assert batch["labels"].tolist() == [1, 2]


def test_default_names_the_column_that_does_not_stack() -> None:
    with pytest.raises(CollatorError, match="the column 'x' cannot be stacked") as caught:
        default_data_collator([{"x": [1]}, {"x": [1, 2]}])
    assert isinstance(caught.value, HfError)
    with pytest.raises(CollatorError, match="no rows"):
        default_data_collator([])


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_and_token_labels_go_together(tokenizer: PreTrainedTokenizer, side: Any) -> None:
    padder = tokenizer.replace(padding_side=side)
    features = rows([2, 6, 3], [2, 6, 7, 8, 3], labels=[[-100, 1, -100], [-100, 1, 2, 3, -100]])
    batch = DataCollatorForTokenClassification(padder, pad_to_multiple_of=4)(features)
    filling = [-100] * 5
    short = [-100, 1, -100]
    assert batch["labels"].tolist()[0] == (short + filling if side == "right" else filling + short)
    assert batch["input_ids"].shape == batch["labels"].shape == (2, 8)
    assert features[0]["labels"] == short, "the rows of the dataset are left alone"


def test_too_many_token_labels_are_refused(tokenizer: PreTrainedTokenizer) -> None:
    with pytest.raises(CollatorError, match="row 0 of the batch has 4 labels for 3 tokens"):
        DataCollatorForTokenClassification(tokenizer)(rows([2, 6, 3], labels=[[1, 2, 3, 4]]))


def test_with_padding_renames_labels(tokenizer: PreTrainedTokenizer) -> None:
    batch = DataCollatorWithPadding(tokenizer)(rows([2, 3], [2, 6, 3], label=[0, 1]))
    assert batch["labels"].tolist() == [0, 1]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    fixed = DataCollatorWithPadding(tokenizer, padding="max_length", max_length=6, return_tensors="np")(
        rows([2, 3])
    )
    assert fixed["input_ids"].shape == (1, 6)
    assert isinstance(fixed["input_ids"], np.ndarray)


class Shifts:
    def prepare_decoder_input_ids_from_labels(self, labels: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.pad(labels[:, :-1], (1, 0), value=2).masked_fill(labels == -100, 0)


def test_seq2seq_pads_labels_to_their_own_length(tokenizer: PreTrainedTokenizer) -> None:
    features = rows([2, 6, 7, 3], [2, 3], labels=[[6, 3], [7, 8, 3]])
    batch = DataCollatorForSeq2Seq(tokenizer, Shifts())(features)
    assert batch["labels"].tolist() == [[6, 3, -100], [7, 8, 3]]
    assert batch["decoder_input_ids"].tolist() == [[2, 6, 0], [2, 7, 8]]
    assert DataCollatorForSeq2Seq(tokenizer, pad_to_multiple_of=4)(features)["labels"].shape == (2, 4)
    assert "labels" not in DataCollatorForSeq2Seq(tokenizer)(rows([2, 3]))
    with pytest.raises(CollatorError, match="padding is switched off"):
        DataCollatorForSeq2Seq(tokenizer, padding=False)(rows([2, 3], [2, 3], labels=[[6], [7, 8]]))


def test_choices_are_padded_together(tokenizer: PreTrainedTokenizer) -> None:
    features = [
        {"input_ids": [[2, 3], [2, 6, 3]], "attention_mask": [[1, 1], [1, 1, 1]], "label": 1},
        {"input_ids": [[2, 6, 7, 3], [2, 3]], "attention_mask": [[1] * 4, [1] * 2], "label": 0},
    ]
    batch = DataCollatorForMultipleChoice(tokenizer)(features)
    assert batch["input_ids"].shape == (2, 2, 4)
    assert batch["labels"].tolist() == [1, 0]
    features[1]["input_ids"] = [[2, 3]]
    with pytest.raises(CollatorError, match=r"\[1, 2\] choices"):
        DataCollatorForMultipleChoice(tokenizer)(features)


def test_next_tokens_keep_an_end_that_is_also_padding(tokenizer: PreTrainedTokenizer) -> None:
    both = tokenizer.replace(pad_token="<end>")
    batch = DataCollatorForLanguageModeling(both, mlm=False)(rows([6, 7, 5], [6, 7, 8, 9, 5]))
    assert batch["labels"].tolist() == [[6, 7, 5, -100, -100], [6, 7, 8, 9, 5]]
    bare = DataCollatorForLanguageModeling(tokenizer, mlm=False)([[6, 7], [6, 7, 8]])
    assert set(bare) == {"input_ids", "labels"}
    assert bare["labels"].tolist() == [[6, 7, -100], [6, 7, 8]]


@given(seed=st.integers(0, 2**20), lengths=st.lists(st.integers(3, 40), min_size=1, max_size=6))
def test_masks_hit_real_tokens_only(tokenizer: PreTrainedTokenizer, seed: int, lengths: list[int]) -> None:
    torch.manual_seed(seed)
    features = rows(*([2, *[6 + (index * 5) % 16 for index in range(length - 2)], 3] for length in lengths))
    batch = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.5)(features)
    for row, feature in enumerate(features):
        ids, labels = batch["input_ids"][row].tolist(), batch["labels"][row].tolist()
        padded = feature["input_ids"] + [0] * (len(ids) - len(feature["input_ids"]))
        for new, old, label in zip(ids, padded, labels, strict=True):
            assert label in (-100, old)
            assert new == old or label == old
            assert label == -100 or old >= len(SPECIAL)


def test_masks_have_the_asked_shares(tokenizer: PreTrainedTokenizer) -> None:
    torch.manual_seed(0)
    text = [6 + index % 16 for index in range(4000)]
    collate = DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=0.3, mask_replace_prob=0.6, random_replace_prob=0.3
    )
    batch = collate(rows(text, text, text, text, text))
    chosen = batch["labels"] != -100
    original = torch.tensor([text] * 5)
    assert chosen.float().mean().item() == pytest.approx(0.3, abs=0.01)
    masked = (batch["input_ids"] == 4)[chosen].float().mean().item()
    assert masked == pytest.approx(0.6, abs=0.02)
    same = (batch["input_ids"] == original)[chosen].float().mean().item()
    assert same == pytest.approx(0.1 + 0.3 / len(tokenizer), abs=0.02)


def test_a_seed_makes_masks_a_function_of_the_batch(tokenizer: PreTrainedTokenizer) -> None:
    collate = DataCollatorForLanguageModeling(tokenizer, seed=3)
    text, other = [6 + index % 16 for index in range(200)], [7 + index % 15 for index in range(200)]
    first = collate(rows(text))
    collate(rows(other))
    assert torch.equal(collate(rows(text))["labels"], first["labels"])
    different = DataCollatorForLanguageModeling(tokenizer, seed=4)(rows(text))
    assert not torch.equal(different["labels"], first["labels"])


@pytest.mark.parametrize("side", ["right", "left"])
def test_words_are_masked_whole(tokenizer: PreTrainedTokenizer, side: Any) -> None:
    torch.manual_seed(1)
    texts = ["cats fastly fasterly dogs the cat cats fasters", "dogs ran"]
    encoded = [
        tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True) for text in texts
    ]
    collate = DataCollatorForLanguageModeling(
        tokenizer.replace(padding_side=side), whole_word_mask=True, mlm_probability=0.5
    )
    words = [encoding.word_ids() for encoding in encoded]
    seen = False
    for _ in range(20):
        batch = collate([dict(encoding) for encoding in encoded])
        for row, ids in enumerate(words):
            shift = batch["labels"].shape[1] - len(ids) if side == "left" else 0
            hit = (batch["labels"][row, shift : shift + len(ids)] != -100).tolist()
            for word in set(ids) - {None}:
                of_word = {flag for flag, number in zip(hit, ids, strict=True) if number == word}
                assert len(of_word) == 1
                seen |= of_word == {True}
            masked = batch["input_ids"][row][batch["labels"][row] != -100]
            assert (masked == 4).all()
    assert seen


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"mlm_probability": 1.5}, "are shares"),
        ({"mask_replace_prob": 0.9, "random_replace_prob": 0.2}, "are shares"),
        ({"mlm": False, "whole_word_mask": True}, "needs mlm=True"),
    ],
)
def test_masking_options_are_checked(
    tokenizer: PreTrainedTokenizer, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(CollatorError, match=said):
        DataCollatorForLanguageModeling(tokenizer, **settings)
    with pytest.raises(CollatorError, match="needs a mask token"):
        DataCollatorForLanguageModeling(tokenizer.replace(mask_token=None))
    with pytest.raises(CollatorError, match="return_offsets_mapping"):
        DataCollatorForLanguageModeling(tokenizer, whole_word_mask=True)(rows([2, 6, 3]))


def test_permutation_hides_what_is_to_be_predicted(tokenizer: PreTrainedTokenizer) -> None:
    torch.manual_seed(0)
    batch = DataCollatorForPermutationLanguageModeling(tokenizer)(
        [[6 + index % 10 for index in range(40)]] * 2
    )
    target = batch["labels"] != -100
    assert target.any(dim=1).all()
    assert (batch["input_ids"][target] == 4).all()
    hidden = batch["perm_mask"].bool()
    assert not hidden[(~target)[:, None, :].expand_as(hidden)].any(), "given tokens are seen by all"
    assert hidden.diagonal(dim1=1, dim2=2)[target].all(), "a token to be predicted does not see itself"
    for row in range(2):
        given = (~target[row]).nonzero().flatten()
        assert hidden[row][given][:, target[row]].all(), "given tokens see none that are to be predicted"
    assert batch["target_mapping"].shape == (2, 40, 40)
    with pytest.raises(CollatorError, match="must be even"):
        DataCollatorForPermutationLanguageModeling(tokenizer)([[6, 7, 8]])


def test_flattening_tells_texts_apart() -> None:
    features: list[dict[str, Any]] = [{"input_ids": [5, 6, 7]}, {"input_ids": np.array([8, 9])}]
    batch = DataCollatorWithFlattening(return_flash_attn_kwargs=True, return_seq_idx=True)(features)
    assert batch["input_ids"].tolist() == [[5, 6, 7, 8, 9]]
    assert batch["labels"].tolist() == [[-100, 6, 7, -100, 9]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1]]
    assert batch["seq_idx"].tolist() == [[0, 0, 0, 1, 1]]
    assert batch["cu_seq_lens_q"].tolist() == batch["cu_seq_lens_k"].tolist() == [0, 3, 5]
    assert batch["cu_seq_lens_q"].dtype == batch["seq_idx"].dtype == torch.int32
    assert (batch["max_length_q"], batch["max_length_k"]) == (3, 3)
    labelled = DataCollatorWithFlattening(position_ids_start=2)([{"input_ids": [5, 6], "labels": [-100, 6]}])
    assert labelled["labels"].tolist() == [[-100, 6]]
    assert labelled["position_ids"].tolist() == [[2, 3]]
    with pytest.raises(CollatorError, match="2 tokens and 1 labels"):
        DataCollatorWithFlattening()([{"input_ids": [5, 6], "labels": [6]}])


@given(st.lists(st.integers(1, 23), min_size=1, max_size=60), st.integers(2, 10))
def test_packing_keeps_every_token_and_fills_rows_well(lengths: list[int], width: int) -> None:
    counter = iter(range(10_000))
    texts = [[next(counter) for _ in range(length)] for length in lengths]
    packed = pack([{"input_ids": text} for text in texts], width)
    found = sorted(token for row in packed for token in row["input_ids"])
    assert found == sorted(token for text in texts for token in text)
    for row in packed:
        assert len(row["input_ids"]) == len(row["labels"]) == len(row["position_ids"]) <= width
        for index, position in enumerate(row["position_ids"]):
            begins = position == 0
            assert row["labels"][index] == (-100 if begins else row["input_ids"][index])
            assert begins or row["input_ids"][index] == row["input_ids"][index - 1] + 1, "texts stay whole"
    pieces = [min(width, length - at) for length in lengths for at in range(0, length, width)]
    assert len(packed) <= max(-(-11 * -(-sum(pieces) // width) // 9) + sum(p * 2 > width for p in pieces), 1)


def test_packed_rows_are_padded_with_a_text_of_its_own() -> None:
    packed = pack([{"input_ids": [1, 2, 3]}, {"input_ids": [4, 5]}, {"input_ids": [6], "labels": [-100]}], 4)
    batch = PackedCollator(pad_token_id=9, pad_to=6)(packed)
    assert batch["input_ids"].shape == (2, 6)
    assert batch["labels"][batch["input_ids"] == 9].unique().tolist() == [-100]
    assert batch["position_ids"].tolist()[0] == [0, 1, 2, 0, 0, 1]
    with pytest.raises(CollatorError, match="pad_to is 2"):
        PackedCollator(pad_to=2)(packed)
    with pytest.raises(CollatorError, match="no pair of tokens"):
        pack([], 1)


CHAT = [
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "good day"},
    {"role": "user", "content": "cat"},
    {"role": "assistant", "content": "the cat sat"},
]


def said(tokenizer: PreTrainedTokenizer, row: dict[str, list[int]]) -> str:
    return tokenizer.decode([label for label in row["labels"] if label != -100])


def test_only_the_assistants_words_are_learned(tokenizer: PreTrainedTokenizer) -> None:
    row = chat_row(tokenizer, CHAT)
    assert set(row) == {"input_ids", "attention_mask", "labels"}
    assert said(tokenizer, row).replace("<end>", "").split() == ["good", "day", "the", "cat", "sat"]
    assert said(tokenizer, chat_row(tokenizer, CHAT, last_only=True)).replace("<end>", "").split()[:3] == [
        "the",
        "cat",
        "sat",
    ]
    with pytest.raises(CollatorError, match="cut to 3 tokens, no answer is left"):
        chat_row(tokenizer, CHAT, max_length=3)
    with pytest.raises(HfError, match="is the assistant's"):
        chat_row(tokenizer, CHAT[:1])


def test_only_the_completion_is_learned(tokenizer: PreTrainedTokenizer) -> None:
    row = completion_row(tokenizer, "the cat ", "sat on the mat")
    assert said(tokenizer, row).split() == ["sat", "on", "the", "mat", "<end>"]
    with pytest.raises(CollatorError, match="no token of the completion"):
        completion_row(tokenizer, "the cat ", "sat", max_length=2)


def test_completions_are_found_by_their_template(tokenizer: PreTrainedTokenizer) -> None:
    text = "user : hello bot : good day user : cat bot : the cat sat"
    ids = tokenizer.encode(text, add_special_tokens=False)
    collate = DataCollatorForCompletionOnlyLM(tokenizer, "bot :", instruction_template="user :")
    batch = collate([{"input_ids": ids}, {"input_ids": ids[:10]}])
    learned = [
        tokenizer.decode([token for token in row if token != -100]) for row in batch["labels"].tolist()
    ]
    assert learned[0].split() == ["good", "day", "the", "cat", "sat"]
    last = DataCollatorForCompletionOnlyLM(tokenizer, "bot :")([{"input_ids": ids}])
    assert tokenizer.decode([token for token in last["labels"][0].tolist() if token != -100]) == "the cat sat"
    with pytest.raises(CollatorError, match="row 0 of the batch does not contain"):
        collate([{"input_ids": ids[:3]}])
