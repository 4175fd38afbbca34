"""Every way in which a checkpoint can be wrong: each error names the thing and the fix."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
import torch

from hf_hub_io.errors import (
    HeaderError,
    PickleRefusedError,
    ShardMissingError,
    TruncatedFileError,
    UnsafePathError,
)
from hf_modeling.testing.toy import (
    VOCAB,
    WIDTH,
    ToyConfig,
    ToyForCausalLM,
    assert_same,
    edit_tensors,
    read_tensors,
)
from hf_modeling.weights.errors import (
    AmbiguousWeightsError,
    MissingWeightsError,
    NonFiniteWeightsError,
    ShapeMismatchError,
    UnexpectedWeightsError,
    UnsupportedDTypeError,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved causal toy."""
    torch.manual_seed(0)
    ToyForCausalLM(ToyConfig()).save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


def test_renamed_weight(folder: Path) -> None:
    tensors = read_tensors(folder)
    edit_tensors(
        folder, {"transformer.wte.weight": None, "transformer.wte.weights": tensors["transformer.wte.weight"]}
    )
    with pytest.raises(MissingWeightsError) as error:
        ToyForCausalLM.from_pretrained(folder)
    assert str(error.value) == (
        f"{folder} lacks 1 tensor that the model needs:\n"
        "  model.embed_tokens.weight (on disk: transformer.wte.weight) "
        "(did the checkpoint mean transformer.wte.weights?)\n"
        "  fix: use the checkpoint this config belongs to, or let these start from random values: "
        'allow_missing=("model.embed_tokens.weight",)'
    )


def test_many_missing_weights_are_counted_and_a_few_shown(folder: Path) -> None:
    with pytest.raises(MissingWeightsError) as error:
        ToyForCausalLM.from_pretrained(folder, num_hidden_layers=9)
    assert len(error.value.names) == 7 * 8
    assert str(error.value).count("model.layers.2.") <= 10
    assert "and 51 more" in str(error.value)


def test_extra_weight(folder: Path) -> None:
    edit_tensors(folder, {"transformer.h.0.adapter.weight": torch.zeros(2)})
    with pytest.raises(UnexpectedWeightsError) as error:
        ToyForCausalLM.from_pretrained(folder)
    assert str(error.value) == (
        f"{folder} holds 1 tensor that the model has no place for:\n"
        "  transformer.h.0.adapter.weight\n"
        "  fix: use the model class and config this checkpoint was made with, or leave these out: "
        'allow_unexpected=("transformer.h.0.adapter.weight",)'
    )
    model = ToyForCausalLM.from_pretrained(folder, allow_unexpected=("*.adapter.*",))
    assert model.load_report is not None
    assert model.load_report.unexpected == ("transformer.h.0.adapter.weight",)


def test_wrong_shape(folder: Path) -> None:
    with pytest.raises(ShapeMismatchError) as error:
        ToyForCausalLM.from_pretrained(folder, config=ToyConfig(vocab_size=VOCAB + 7))
    assert str(error.value) == (
        f"{folder} has 2 tensors of the wrong shape:\n"
        f"  lm_head.weight: [24, 8] on disk, [31, 8] in the model (config: vocab_size = 31)\n"
        f"  model.embed_tokens.weight: [24, 8] on disk, [31, 8] in the model (config: vocab_size = 31)\n"
        "  fix: correct the config's fields, or use the checkpoint it belongs to"
    )


def test_sizes_that_do_not_split(folder: Path) -> None:
    edit_tensors(folder, {"transformer.h.0.attn.weight": torch.zeros(WIDTH, 3 * WIDTH + 1)})
    with pytest.raises(ShapeMismatchError, match=r"layers\.0\.q_proj\.weight: \[8, 25\] on disk"):
        ToyForCausalLM.from_pretrained(folder)


