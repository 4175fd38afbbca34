"""The laws of loading and saving a whole model: strict, conserving, bit-exact, thread-safe, shared."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from hf_modeling.testing.toy import (
    EXPERTS,
    VOCAB,
    WIDTH,
    Toy,
    ToyBlock,
    ToyClassifier,
    ToyConfig,
    ToyForCausalLM,
    assert_same,
    edit_tensors,
    read_tensors,
    write_tensors,
)
from hf_modeling.weights.errors import (
    MissingWeightsError,
    TiedWeightsError,
    UnsupportedDTypeError,
)
from hf_modeling.weights.plan import OTHER_HEAD


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved causal toy."""
    torch.manual_seed(0)
    ToyForCausalLM(ToyConfig()).save_pretrained(tmp_path / "toy")
    return tmp_path / "toy"


def test_saving_what_was_loaded_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    ToyForCausalLM.from_pretrained(folder).save_pretrained(tmp_path / "again")
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        folder / "model.safetensors"
    ).read_bytes()
    assert json.loads((tmp_path / "again" / "config.json").read_text())["architectures"] == ["ToyForCausalLM"]


def test_names_on_disk_are_the_familys_own(folder: Path) -> None:
    names = set(read_tensors(folder))
    assert {
        "transformer.wte.weight",
        "transformer.h.1.attn.bias",
        "transformer.h.0.experts.2.w3.weight",
    } <= names
    assert read_tensors(folder)["transformer.h.0.attn.weight"].shape == (WIDTH, 3 * WIDTH)
    assert not any(name.startswith("model.") for name in names)


def test_the_report_accounts_for_every_tensor(folder: Path) -> None:
    edit_tensors(folder, {"transformer.h.0.mask": torch.zeros(2, 2)})
    model = Toy.from_pretrained(folder)
    report = model.load_report
    assert report is not None
    assert report.ignored == {"transformer.h.0.mask": "the causal mask", "lm_head.weight": OTHER_HEAD}
    assert report.consumed + len(report.ignored) == len(read_tensors(folder))
    assert report.nbytes == sum(t.nbytes for t in model.state_dict().values())
    assert report.files == (folder / "model.safetensors",)
    assert "2 (" not in str(report)
    assert "the causal mask" in str(report)
    assert not model.training


def test_weights_that_need_no_conversion_stay_in_the_file(folder: Path) -> None:
    model = ToyForCausalLM.from_pretrained(folder)
    assert model.load_report is not None
    experts = sum(p.nbytes for name, p in model.named_parameters() if "experts" in name)
    assert model.load_report.bytes_mapped == model.load_report.nbytes - experts


def test_training_in_place_never_changes_the_file(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    model = ToyForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert (folder / "model.safetensors").read_bytes() == before
    assert_same(ToyForCausalLM.from_pretrained(folder), ToyForCausalLM.from_pretrained(folder))


def test_a_model_can_be_saved_over_the_file_it_is_mapped_from(folder: Path) -> None:
    model = ToyForCausalLM.from_pretrained(folder)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.save_pretrained(folder)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in model.state_dict().items())
    assert_same(model, ToyForCausalLM.from_pretrained(folder))


def test_shards_load_as_one(folder: Path, tmp_path: Path) -> None:
    model = ToyForCausalLM.from_pretrained(folder)
    plan = model.save_pretrained(tmp_path / "shards", max_shard_size=1000)
    assert len(plan.files) > 2
    assert_same(model, ToyForCausalLM.from_pretrained(tmp_path / "shards"))
    model.save_pretrained(tmp_path / "shards")  # the old shards and their index go
    assert sorted(p.name for p in (tmp_path / "shards").iterdir()) == ["config.json", "model.safetensors"]


def test_variants_have_their_own_name(folder: Path) -> None:
    model = ToyForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model.save_pretrained(folder, variant="bf16")
    assert (folder / "model.bf16.safetensors").exists()
    assert_same(model, ToyForCausalLM.from_pretrained(folder, variant="bf16"))


