"""Wrong facts are found: each row of this table changes one fact of a spec, and the logits must show it.

The parity table compares with the peer to 1e-5. A fact whose change moved the logits by less would be a fact
that the row does not check; here every change must move them by more than a hundred times that. The model with
the right spec, which the parity table holds to the peer, is what the wrong one is compared with.
"""

from dataclasses import replace
from functools import cache

import pytest
import torch

from hf_config import config_class
from hf_modeling import AutoModelForCausalLM
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.spec import (
    Attention,
    Causal,
    ChosenSoftmax,
    Chunk,
    ClampedSwiglu,
    DecoderSpec,
    DynamicScaling,
    Embed,
    EmbedScale,
    ExpLogScale,
    FloorLogScale,
    GatedMlp,
    GeometricAlibi,
    Groups,
    InterleavedAlibi,
    LayerNorm,
    LearnedPositions,
    LinearScaling,
    Llama3Scaling,
    LmHead,
    LongRopeScaling,
    Mlp,
    Moe,
    NormedStream,
    NormedSum,
    NtkAlphaScaling,
    OutputGate,
    Parallel,
    PostNorm,
    PowerRenorm,
    PreNorm,
    ProportionalScaling,
    QkNorm,
    RmsNorm,
    Rope,
    Router,
    Sandwich,
    ScaledSandwich,
    SharedExpert,
    SharedKeyValue,
    SigmoidScores,
    SinusoidPositions,
    SoftmaxScores,
    SparseMixer,
    SumRenorm,
    Weighted,
    Window,
    YarnScaling,
)
from integration_tests.families.oracle import LENGTH, fill, random_ids, relative_error
from integration_tests.families.tiny_configs import ROWS
from integration_tests.families.wrong_facts import Control, each, having, instead, shifted, wired

LEAST = 1e-3


def swapped_divisors(scaling: LongRopeScaling) -> LongRopeScaling:
    return replace(scaling, short=scaling.long, long=scaling.short)