def test_nothing_is_read_when_a_header_already_tells(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hf_modeling.weights.source import SafetensorsSource

    edit_tensors(folder, {"surplus": torch.zeros(1)})
    monkeypatch.setattr(SafetensorsSource, "read", lambda self, name: pytest.fail("read"))
    with pytest.raises(UnexpectedWeightsError):
        ToyForCausalLM.from_pretrained(folder)


def test_truncated_file(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TruncatedFileError, match=r"model\.safetensors"):
        ToyForCausalLM.from_pretrained(folder)


def test_missing_shard_and_a_shard_outside_the_folder(folder: Path, tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    ToyForCausalLM.from_pretrained(folder).save_pretrained(shards, max_shard_size=2000)
    victim = next(shards.glob("model-00002-*"))
    moved = victim.rename(tmp_path / victim.name)
    with pytest.raises(ShardMissingError, match=victim.name):
        ToyForCausalLM.from_pretrained(shards)
    index = shards / "model.safetensors.index.json"
    index.write_text(index.read_text().replace(victim.name, f"../{moved.name}"))
    with pytest.raises(UnsafePathError, match=r"\.\./model-00002"):
        ToyForCausalLM.from_pretrained(shards)


def test_duplicate_header_key(folder: Path) -> None:
    entry = b'"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    text = b"{" + entry + b"," + entry + b"}"
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * 4)
    with pytest.raises(HeaderError, match="'a' appears twice"):
        ToyForCausalLM.from_pretrained(folder)


def test_pickle_needs_an_opt_in_and_holds_tensors_only(folder: Path) -> None:
    expected = ToyForCausalLM.from_pretrained(folder)
    torch.save(read_tensors(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(PickleRefusedError, match=r"pytorch_model\.bin, a pickle file") as refused:
        ToyForCausalLM.from_pretrained(folder)
    assert "allow_pickle=True" in refused.value.fix
    assert_same(expected, ToyForCausalLM.from_pretrained(folder, allow_pickle=True))
    torch.save({"x": Path("code that a pickle could run")}, folder / "pytorch_model.bin")
    with pytest.raises(PickleRefusedError, match="more than tensors"):
        ToyForCausalLM.from_pretrained(folder, allow_pickle=True)
    torch.save({"x": 1}, folder / "pytorch_model.bin")
    with pytest.raises(PickleRefusedError, match="not a dictionary of tensors"):
        ToyForCausalLM.from_pretrained(folder, allow_pickle=True)
    with pytest.raises(PickleRefusedError, match="not written"):
        expected.save_pretrained(folder, safe_serialization=False)


def test_packed_numbers_are_not_taken_for_weights(folder: Path) -> None:
    packed = torch.zeros(VOCAB, WIDTH, dtype=torch.float8_e4m3fn)
    edit_tensors(folder, {"transformer.wte.weight": packed})
    with pytest.raises(UnsupportedDTypeError, match=r"embed_tokens\.weight is stored as float8_e4m3fn"):
        ToyForCausalLM.from_pretrained(folder)


def test_nan_is_found_when_asked_for(folder: Path) -> None:
    bad = read_tensors(folder)["lm_head.weight"]
    bad[0, 0], bad[1, 1] = float("nan"), float("inf")
    edit_tensors(folder, {"lm_head.weight": bad})
    assert ToyForCausalLM.from_pretrained(folder).lm_head.weight.isnan().any()
    with pytest.raises(NonFiniteWeightsError, match=r"lm_head\.weight: 2 elements"):
        ToyForCausalLM.from_pretrained(folder, check_finite=True)


def test_fused_and_split_forms_together(folder: Path) -> None:
    edit_tensors(folder, {"model.layers.0.q_proj.weight": torch.zeros(WIDTH, WIDTH)})
    with pytest.raises(AmbiguousWeightsError, match=r"q_proj\.weight twice"):
        ToyForCausalLM.from_pretrained(folder)


def test_unknown_argument(folder: Path) -> None:
    with pytest.raises(TypeError, match=r"no argument 'alow_missing'; did you mean 'allow_missing'"):
        ToyForCausalLM.from_pretrained(folder, alow_missing=())  # type: ignore[call-arg] # that is the test