@pytest.mark.parametrize("asked", [torch.bfloat16, "bfloat16", "float16"])
def test_casting_spares_what_the_family_keeps_in_float32(folder: Path, asked: torch.dtype | str) -> None:
    edit_tensors(folder, {"transformer.h.0.gate_bias": torch.full((EXPERTS,), 0.123456789)})
    exact = ToyForCausalLM.from_pretrained(folder)
    model = ToyForCausalLM.from_pretrained(folder, dtype=asked)
    for name, tensor in model.state_dict().items():
        expected = exact.state_dict()[name]
        if "correction_bias" in name:
            assert torch.equal(tensor, expected)
        else:
            assert torch.equal(tensor, expected.to(tensor.dtype))
    assert model.dtype == (asked if isinstance(asked, torch.dtype) else getattr(torch, asked))
    assert model.config.dtype == str(model.dtype).removeprefix("torch.")


def test_dtype_comes_from_the_config_and_then_from_the_files(folder: Path) -> None:
    write_tensors(folder, {name: tensor.bfloat16() for name, tensor in read_tensors(folder).items()})
    assert ToyForCausalLM.from_pretrained(folder).dtype == torch.float32  # config.json says so
    config = ToyConfig()
    assert ToyForCausalLM.from_pretrained(folder, config=config).dtype == torch.bfloat16
    with pytest.raises(UnsupportedDTypeError, match="cannot calculate in dtype 'int8'"):
        ToyForCausalLM.from_pretrained(folder, dtype="int8")


def test_nothing_is_initialised_that_is_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("normal_", "uniform_", "kaiming_uniform_"):
        monkeypatch.setattr(nn.init, name, lambda t, *a, **k: t if t.is_meta else pytest.fail("initialised"))
    ToyForCausalLM.from_pretrained(folder)


