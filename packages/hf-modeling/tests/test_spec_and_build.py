"""Specs are values without torch; what is built from them runs straight."""

from __future__ import annotations

import ast
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from pathlib import Path
from typing import assert_never

import pytest
import torch
from torch import nn

import hf_modeling
from hf_modeling import spec as spec_module
from hf_modeling.build import Building, build_block, build_norm, build_stem, build_tokens, start
from hf_modeling.init import allocate, initialize
from hf_modeling.layers.block import join
from hf_modeling.layers.convolved import SameConv
from hf_modeling.layers.per_layer import PerLayerInputLayer
from hf_modeling.source import Source
from hf_modeling.spec import (
    Attention,
    Block,
    Convolved,
    CrossAttention,
    Crossed,
    DecoderSpec,
    Embed,
    EmbedScale,
    FfnOnly,
    GatedMlp,
    LayerNorm,
    LearnedPositions,
    MixerOnly,
    Mlp,
    NormedStream,
    NormedSum,
    Parallel,
    PerLayerInput,
    PostNorm,
    PreNorm,
    RmsNorm,
    Rope,
    Sandwich,
    ScaledSandwich,
    SharedKeyValue,
    SinusoidPositions,
    Sum,
    Weighted,
    XIelu,
)
from hf_modeling.step import begin

CPU = torch.device("cpu")
WIDTH = 8
NORM = RmsNorm(eps=1e-6)
MIXER = Attention(heads=2, kv_heads=1, head_dim=4, rope=Rope(theta=100.0, dim=4))
FFN = GatedMlp(width=12, activation="silu")
CROSS = CrossAttention(heads=2, head_dim=4)
SANDWICH = Sandwich(
    mixer=MIXER, mixer_norm=NORM, mixer_output_norm=NORM, ffn=FFN, ffn_norm=NORM, ffn_output_norm=NORM
)
BLOCKS: list[Block] = [
    PreNorm(mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=NORM),
    PostNorm(mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=NORM),
    NormedSum(mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=NORM),
    Convolved(
        mixer=MIXER,
        mixer_norm=NORM,
        ffn=FFN,
        ffn_norm=NORM,
        kernel=3,
        groups=2,
        activation="tanh",
        conv_norm=NORM,
    ),
    NormedStream(
        mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=NORM, mixer_residual=Weighted(stream=2.0, branch=3.0)
    ),
    SANDWICH,
    Parallel(mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=None),
    Parallel(mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=NORM),
    MixerOnly(mixer=MIXER, norm=NORM),
    FfnOnly(ffn=FFN, norm=NORM),
    Crossed(block=PreNorm(mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=NORM), cross=CROSS, norm=NORM),
    Crossed(block=NormedSum(mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=NORM), cross=CROSS, norm=NORM),
    ScaledSandwich(sandwich=SANDWICH),
    ScaledSandwich(sandwich=SANDWICH, per_layer=PerLayerInput(dim=3, activation="gelu", norm=NORM)),
]


def test_specs_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; import hf_modeling.spec; print(hf_modeling.spec.Attention)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_specs_are_frozen_values_given_by_name() -> None:
    kinds = [getattr(spec_module, name) for name in spec_module.__all__]
    kinds = [kind for kind in kinds if isinstance(kind, type) and is_dataclass(kind)]
    assert len(kinds) > 40
    for kind in kinds:
        assert all(field.kw_only for field in fields(kind)), kind
        assert kind.__dataclass_params__.frozen, kind
    with pytest.raises(FrozenInstanceError):
        NORM.eps = 1.0  # type: ignore[misc] # that is the point
    assert len({MIXER, replace(MIXER), replace(MIXER, heads=4)}) == 2