WINDOWS = [
    Control("mistral", "window one shorter", having(Window, size=4)),
    Control("mistral", "window one longer", having(Window, size=6)),
    Control("mistral", "no window", instead(Window, Causal())),
    Control("gemma2", "windows on the other layers", shifted),
    Control("cwm", "windows on the other layers", shifted),
    Control("gpt_neo", "no window", instead(Window, Causal())),
    Control("llama4_text", "chunk one shorter", having(Chunk, size=4)),
    Control("llama4_text", "a window for a chunk", instead(Chunk, Window(size=5))),
    Control("llama4_text", "no chunks", instead(Chunk, Causal())),
    Control("llama", "a chunk", having(Attention, mask=Chunk(size=5))),
]
ROPES = [
    Control("llama", "interleaved pairs", having(Rope, layout="interleaved")),
    Control("glm", "half-split pairs", having(Rope, layout="half")),
    Control("cohere", "half-split pairs", having(Rope, layout="half")),
    Control("llama", "another theta", having(Rope, theta=500000.0)),
    Control("gemma3_text", "one theta for all kinds", having(Rope, theta=10000.0)),
    Control("granite_swa", "one theta for all layers", having(Rope, theta=10000.0)),
    Control("llama", "half of each head", having(Rope, dim=4)),
    Control("glm", "the whole head", having(Rope, dim=8)),
    Control("stablelm", "the whole head", having(Rope, dim=8)),
    Control("nanochat", "the usual direction", having(Rope, direction=1)),
    Control("llama", "the other direction", having(Rope, direction=-1)),
    Control("llama", "no positions", having(Attention, rope=None)),
    Control("smollm3", "positions in the other layers", shifted),
    Control("cohere2", "positions in the other layers", shifted),
    Control("llama-linear", "unscaled", having(Rope, scaling=None)),
    Control("llama-linear", "another factor", having(LinearScaling, factor=2.0)),
    Control("llama-dynamic", "unscaled", having(Rope, scaling=None)),
    Control("llama-dynamic", "another factor", having(DynamicScaling, factor=2.0)),
    Control("llama-dynamic", "another trained length", having(DynamicScaling, max_positions=12)),
    Control("llama-yarn", "no factor on cos and sin", having(YarnScaling, attention_factor=1.0)),
    Control("llama-yarn", "another ramp", having(YarnScaling, beta_fast=2.0)),
    Control("llama-yarn", "another trained length", having(YarnScaling, original_positions=8)),
    Control("gpt_oss-yarn", "a ramp of whole pairs", having(YarnScaling, truncate=True)),
    Control("llama-llama3", "unscaled", having(Rope, scaling=None)),
    Control("llama-llama3", "another boundary", having(Llama3Scaling, low=2.0)),
    Control("llama-llama3", "another trained length", having(Llama3Scaling, original_positions=64)),
    Control("phi3-longrope", "short for long", each(LongRopeScaling, swapped_divisors)),
    Control("phi3-longrope", "no factor", having(LongRopeScaling, long_attention_factor=1.0)),
    Control("phimoe-longrope", "the long factor", having(LongRopeScaling, short_attention_factor=1.3)),
    Control("hunyuan_v1_dense-alpha", "unscaled", having(Rope, scaling=None)),
    Control("hunyuan_v1_dense-alpha", "another alpha", having(NtkAlphaScaling, alpha=10.0)),
    Control("gemma4_unified_text", "all pairs turn", having(ProportionalScaling, rotated_dim=16)),
    Control("gemma4_unified_text", "a plain share", having(Rope, scaling=None)),
]
NORMS = [
    Control("gemma", "the weight itself", having(RmsNorm, weight="plain")),
    Control("llama", "one plus the weight", having(RmsNorm, weight="plus_one")),
    Control("nemotron", "the weight itself", having(LayerNorm, weight="plain")),
    Control("llama", "another eps", having(RmsNorm, eps=1e-2)),
    Control("llama", "centred", instead(RmsNorm, LayerNorm(eps=1e-6, bias=False))),
    Control("cohere", "not centred", instead(LayerNorm, RmsNorm(eps=1e-5))),
    Control("phi", "no bias", having(LayerNorm, bias=False)),
    Control("olmo", "not centred", instead(LayerNorm, RmsNorm(eps=1e-5, weight="none"))),
    Control("llama", "no last norm", having(DecoderSpec, norm=None)),
    Control("nanochat", "no norm of embeddings", having(Embed, norm=None)),
    Control("bloom", "no norm of embeddings", having(Embed, norm=None)),
    Control("bitnet", "no norm before the output", having(Attention, output_norm=None)),
    Control("bitnet", "no norm inside the network", having(GatedMlp, inner_norm=None)),
    Control("gemma4_unified_text", "values not normalised", having(Attention, value_norm=None)),
    Control("gemma4_text", "values not normalised", having(Attention, value_norm=None)),
]
WIRINGS = [
    Control("llama", "side by side", wired(PreNorm, Parallel)),
    Control("llama", "the norm carries on", wired(PreNorm, NormedStream)),
    Control("gpt_neox", "one after the other", wired(Parallel, PreNorm)),
    Control("falcon-grouped", "one norm for both", having(Parallel, ffn_norm=None)),
    Control("cohere", "one after the other", wired(Parallel, PreNorm)),
    Control("olmo2", "the sum normalised", wired(PostNorm, NormedSum)),
    Control("exaone4", "the sum normalised", wired(PostNorm, NormedSum)),
    Control("gemma2", "no norms after", wired(Sandwich, PreNorm)),
    Control("glm4", "no norm before the network", having(Sandwich, ffn_norm=None)),
    Control("opt-post-norm", "the branch normalised", wired(NormedSum, PostNorm)),
    Control("openai-gpt", "the branch normalised", wired(NormedSum, PostNorm)),
    Control("starcoder2", "side by side", wired(PreNorm, Parallel)),
    Control("gemma4_unified_text", "no number on layers", each(ScaledSandwich, lambda b: b.sandwich)),
    Control("gemma4_text", "no number on layers", each(ScaledSandwich, lambda b: b.sandwich)),
    Control("gemma4_text", "no input of the layer's own", having(ScaledSandwich, per_layer=None)),
]
HEADS = [
    Control("qwen3", "normalised after turning", having(QkNorm, place="after_rope")),
    Control("hunyuan_v1_dense", "normalised before turning", having(QkNorm, place="before_rope")),
    Control("qwen3", "not normalised", having(Attention, qk_norm=None)),
    Control("olmo2", "each head by itself", having(QkNorm, over="each_head")),
    Control("minimax_m2", "each head by itself", having(QkNorm, over="each_head")),
    Control("stablelm", "all heads together", having(QkNorm, over="width")),
    Control("cohere", "all heads together", having(QkNorm, over="width")),
    Control("llama4_text", "all heads together", having(QkNorm, over="width")),
    Control("gemma2", "scores not capped", having(Attention, softcap=None)),
    Control("vaultgemma", "scores capped lower", having(Attention, softcap=1.0)),
    Control("vaultgemma", "scores not capped", having(Attention, softcap=None)),
    Control("olmo", "not clipped", having(Attention, clip=None)),
    Control("dbrx", "clipped wider", having(Attention, clip=0.8)),
    Control("olmoe", "not clipped", having(Attention, clip=None)),
    Control("gpt_oss", "no sinks", having(Attention, sinks=False)),
    Control("granite_swa", "no sinks", having(Attention, sinks=False)),
    Control("flint", "no sinks", having(Attention, sinks=False)),
    Control("afmoe", "no gate", having(Attention, gate=None)),
    Control("afmoe", "another gate", having(OutputGate, activation="softplus")),
    Control("laguna", "another gate", having(OutputGate, activation="sigmoid")),
    Control("beam", "no bias of heads", having(OutputGate, head_bias=False)),
    Control("granite", "the usual scale", having(Attention, scale=None)),
    Control("gpt_neo", "the usual scale", having(Attention, scale=None)),
    Control("gemma2", "the usual scale", having(Attention, scale=None)),
    Control("gpt2-inverse-layer", "one scale for all layers", having(Attention, scale=None)),
    Control("bloom", "no bias by distance", having(Attention, alibi=None)),
    Control("bloom", "other slopes", having(Attention, alibi=InterleavedAlibi(max_bias=4.0))),
    Control("mpt", "other slopes", having(InterleavedAlibi, max_bias=4.0)),
    Control("falcon-alibi", "before the scale", having(Attention, alibi=GeometricAlibi())),
    Control("ministral3", "queries as they are", having(Attention, position_scale=None)),
    Control("ministral3", "another period", having(FloorLogScale, period=8)),
    Control("llama4_text", "queries as they are", having(Attention, position_scale=None)),
    Control("llama4_text", "counted from zero", having(FloorLogScale, shift=0)),
    Control("beam", "another exponent", having(ExpLogScale, beta=50.0)),
    Control("beam", "another period", having(ExpLogScale, period=1)),
    Control(
        "gemma4_unified_text",
        "another lender",
        each(SharedKeyValue, lambda s: SharedKeyValue(layer=s.layer - 2)),
    ),
    Control(
        "gemma4_text", "another lender", each(SharedKeyValue, lambda s: SharedKeyValue(layer=s.layer - 2))
    ),
    Control("mimo_v2_flash", "values as they are", having(Attention, value_multiplier=1.0)),
    Control("falcon_h1", "keys as they are", having(Attention, key_multiplier=1.0)),
]
STREAMS = [
    Control("gemma", "embeddings as they are", having(Embed, scale=None)),
    Control("gemma", "another scale", having(EmbedScale, value=6.0)),
    Control("granite", "embeddings as they are", having(Embed, scale=None)),
    Control("afmoe", "embeddings as they are", having(Embed, scale=None)),
    Control("granite", "branches as they are", having(Weighted, branch=1.0)),
    Control("hyperclovax", "branches as they are", having(Weighted, branch=1.0)),
    Control("beam", "the stream as it is", having(Weighted, stream=1.0)),
    Control("beam", "branches as they are", having(Weighted, branch=1.0)),
    Control("cohere", "logits as they are", having(LmHead, scale=1.0)),
    Control("granite", "logits multiplied, not divided", having(LmHead, scale=2.0)),
    Control("hyperclovax", "logits divided, not multiplied", having(LmHead, scale=2.0)),
    Control("gemma3_text", "logits not capped", having(LmHead, softcap=None)),
    Control("nanochat", "logits not capped", having(LmHead, softcap=None)),
    Control("phi", "no bias on logits", having(LmHead, bias=False)),
    Control("modernbert-decoder", "no transform", having(LmHead, transform=None)),
    Control("opt", "positions from the first row", having(LearnedPositions, offset=0)),
    Control("gpt2", "no positions", having(Embed, positions=None)),
    Control("xglm", "positions from zero", having(SinusoidPositions, offset=0)),
    Control("xglm", "the other range", having(SinusoidPositions, range="open")),
    Control("ctrl", "the other range", having(SinusoidPositions, range="closed")),
]
NETWORKS = [
    Control("llama", "another activation", having(GatedMlp, activation="gelu_tanh")),
    Control("bitnet", "another activation", having(GatedMlp, activation="silu")),
    Control("arcee", "another activation", having(Mlp, activation="relu")),
    Control("opt", "another activation", having(Mlp, activation="gelu")),
    Control("apertus", "another activation", having(Mlp, activation="relu2")),
    Control(
        "mixtral",
        "another activation",
        each(Moe, lambda m: replace(m, experts=replace(m.experts, activation="gelu"))),
    ),
    Control("gpt_oss", "another slope", having(ClampedSwiglu, alpha=1.0)),
    Control("gpt_oss", "no offset", having(ClampedSwiglu, offset=0.0)),
    Control("gpt_oss", "clamped lower", having(ClampedSwiglu, limit=0.5)),
    Control("phi", "no biases", having(Mlp, bias=False)),
]
MIXTURES = [
    Control("mixtral", "sigmoids", having(Router, scores=SigmoidScores())),
    Control("olmoe", "softmax of the chosen", having(Router, scores=ChosenSoftmax())),
    Control("granitemoe", "softmax of all", having(Router, scores=SoftmaxScores())),
    Control("flint", "softmax of all", having(Router, scores=SoftmaxScores())),
    Control("kolibri1", "corrected by score, not by logit", having(Router, scores=SigmoidScores())),
    Control("cohere2_moe", "softmax of the chosen", having(Router, scores=ChosenSoftmax(), renorm=None)),
    Control("llama4_text", "softmax of the chosen", having(Router, scores=ChosenSoftmax())),
    Control("phimoe", "softmax of the chosen", having(Router, scores=ChosenSoftmax())),
    Control("phimoe", "a wider neighbourhood", having(SparseMixer, jitter=0.4)),
    Control("olmoe", "summing to one", having(Router, renorm=SumRenorm())),
    Control("qwen3_moe", "not summing to one", having(Router, renorm=None)),
    Control("dbrx", "another norm", having(PowerRenorm, p=2.0)),
    Control("ernie4_5_moe", "not summing to one", having(Router, renorm=None)),
    Control("glm4_moe", "no groups", having(Router, groups=None)),
    Control("beam", "no groups", having(Router, groups=None)),
    Control("glm4_moe", "groups by their best", having(Groups, score="max")),
    Control("dots1", "not corrected", having(Router, correction=False)),
    Control("exaone_moe", "not corrected", having(Router, correction=False)),
    Control("ernie4_5_moe", "not corrected", having(Router, correction=False)),
    Control("hy_v3", "weights not scaled", having(Router, scale=1.0)),
    Control("dots1", "weights not scaled", having(Router, scale=1.0)),
    Control("laguna", "logits not capped", having(Router, logit_cap=None)),
    Control("gpt_oss", "no bias of the router", having(Router, bias=False)),
    Control("gemma4_text", "experts not scaled", having(Router, expert_scale=False)),
    Control("gemma4_text", "the router reads the stream", having(Router, input=None)),
    Control("qwen2_moe", "no gate of the shared expert", having(SharedExpert, token_gate=False)),
    Control("qwen2_moe", "no shared expert", having(Moe, shared=None)),
    Control("aria_text", "no shared expert", having(Moe, shared=None)),
    Control("cohere2_moe", "added, not averaged", having(SharedExpert, combine="sum")),
    Control("llama4_text", "weights on the output", having(Moe, weight_on="output")),
    Control("mixtral", "weights on the input", having(Moe, weight_on="input")),
    Control("mixtral", "one expert less", having(Moe, top_k=1)),
    Control("hunyuan_v1_moe-layers", "the counts of other layers", shifted),
]
CONTROLS = [*WINDOWS, *ROPES, *NORMS, *WIRINGS, *HEADS, *STREAMS, *NETWORKS, *MIXTURES]