def test_threads_load_the_same_bits(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    Toy(ToyConfig(num_hidden_layers=3)).save_pretrained(tmp_path / "base")
    expected = (
        ToyForCausalLM.from_pretrained(folder),
        Toy.from_pretrained(tmp_path / "base", dtype="bfloat16"),
    )
    failures: list[BaseException] = []

    def load() -> None:
        try:
            for _ in range(10):
                assert_same(expected[0], ToyForCausalLM.from_pretrained(folder))
                assert_same(expected[1], Toy.from_pretrained(tmp_path / "base", dtype="bfloat16"))
        except BaseException as error:  # noqa: BLE001 # reported by the main thread
            failures.append(error)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_tied_head_is_stored_once_and_shared(tmp_path: Path) -> None:
    model = ToyForCausalLM(ToyConfig(tie_word_embeddings=True))
    model.save_pretrained(tmp_path)
    assert "lm_head.weight" not in read_tensors(tmp_path)
    loaded = ToyForCausalLM.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.model.embed_tokens.weight
    assert loaded.load_report is not None
    assert loaded.load_report.tied == {"lm_head.weight": "model.embed_tokens.weight"}
    assert_same(model, loaded)


def test_a_second_copy_of_a_tied_weight_must_be_equal(tmp_path: Path) -> None:
    ToyForCausalLM(ToyConfig(tie_word_embeddings=True)).save_pretrained(tmp_path)
    weight = read_tensors(tmp_path)["transformer.wte.weight"]
    edit_tensors(tmp_path, {"lm_head.weight": weight})
    report = ToyForCausalLM.from_pretrained(tmp_path).load_report
    assert report is not None
    assert report.ignored == {"lm_head.weight": "the same weight as model.embed_tokens.weight"}
    edit_tensors(tmp_path, {"lm_head.weight": weight + 1})
    with pytest.raises(TiedWeightsError, match=r"ties lm_head\.weight to model\.embed_tokens\.weight"):
        ToyForCausalLM.from_pretrained(tmp_path)
    ToyForCausalLM.from_pretrained(tmp_path, allow_unexpected=("lm_head.weight",))
    edit_tensors(tmp_path, {"lm_head.weight": weight, "transformer.wte.weight": None})
    assert torch.equal(ToyForCausalLM.from_pretrained(tmp_path).model.embed_tokens.weight, weight)


def test_a_new_head_needs_permission_and_starts_random(folder: Path) -> None:
    with pytest.raises(MissingWeightsError, match=r'allow_missing=\("score\.weight",\)') as error:
        ToyClassifier.from_pretrained(folder, num_labels=5)
    assert error.value.names == ("score.weight",)
    model = ToyClassifier.from_pretrained(folder, num_labels=5, allow_missing=("score.*",))
    assert model.load_report is not None
    assert model.load_report.initialized == ("score.weight",)
    assert model.score.weight.shape == (5, WIDTH)
    assert 0.2 < float(model.score.weight.detach().std()) < 0.9
    assert torch.equal(model.model.embed_tokens.weight, read_tensors(folder)["transformer.wte.weight"])


def test_base_and_headed_checkpoints_serve_each_other(folder: Path, tmp_path: Path) -> None:
    base = Toy.from_pretrained(folder)
    base.save_pretrained(tmp_path / "base")
    assert "wte.weight" in read_tensors(tmp_path / "base")
    with pytest.raises(MissingWeightsError):
        ToyForCausalLM.from_pretrained(tmp_path / "base")
    headed = ToyForCausalLM.from_pretrained(tmp_path / "base", allow_missing=("lm_head.*",))
    assert_same(base, Toy.from_pretrained(tmp_path / "base"))
    assert torch.equal(headed.model.embed_tokens.weight, base.embed_tokens.weight)


def test_only_the_missing_part_of_a_module_is_made_up(folder: Path) -> None:
    attention = read_tensors(folder)["transformer.h.0.attn.weight"]
    edit_tensors(folder, {"transformer.h.0.attn.bias": None})
    model = ToyForCausalLM.from_pretrained(folder, allow_missing=("*.bias",))
    block = model.model.layers[0]
    assert isinstance(block, ToyBlock)
    assert torch.equal(block.q_proj.weight, attention[:, :WIDTH].mT)
    assert torch.equal(block.q_proj.bias, torch.zeros(WIDTH))


@pytest.mark.parametrize("tied", [True, False])
def test_resizing_keeps_rows_and_ties(tied: bool) -> None:
    model = ToyForCausalLM(ToyConfig(tie_word_embeddings=tied))
    old = model.model.embed_tokens.weight.detach().clone()
    grown = model.resize_token_embeddings(VOCAB + 1, pad_to_multiple_of=8)
    assert isinstance(grown, nn.Embedding)
    assert grown.num_embeddings == model.config.vocab_size == 32  # type: ignore[attr-defined]
    assert torch.equal(grown.weight[:VOCAB], old)
    assert torch.allclose(grown.weight[VOCAB:], old.mean(0).expand(8, -1), atol=1e-6)
    assert (model.lm_head.weight is grown.weight) == tied
    assert model.lm_head.weight.shape == (32, WIDTH)
    assert model.lm_head(torch.zeros(1, WIDTH)).shape == (1, 32)
    assert torch.equal(model.resize_token_embeddings(5).weight, old[:5])  # type: ignore[arg-type]


def test_counting_parameters() -> None:
    tied, loose = (ToyForCausalLM(ToyConfig(tie_word_embeddings=tie)) for tie in (True, False))
    assert loose.num_parameters() - tied.num_parameters() == VOCAB * WIDTH
    assert tied.num_parameters() - tied.num_parameters(exclude_embeddings=True) == VOCAB * WIDTH
    for parameter in tied.parameters():
        parameter.requires_grad = False
    assert tied.num_parameters(only_trainable=True) == 0
    assert tied.device.type == "cpu"


def test_meta_costs_nothing_and_a_plain_call_gives_random_weights() -> None:
    with torch.device("meta"):
        assert all(p.is_meta for p in ToyForCausalLM(ToyConfig()).parameters())
    model = ToyForCausalLM(ToyConfig())
    assert model.training
    assert not any(p.is_meta for p in model.parameters())
    assert 0.3 < float(model.lm_head.weight.detach().std()) < 0.7
