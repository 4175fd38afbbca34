"""Wrong facts about mixers beyond attention are found, two or more for each mixer.

Short convolutions have no fact but their sizes, which their weights show; their formula is held in the unit tests.
"""

from dataclasses import replace

import pytest
import torch

from hf_modeling.spec import (
    AttentionBesideMamba,
    BlockIndex,
    DecoderSpec,
    DifferentialAttention,
    Embed,
    GatedDelta,
    KimiDelta,
    LatentAttention,
    Lightning,
    Mamba1,
    Mamba2,
    MixtureOfAttention,
    Mlstm,
    NormedStream,
    OwnIndex,
    PreNorm,
    PreviousIndex,
    RgLru,
    RmsNorm,
    Rope,
    Window,
)
from integration_tests.families.oracle import LENGTH, random_ids, relative_error
from integration_tests.families.test_negative_controls import LEAST, right_model, wrong_model
from integration_tests.families.wrong_facts import Control, each, having, instead, wired


def half_split(index: OwnIndex) -> OwnIndex:
    return replace(index, rope=replace(index.rope, layout="half"))


def slower(mixer: Lightning) -> Lightning:
    return replace(mixer, rates=tuple(rate / 2 for rate in mixer.rates))


LATENT = [
    Control("deepseek_v3", "half-split pairs", having(Rope, layout="half")),
    Control("deepseek_v3", "no positions", having(LatentAttention, rope=None)),
    Control("minicpm3", "interleaved pairs", having(Rope, layout="interleaved")),
    Control("youtu", "another scale", having(LatentAttention, scale=1.0)),
    Control("kimi_linear", "another scale", having(LatentAttention, scale=1.0)),
    Control("bailing_hybrid", "no gate", having(LatentAttention, gate=None)),
    Control("dots3_note_text", "no gate", having(LatentAttention, gate=None)),
    Control("dots3_note_text", "latents as they are", having(LatentAttention, latent_multiplier=1.0)),
    Control("dots3_note_text", "queries as they are", having(LatentAttention, query_multiplier=1.0)),
    Control("dots3_note_text", "the key not normalised", having(LatentAttention, rope_norm=None)),
    Control("dots3_note_text", "window one longer", having(Window, size=6)),
    Control("mistral4", "queries that do not grow", having(LatentAttention, position_scale=None)),
    Control("mistral4", "scores not scaled", having(LatentAttention, scale=12**-0.5)),
    Control("axk2", "no gate", having(LatentAttention, gate=None)),
    Control("axk2", "half-split pairs", having(Rope, layout="half")),
]
INDICES = [
    Control("deepseek_v32", "one key less", having(OwnIndex, top_k=3)),
    Control("deepseek_v32", "no index", having(LatentAttention, index=None)),
    Control("glm_moe_dsa", "the index half-split", each(OwnIndex, half_split)),
    Control("glm_moe_dsa", "nobody follows", instead(PreviousIndex, None)),
    Control("minimax_m3_vl_text", "one block less", having(BlockIndex, top_blocks=2)),
    Control("minimax_m3_vl_text", "longer blocks", having(BlockIndex, block=3)),
    Control("minimax_m3_vl_text", "no block of its own", having(BlockIndex, local_blocks=0)),
]
DELTAS = [
    Control("qwen3_next", "writes twice as strong", having(GatedDelta, beta_scale=2.0)),
    Control("qwen3_next", "no activation", having(GatedDelta, activation="identity")),
    Control("olmo_hybrid", "writes half as strong", having(GatedDelta, beta_scale=1.0)),
    Control("qwen3_5_text", "another activation", having(GatedDelta, activation="relu")),
    Control("kimi_linear", "bounded decays", having(KimiDelta, lowest=-5.0)),
    Control("kimi_linear", "no activation", having(KimiDelta, activation="identity")),
    Control("bailing_hybrid", "unbounded decays", having(KimiDelta, lowest=None)),
    Control("bailing_hybrid", "decays bounded elsewhere", having(KimiDelta, lowest=-1.0)),
    Control("minimax", "slower decays", each(Lightning, slower)),
    Control("minimax", "no activation", having(Lightning, activation="identity")),
    Control("minimax", "the stream carries on", wired(NormedStream, PreNorm)),
]
STATES = [
    Control("mamba", "no activation", having(Mamba1, activation="identity")),
    Control(
        "mamba", "parameters normalised", having(Mamba1, parameter_norm=RmsNorm(eps=1e-6, weight="none"))
    ),
    Control("falcon_mamba", "parameters as they are", having(Mamba1, parameter_norm=None)),
    Control("jamba", "parameters as they are", having(Mamba1, parameter_norm=None)),
    Control("mamba2", "one group of the norm", having(Mamba2, norm_groups=1)),
    Control("mamba2", "normalised before the gate", having(Mamba2, norm_first=True)),
    Control("bamba", "shorter steps", having(Mamba2, step_limits=(0.0, 0.3))),
    Control("bamba", "no bias of the kernel", having(Mamba2, conv_bias=False)),
    Control("nemotron_h", "longer steps", having(Mamba2, step_limits=(0.5, float("inf")))),
    Control("falcon_h1", "parts as they are", having(Mamba2, multipliers=None)),
    Control("falcon_h1", "gated before the norm", having(Mamba2, norm_first=False)),
    Control("falcon_h1", "input as it is", having(Mamba2, input_multiplier=1.0)),
    Control("falcon_h1", "output as it is", having(Mamba2, output_multiplier=1.0)),
    Control("falcon_h1", "attention reads as it is", having(AttentionBesideMamba, attention_input=1.0)),
    Control("falcon_h1", "attention gives as it is", having(AttentionBesideMamba, attention_output=1.0)),
    Control("recurrent_gemma", "another activation", having(RgLru, activation="silu")),
    Control("recurrent_gemma", "no activation", having(RgLru, activation="identity")),
]
OTHERS = [
    Control("rwkv", "no norm of embeddings", having(Embed, norm=None)),
    Control("rwkv", "the norm carries on", wired(PreNorm, NormedStream)),
    Control("xlstm", "gates not capped", having(Mlstm, gate_cap=None)),
    Control("xlstm", "another eps", having(Mlstm, norm_eps=0.1)),
    Control("diffllama", "another start", having(DifferentialAttention, start=0.1)),
    Control("diffllama", "interleaved pairs", having(Rope, layout="interleaved")),
    Control("jetmoe", "one expert less", having(MixtureOfAttention, top_k=1)),
    Control("jetmoe", "interleaved pairs", having(Rope, layout="interleaved")),
]
CONTROLS = [*LATENT, *INDICES, *DELTAS, *STATES, *OTHERS]


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"{control.row}: {control.fact}")
def test_a_wrong_fact_about_a_mixer_shows(control: Control) -> None:
    right = right_model(control.row)
    spec = right.family.spec(right.config)
    assert isinstance(spec, DecoderSpec)
    edited = control.edit(spec)
    assert edited != spec, "nothing was changed"
    ids = random_ids(2, LENGTH)
    with torch.no_grad():
        expected, actual = right(ids).logits, wrong_model(right, edited)(ids).logits
    assert relative_error(actual, expected) > LEAST