@cache
def right_model(name: str) -> CausalLM:
    """The row's model, every weight random."""
    row = next(row for row in ROWS if row.name == name)
    model = AutoModelForCausalLM.from_config(config_class(row.model_type).from_dict(row.arguments)).eval()
    assert isinstance(model, CausalLM)
    fill(model)
    return model


def wrong_model(right: CausalLM, spec: DecoderSpec) -> CausalLM:
    """A model of another spec with the same weights; those it has no place for stay out."""
    wrong = type(right)(right.config, spec).eval()
    stored = right.state_dict()
    # A norm of other axes has its weights in another shape, and as many of them.
    kept = {
        name: stored[name].reshape(tensor.shape)
        for name, tensor in wrong.state_dict().items()
        if name in stored
    }
    absent = wrong.load_state_dict(kept, strict=False).missing_keys
    assert not absent, f"a wrong fact should need no weights that the right one does not have, but {absent}"
    return wrong


@pytest.mark.parametrize("control", CONTROLS, ids=lambda control: f"{control.row}: {control.fact}")
def test_a_wrong_fact_shows(control: Control) -> None:
    right = right_model(control.row)
    spec = right.family.spec(right.config)
    assert isinstance(spec, DecoderSpec)
    edited = control.edit(spec)
    assert edited != spec, "nothing was changed"
    ids = random_ids(2, LENGTH)
    with torch.no_grad():
        expected, actual = right(ids).logits, wrong_model(right, edited)(ids).logits
    assert relative_error(actual, expected) > LEAST
