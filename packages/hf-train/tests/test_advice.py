"""The estimate agrees with what a step keeps, and advice is given where it pays."""

from typing import Any

import pytest
import torch

from hf_config.families.llama import LlamaConfig
from hf_modeling import LlamaForCausalLM
from hf_train.advice import Shape, advise, estimate, shape_of
from hf_train.arguments import TrainingArguments


def tiny(**fields: Any) -> LlamaForCausalLM:
    sizes = {"vocab_size": 512, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3}
    config = LlamaConfig(num_attention_heads=4, **(sizes | fields))
    return LlamaForCausalLM(config).train()


def kept(model: LlamaForCausalLM, rows: int, length: int) -> int:
    """Bytes that a forward pass keeps for the backward pass, weights excluded."""
    weights = {param.untyped_storage().data_ptr() for param in model.parameters()}
    storages: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    ids = torch.randint(0, 512, (rows, length))
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = model(input_ids=ids, labels=ids, use_cache=False)
    assert output.loss is not None
    return sum(storages.values())


@pytest.mark.parametrize("fields", [{}, {"intermediate_size": 512}, {"num_key_value_heads": 1}])
def test_the_activations_of_a_layer_are_estimated_to_a_tenth(fields: dict[str, int]) -> None:
    args = TrainingArguments("unused", per_device_train_batch_size=2)
    shallow, deep = (tiny(num_hidden_layers=layers, **fields) for layers in (1, 5))
    expected = (
        estimate(shape_of(deep), args, 64).activations - estimate(shape_of(shallow), args, 64).activations
    )
    assert expected == pytest.approx(kept(deep, 2, 64) - kept(shallow, 2, 64), rel=0.1)


def test_parameters_are_counted_exactly() -> None:
    model = tiny()
    for name, param in model.named_parameters():
        param.requires_grad_("mlp" in name)
    shape, args = shape_of(model), TrainingArguments("unused")
    trained = sum(param.numel() for param in model.parameters() if param.requires_grad)
    found = estimate(shape, args, 8)
    assert (found.gradients, found.optimizer) == (4 * trained, 8 * trained)
    assert found.weights == 4 * sum(param.numel() for param in model.parameters())
    assert found.total == sum(
        (found.weights, found.gradients, found.optimizer, found.activations, found.logits)
    )
    assert "MiB" in str(found)


@pytest.mark.parametrize(
    ("name", "bytes_each"),
    [
        ("adamw_torch", 8.0),
        ("adamw_bnb_8bit", 2.1),
        ("lion_32bit", 4.0),
        ("sgd", 0.0),
        ("paged_ademamix_32bit", 12.0),
    ],
)
def test_optimizers_differ_in_state(name: str, bytes_each: float) -> None:
    shape = shape_of(tiny())
    found = estimate(shape, TrainingArguments("unused", optim=name), 8)
    assert found.optimizer == int(bytes_each * shape.trainable)


BIG = Shape(
    layers=32,
    hidden=4096,
    mlp=14336,
    keys=1024,
    vocabulary=128_256,
    parameters=8_000_000_000,
    trainable=8_000_000_000,
    weight_bytes=32_000_000_000,
)


def test_a_run_that_does_not_fit_is_told_how() -> None:
    args = TrainingArguments("unused", per_device_train_batch_size=8)
    found = advise(BIG, args, [4096], memory=80 * 2**30, bf16_is_fast=True)
    settings = " ".join(one.setting for one in found)
    for name in (
        "activation_checkpointing",
        "adamw_bnb_8bit",
        "use_liger_kernel",
        "bf16",
        "gradient_accumulation_steps=2",
    ):
        assert name in settings
    assert [one.saves for one in found] == sorted((one.saves for one in found), reverse=True)
    assert all(one.reason for one in found)
    better = TrainingArguments(
        "unused",
        activation_checkpointing=True,
        use_liger_kernel=True,
        optim="adamw_bnb_8bit",
        per_device_train_batch_size=8,
    )
    assert estimate(BIG, better, 4096).total < 0.3 * estimate(BIG, args, 4096).total


def test_a_run_that_fits_is_left_alone() -> None:
    shape = shape_of(tiny())
    assert advise(shape, TrainingArguments("unused"), [64], memory=80 * 2**30) == ()


def test_rows_of_uneven_length_are_worth_packing() -> None:
    shape = shape_of(tiny())
    (found,) = advise(shape, TrainingArguments("unused"), [512, 10, 20, 30], memory=80 * 2**30)
    assert "pack" in found.setting
    assert "28%" in found.reason
