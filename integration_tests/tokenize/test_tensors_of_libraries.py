"""Rows as numpy arrays and torch tensors, padded in one go."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hf_tokenize import AutoTokenizer
from hf_tokenize.errors import OptionError
from hf_tokenize.tensors import nested_to_tensor
from integration_tests.tokenize.judges import peer
from integration_tests.tokenize.recipes import RECIPES, Recipe

FolderOf = Callable[[Recipe], Path]
TEXTS = ["The quick brown fox", "", "jumps over the lazy dog, twice"]


def folder(folder_of: FolderOf, name: str) -> Path:
    return folder_of(next(recipe for recipe in RECIPES if recipe.name == name))


@pytest.mark.parity
@pytest.mark.parametrize("name", ["minilm", "json-llama2", "bytes"])
def test_tensors_are_the_peers(folder_of: FolderOf, name: str) -> None:
    path = folder(folder_of, name)
    options = {"padding": True, "truncation": True, "max_length": 9, "return_special_tokens_mask": True}
    ours = AutoTokenizer.from_pretrained(path)(TEXTS, return_tensors="pt", **options)
    theirs = peer(path)(TEXTS, return_tensors="pt", **options)
    assert set(theirs) == set(ours)
    for key, value in theirs.items():
        assert torch.equal(ours[key], value), key
        assert ours[key].dtype is torch.int64


def test_numpy_and_torch_hold_the_same(folder_of: FolderOf) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder(folder_of, "minilm"))
    options = {"padding": True, "return_offsets_mapping": True, "return_length": True}
    arrays = tokenizer(TEXTS, return_tensors="np", **options)
    tensors = tokenizer(TEXTS, return_tensors="pt", **options)
    lists = tokenizer(TEXTS, **options)
    for key in lists:
        assert np.array_equal(arrays[key], np.array(lists[key])), key
        assert np.array_equal(tensors[key].numpy(), arrays[key]), key
    assert arrays["offset_mapping"].shape == (*arrays["input_ids"].shape, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        arrays["input_ids"][0, 0] = 7  # the caller's own memory, writable
        tensors["input_ids"][0, 0] = 7


def test_one_text_keeps_the_batch_axis(folder_of: FolderOf) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder(folder_of, "minilm"))
    assert tokenizer("a b", return_tensors="pt")["input_ids"].shape == (1, 4)
    assert tokenizer([], return_tensors="np")["input_ids"].shape == (0, 0)
    assert tokenizer("", add_special_tokens=False, return_tensors="pt")["input_ids"].shape == (1, 0)


def test_decoding_takes_tensors(folder_of: FolderOf) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder(folder_of, "minilm"))
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    texts = tokenizer.batch_decode(batch["input_ids"], skip_special_tokens=True)
    assert texts == tokenizer.batch_decode(batch["input_ids"].numpy(), skip_special_tokens=True)
    assert texts == tokenizer.batch_decode(list(batch["input_ids"]), skip_special_tokens=True)
    assert texts[0] == "the quick brown fox"
    assert tokenizer.decode(batch["input_ids"][0, 1]) == "the"


def test_pad_takes_and_gives_tensors(folder_of: FolderOf) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder(folder_of, "minilm"))
    rows = [{"input_ids": torch.tensor([5, 6, 7]), "label": 1}, {"input_ids": torch.tensor([8]), "label": 0}]
    padded = tokenizer.pad(rows, return_tensors="pt")
    assert torch.equal(padded["input_ids"], torch.tensor([[5, 6, 7], [8, 0, 0]]))
    assert torch.equal(padded["attention_mask"], torch.tensor([[1, 1, 1], [1, 0, 0]]))
    assert torch.equal(padded["label"], torch.tensor([1, 0]))


def test_batches_move_between_devices_and_become_tensors_late(folder_of: FolderOf) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder(folder_of, "minilm"))
    batch = tokenizer(TEXTS, padding=True).convert_to_tensors("pt")
    moved = batch.to("cpu")
    assert moved is batch
    assert torch.equal(batch["input_ids"], tokenizer(TEXTS, padding=True, return_tensors="pt")["input_ids"])
    single = tokenizer("a b").convert_to_tensors("np", prepend_batch_axis=True)
    assert single["input_ids"].shape == (1, 4)


def test_what_is_no_tensor() -> None:
    with pytest.raises(OptionError, match="rows of x with 1 to 2 entries cannot be one tensor"):
        nested_to_tensor([[1], [1, 2]], "np", name="x")
    with pytest.raises(OptionError, match="x cannot be a tensor"):
        nested_to_tensor([["a"]], "np", name="x")


@pytest.mark.parametrize("kind", ["jax", "mlx"])
def test_libraries_that_are_not_installed(kind: str) -> None:
    with pytest.raises(ImportError, match=f"the package {kind}, which return_tensors='{kind}' needs"):
        nested_to_tensor([[1]], kind, name="x")
