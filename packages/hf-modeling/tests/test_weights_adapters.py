"""LoRA merged into weights: the product lands where the layout says, and every tensor has a place."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hf_hub_io.errors import AdapterError
from hf_modeling import merge_adapter
from hf_modeling.testing.toy import VOCAB, WIDTH, ToyConfig, ToyForCausalLM, write_tensors

LAYER = "base_model.model.transformer.h.1."


def write_adapter(folder: Path, tensors: Mapping[str, Tensor], **settings: object) -> Path:
    folder.mkdir(exist_ok=True)
    write_tensors(folder, tensors, "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 6, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def pair(inside: int, outside: int) -> tuple[Tensor, Tensor]:
    return torch.randn(2, inside), torch.randn(outside, 2)


def test_a_product_is_split_like_the_weight_it_changes(tmp_path: Path) -> None:
    model = ToyForCausalLM(ToyConfig())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    a, b = pair(WIDTH, 3 * WIDTH)
    path = write_adapter(
        tmp_path, {LAYER + "attn.lora_A.weight": a, LAYER + "attn.lora_B.weight": b}, fan_in_fan_out=True
    )
    report = merge_adapter(model, path, scale=0.5)
    delta = 0.5 * 6 / 2 * (b @ a)  # rows are the outputs q, k, v; the checkpoint stores the transpose
    for i, name in enumerate(("q", "k", "v")):
        key = f"model.layers.1.{name}_proj.weight"
        expected = before.pop(key) + delta[i * WIDTH : (i + 1) * WIDTH]
        assert torch.allclose(model.state_dict()[key], expected, atol=1e-6)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
    assert report.merged == tuple(f"model.layers.1.{name}_proj.weight" for name in "qkv")
    assert report.replaced == ()


def test_embeddings_whole_modules_and_scales_of_their_own(tmp_path: Path) -> None:
    model = ToyForCausalLM(ToyConfig())
    before = model.model.embed_tokens.weight.detach().clone()
    a, b = torch.randn(2, VOCAB), torch.randn(WIDTH, 2)
    head = torch.randn(VOCAB, WIDTH)
    path = write_adapter(
        tmp_path,
        {
            "base_model.model.transformer.wte.lora_embedding_A": a,
            "base_model.model.transformer.wte.lora_embedding_B": b,
            "base_model.model.lm_head.weight": head,
        },
        rank_pattern={"wte": 4},
        alpha_pattern={"transformer.wte": 8},
        use_rslora=True,
    )
    report = merge_adapter(model, path)
    assert torch.allclose(model.model.embed_tokens.weight, before + 8 / 2 * (b @ a).mT, atol=1e-5)
    assert torch.equal(model.lm_head.weight, head)
    assert report.replaced == ("lm_head.weight",)


def test_bfloat16_weights_are_rounded_once(tmp_path: Path) -> None:
    model = ToyForCausalLM(ToyConfig()).bfloat16()
    before = model.lm_head.weight.detach().clone()
    a, b = pair(WIDTH, VOCAB)
    name = "base_model.model.lm_head.lora_"
    merge_adapter(model, write_adapter(tmp_path, {name + "A.weight": a, name + "B.weight": b}))
    assert torch.equal(model.lm_head.weight, (before.float() + 3 * (b @ a)).bfloat16())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((LAYER + "attn.lora_A.weight",), "has no partner lora_B.weight"),
        ((LAYER + "attn.lora_B.weight",), "is not part of a pair"),
        (("transformer.h.1.attn.weight",), "is not part of a pair"),
        (
            (LAYER + "ffn.lora_A.weight", LAYER + "ffn.lora_B.weight"),
            r"h\.1\.ffn\.weight has no place in the model",
        ),
    ],
)
def test_a_tensor_without_a_place_raises_and_changes_nothing(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    model = ToyForCausalLM(ToyConfig())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    a, b = pair(WIDTH, VOCAB)
    good = {"base_model.model.lm_head.lora_A.weight": a, "base_model.model.lm_head.lora_B.weight": b}
    path = write_adapter(tmp_path, {**good, **dict(zip(names, (a, b), strict=False))})
    with pytest.raises(AdapterError, match=message):
        merge_adapter(model, path)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())


def test_an_adapter_of_another_size(tmp_path: Path) -> None:
    a, b = pair(WIDTH, VOCAB + 1)
    name = "base_model.model.lm_head.lora_"
    path = write_adapter(tmp_path, {name + "A.weight": a, name + "B.weight": b})
    with pytest.raises(AdapterError, match=r"lm_head\.weight is \[25, 8\] in it and \[24, 8\] in the model"):
        merge_adapter(ToyForCausalLM(ToyConfig()), path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"peft_type": "IA3"}, "is a IA3 adapter"),
        ({"use_dora": True}, "sets use_dora"),
        ({"r": 0}, "has r = 0"),
        ({"rank_pattern": {"a": "b"}}, "not numbers by module"),
    ],
)
def test_settings_that_mean_more_than_a_product(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    path = write_adapter(tmp_path, {"base_model.model.lm_head.weight": torch.zeros(VOCAB, WIDTH)}, **settings)
    with pytest.raises(AdapterError, match=message):
        merge_adapter(ToyForCausalLM(ToyConfig()), path)
