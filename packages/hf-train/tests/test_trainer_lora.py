"""Adapters change nothing at first, are all that is trained, and can be merged from what is saved."""

import json
from pathlib import Path

import pytest
import torch

from hf_modeling import merge_adapter
from hf_train import Trainer, TrainingModelError
from hf_train.lora import Lora, LoraLinear, adapters_of, add_lora, plan_lora, save_lora
from hf_train.testing import quiet, same_weights, tiny_classifier, tiny_llama, token_rows, weights_of

IDS = torch.tensor([token_rows(1)[0]["input_ids"]])


def test_an_adapter_begins_as_nothing() -> None:
    model, plain = tiny_llama().eval(), tiny_llama().eval()
    report = add_lora(model, Lora(rank=4))
    assert report.layers == tuple(f"model.layers.{i}.self_attn.{p}_proj" for i in (0, 1) for p in ("q", "v"))
    assert (
        report.trained == sum(p.numel() for p in model.parameters() if p.requires_grad) == 4 * (32 + 24) * 2
    )
    torch.testing.assert_close(model(IDS).logits, plain(IDS).logits)


def test_all_linear_layers_but_the_output() -> None:
    names = plan_lora(tiny_llama(), Lora(targets="all-linear"))
    assert len(names) == 2 * 7
    assert "lm_head" not in names


def test_unknown_layers_are_refused() -> None:
    with pytest.raises(
        TrainingModelError, match=r"is called \('query',\)\n  fix: there are down_proj, gate_proj"
    ):
        plan_lora(tiny_llama(), Lora(targets=("query",)))


def test_training_moves_adapters_alone_and_what_is_saved_merges(tmp_path: Path) -> None:
    model = tiny_llama()
    frozen = weights_of(model)
    add_lora(model, Lora(rank=4, alpha=8, targets="all-linear"))
    trainer = Trainer(
        model, quiet(tmp_path, max_steps=4, save_strategy="steps", save_steps=2), train_dataset=token_rows(16)
    )
    trainer.train()
    now = {name.replace(".base.", "."): p for name, p in model.named_parameters() if "lora" not in name}
    assert same_weights(frozen, {name: p.detach() for name, p in now.items()})
    assert all(bool((layer.lora_B != 0).any()) for layer in adapters_of(model).values())
    trainer.save_model(tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["task_type"] == "CAUSAL_LM"
    plain = tiny_llama().eval()
    merge_adapter(plain, tmp_path / "adapter")
    torch.testing.assert_close(plain(IDS).logits, model.eval()(IDS).logits, rtol=1e-4, atol=1e-5)


def test_adapters_resume(tmp_path: Path) -> None:
    def run(folder: Path, *, resume: bool = False) -> Trainer:
        model = tiny_llama()
        add_lora(model, Lora(rank=2))
        args = quiet(folder, max_steps=4, save_strategy="steps", save_steps=2)
        trainer = Trainer(model, args, train_dataset=token_rows(16))
        trainer.train(resume_from_checkpoint=str(folder / "checkpoint-2") if resume else None)
        return trainer

    whole = run(tmp_path)
    assert same_weights(weights_of(whole.model), weights_of(run(tmp_path, resume=True).model))


def test_a_new_head_is_trained_and_saved_whole(tmp_path: Path) -> None:
    model = tiny_classifier()
    add_lora(model, Lora(whole=("score",)))
    assert model.score.weight.requires_grad
    save_lora(model, tmp_path)
    plain = tiny_classifier(seed=0)
    with torch.no_grad():
        plain.score.weight.zero_()
    merge_adapter(plain, tmp_path)
    assert torch.equal(plain.score.weight, model.score.weight)


def test_quantized_layers_take_adapters() -> None:
    class Packed(torch.nn.Module):
        """A layer without a weight of its own, as quantization makes them."""

        def __init__(self) -> None:
            super().__init__()
            self.in_features, self.out_features = 4, 3
            self.register_buffer("codes", torch.ones(3, 4, dtype=torch.int8))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.get_buffer("codes").float().mT

    model = torch.nn.Sequential()
    model.add_module("proj", Packed())
    add_lora(model, Lora(rank=2, targets=("proj",)))
    layer = model.get_submodule("proj")
    assert isinstance(layer, LoraLinear)
    model(torch.ones(1, 4)).sum().backward()
    assert layer.lora_B.grad is not None