def forwards() -> list[tuple[str, ast.FunctionDef]]:
    folder = Path(hf_modeling.__file__).parent / "layers"
    return [
        (f"{path.name}:{node.lineno}", node)
        for path in sorted(folder.glob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and node.name in ("forward", "__call__")
    ]


def test_no_forward_reads_a_spec_or_a_config() -> None:
    assert len(forwards()) > 40
    found = [
        place
        for place, forward in forwards()
        for node in ast.walk(forward)
        if isinstance(node, ast.Attribute) and node.attr in ("spec", "config", "model_type")
    ]
    assert found == []


def test_forwards_fit_half_a_screen() -> None:
    long = {
        place: f.end_lineno - f.lineno
        for place, f in forwards()
        if f.end_lineno and f.end_lineno - f.lineno > 40
    }
    assert long == {}


def built(spec: Block) -> nn.Module:
    block = build_block(spec, 0, Building(width=WIDTH))
    assert all(parameter.is_meta for parameter in block.parameters())
    torch.manual_seed(0)
    allocate(block, CPU)
    initialize(block.modules(), std=0.3)
    return block.eval()


@pytest.mark.parametrize("spec", BLOCKS, ids=lambda spec: type(spec).__name__)
def test_wirings(spec: Block) -> None:
    """Every wiring against its sentence, with the block's own parts."""
    block = built(spec)
    h = torch.randn(2, 5, WIDTH, generator=torch.Generator().manual_seed(1))
    step = begin(batch=2, new=5, device=CPU)
    step.per_layer_BTLP = torch.randn(2, 5, 1, 3)
    step.source = Source(torch.randn(2, 7, WIDTH))
    part = dict(block.named_children())
    n1 = part.get("input_layernorm", nn.Identity())
    n2 = part.get("post_attention_layernorm", nn.Identity())

    def mixer(x: torch.Tensor) -> torch.Tensor:
        mixed: torch.Tensor = part["self_attn"](x, step)
        return mixed

    def ffn(x: torch.Tensor) -> torch.Tensor:
        made: torch.Tensor = part["mlp"](x, step)
        return made

    with torch.no_grad():
        match spec:
            case PreNorm():
                a = h + mixer(n1(h))
                expected = a + ffn(n2(a))
            case PostNorm():
                a = h + n2(mixer(h))
                expected = a + part["post_feedforward_layernorm"](ffn(a))
            case NormedSum():
                a = n2(h + mixer(h))
                expected = part["post_feedforward_layernorm"](a + ffn(a))
            case Convolved():
                a = n2(h + mixer(h))
                own = part["conv"]
                assert isinstance(own, SameConv)
                near = torch.tanh(torch.conv1d(h.mT, own.weight, own.bias, padding=1, groups=2).mT)
                expected = part["conv_norm"](part["post_feedforward_layernorm"](a + ffn(a)) + near)
            case NormedStream():
                a = 2 * n1(h) + 3 * mixer(n1(h))
                expected = n2(a) + ffn(n2(a))
            case Sandwich() | ScaledSandwich():
                a = h + n2(mixer(n1(h)))
                a = a + part["post_feedforward_layernorm"](ffn(part["pre_feedforward_layernorm"](a)))
                if "per_layer_input" in part:
                    own = part["per_layer_input"]
                    assert isinstance(own, PerLayerInputLayer)
                    inner = nn.functional.gelu(own.gate(a)) * step.per_layer_BTLP[:, :, 0]
                    a = a + own.norm(own.projection(inner))
                expected = a
            case Parallel(ffn_norm=None):
                expected = h + mixer(n1(h)) + ffn(n1(h))
            case Parallel():
                expected = h + mixer(n1(h)) + ffn(n2(h))
            case MixerOnly():
                expected = h + mixer(n1(h))
            case FfnOnly():
                expected = h + ffn(n1(h))
            case Crossed(block=PreNorm()):
                a = h + mixer(n1(h))
                a = a + part["cross_attn"](part["cross_attention_layernorm"](a), step)
                expected = a + ffn(n2(a))
            case Crossed():
                a = n2(h + mixer(h))
                a = part["cross_attention_layernorm"](a + part["cross_attn"](a, step))
                expected = part["post_feedforward_layernorm"](a + ffn(a))
            case _:
                assert_never(spec)
        torch.testing.assert_close(block(h, step), expected)
        if isinstance(spec, ScaledSandwich):
            block.get_buffer("layer_scalar").fill_(0.5)
            torch.testing.assert_close(block(h, step), 0.5 * expected)


def test_residuals() -> None:
    h, f = torch.randn(3, 4), torch.randn(3, 4)
    torch.testing.assert_close(join(Sum())(h, f), h + f)
    torch.testing.assert_close(join(Weighted(branch=0.3))(h, f), h + 0.3 * f)
    torch.testing.assert_close(join(Weighted(stream=0.5, branch=0.3))(h, f), 0.5 * h + 0.3 * f)
    for spec in (Sum(dropout=1.0), Weighted(dropout=1.0), Weighted(stream=1.0, branch=2.0, dropout=1.0)):
        dropped = join(spec)
        assert isinstance(dropped, nn.Module)
        torch.testing.assert_close(dropped.train()(h, f), h)
        assert not torch.equal(dropped.eval()(h, f), h)


def decoder(*blocks: Block) -> DecoderSpec:
    return DecoderSpec(width=WIDTH, embed=Embed(vocab=10), blocks=blocks, norm=NORM)


def test_layers_that_say_the_same_share_a_rotation() -> None:
    local = replace(MIXER, rope=Rope(theta=9.0, dim=4))
    pre = PreNorm(mixer=MIXER, mixer_norm=NORM, ffn=FFN, ffn_norm=NORM)
    spec = decoder(pre, replace(pre, mixer=local), pre)
    building = start(spec)
    stages = [
        build_block(block, i, building).get_submodule("self_attn") for i, block in enumerate(spec.blocks)
    ]
    rotations = [stage.query_stages[0].__self__ for stage in stages]  # type: ignore[union-attr,index] # bound methods
    assert rotations[0] is rotations[2]
    assert rotations[0] is not rotations[1]


def test_lenders_are_found_wherever_the_mixer_is() -> None:
    borrowing = replace(MIXER, kv=SharedKeyValue(layer=1))
    deep = ScaledSandwich(sandwich=replace(SANDWICH, mixer=borrowing))
    assert start(decoder(FfnOnly(ffn=FFN, norm=NORM), BLOCKS[0], deep)).lenders == {1}


def test_stems_hold_only_what_there_is() -> None:
    assert build_stem(Embed(vocab=10), WIDTH) is None
    stem = build_stem(
        Embed(vocab=10, dim=4, positions=LearnedPositions(count=6, offset=2), token_types=2, norm=NORM), WIDTH
    )
    assert stem is not None
    assert {name: tuple(p.shape) for name, p in stem.named_parameters()} == {
        "project_in.weight": (WIDTH, 4),
        "token_types.weight": (2, WIDTH),
        "positions.weight": (6, WIDTH),
        "norm.weight": (WIDTH,),
    }


@pytest.mark.parametrize("range_", ["closed", "open"])
@pytest.mark.parametrize("width", [8, 7])
def test_sinusoids(range_: str, width: int) -> None:
    spec = SinusoidPositions(range="closed" if range_ == "closed" else "open", offset=2)
    stem = build_stem(Embed(vocab=10, positions=spec), width)
    assert stem is not None
    table = stem(torch.zeros(1, 3, width), None, begin(batch=1, new=3, device=CPU))[0]
    steps = width // 2 - 1 if range_ == "closed" else width / 2
    for position in range(3):
        for pair in range(width // 2):
            angle = torch.tensor((position + 2) * 10_000 ** (-pair / steps))
            torch.testing.assert_close(table[position, pair], angle.sin())
            torch.testing.assert_close(table[position, width // 2 + pair], angle.cos())
    assert width % 2 == 0 or bool((table[:, -1] == 0).all())


def test_embedding_scales_round_first() -> None:
    spec = Embed(vocab=10, scale=EmbedScale(value=3.3, cast="weight"))
    table = build_tokens(spec, WIDTH)
    allocate(table, CPU)
    initialize(table.modules())
    ids = torch.arange(10)[None]
    torch.testing.assert_close(table(ids), table.weight[None] * 3.3)
    table = table.bfloat16()
    assert torch.equal(table(ids), table.weight[None] * torch.tensor(3.3).bfloat16())


def test_xielu_starts_where_its_paper_does() -> None:
    block = built(FfnOnly(ffn=Mlp(width=12, activation=XIelu()), norm=NORM))
    act = block.get_submodule("mlp.act_fn")
    x = torch.linspace(-3, 3, 13)
    positive = 0.8 * x * x + 0.5 * x
    negative = 0.8 * (torch.expm1(x.clamp(max=-1e-6)) - x) + 0.5 * x
    torch.testing.assert_close(act(x), torch.where(x > 0, positive, negative))


def test_norm_of_nothing_is_nothing() -> None:
    x = torch.randn(3)
    assert build_norm(None, 3)(x) is x
    assert not list(build_norm(LayerNorm(eps=1e-5, weight="none"), 3).parameters())
