"""Mixers beyond attention: steps equal one pass, padding is nowhere to be seen, and states can be moved about.

B rows, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

import pytest
import torch
from torch import Tensor

from hf_config.families.llama import LlamaConfig
from hf_modeling.cache import Append, Cache, Replace
from hf_modeling.cache.static import StaticCache
from hf_modeling.classes import model_class
from hf_modeling.decoder import Decoder
from hf_modeling.errors import CacheError, InputError, SpecError
from hf_modeling.families import find_family
from hf_modeling.outputs import BaseModelOutputWithPast
from hf_modeling.spec import (
    Attention,
    AttentionBesideMamba,
    BlockIndex,
    ChannelMix,
    DecoderSpec,
    DifferentialAttention,
    Embed,
    Ffn,
    FloorLogScale,
    GatedDelta,
    GatedMlp,
    KimiDelta,
    LatentAttention,
    Lightning,
    Mamba1,
    Mamba2,
    Mixer,
    MixtureOfAttention,
    Mlstm,
    OutputGate,
    OwnIndex,
    PreNorm,
    PreviousIndex,
    RgLru,
    RmsNorm,
    Rope,
    Rwkv,
    ShortConv,
    Window,
)

WIDTH, VOCAB, LENGTH = 16, 40, 11
NORM = RmsNorm(eps=1e-6)
ROPE = Rope(theta=100.0, dim=4, layout="interleaved")
LATENT = LatentAttention(
    heads=3,
    nope_dim=6,
    rope_dim=4,
    value_dim=5,
    kv_rank=8,
    query_rank=7,
    norm=NORM,
    rope=ROPE,
    scale=0.3,
)
INDEX = OwnIndex(heads=16, head_dim=6, top_k=4, rope=ROPE)
ATTENTION = Attention(heads=4, kv_heads=2, head_dim=4, rope=Rope(theta=100.0, dim=4))
MAMBA2 = Mamba2(heads=4, head_dim=3, groups=2, state=5, conv=4, norm=NORM, norm_groups=2)
DELTA = GatedDelta(key_heads=2, value_heads=4, key_dim=3, value_dim=5, conv=4, norm=NORM)
KIMI = KimiDelta(heads=3, head_dim=4, rank=5, conv=4, norm=NORM)
CARRYING: Mapping[str, Mixer] = {
    "short convolution": ShortConv(width=3, bias=True),
    "gated delta": DELTA,
    "gated delta, strong writes": replace(DELTA, beta_scale=2.0),
    "kimi delta": KIMI,
    "kimi delta, bounded": replace(KIMI, rank=None, lowest=-2.0),
    "lightning": Lightning(head_dim=4, rates=(0.1, 0.5, 2.0), norm=NORM),
    "mamba 1": Mamba1(inner=12, state=5, rank=3, conv=4),
    "mamba 1, normalised": Mamba1(inner=12, state=5, rank=3, conv=4, parameter_norm=NORM),
    "mamba 2": MAMBA2,
    "mamba 2, bounded": replace(MAMBA2, step_limits=(0.1, 0.4), norm_first=True),
    "mamba 2, multiplied": replace(
        MAMBA2, norm=None, multipliers=(0.5, 0.6, 0.7, 0.8, 0.9), output_bias=True
    ),
    "rg-lru": RgLru(inner=12, heads=3, conv=4, activation="gelu_tanh"),
    "rwkv": Rwkv(inner=12),
    "mlstm": Mlstm(heads=2, key_dim=3, value_dim=5, norm_eps=1e-6, gate_cap=3.0),
    "attention beside mamba": AttentionBesideMamba(
        attention=ATTENTION, mamba=MAMBA2, attention_input=0.7, attention_output=1.3
    ),
}
"""Mixers with a state of fixed size."""
LOOKING: Mapping[str, Mixer] = {
    "latent": LATENT,
    "latent, direct queries": replace(LATENT, query_rank=None, rope=None, bias=True),
    "latent, gated heads": replace(
        LATENT, gate=OutputGate(per="head"), rope_norm=NORM, latent_multiplier=1.4
    ),
    "latent, raw queries": replace(LATENT, gate=OutputGate(), raw_queries=True, query_multiplier=0.8),
    "latent, window": replace(LATENT, mask=Window(size=4)),
    "latent, growing queries": replace(LATENT, position_scale=FloorLogScale(beta=0.5, period=4)),
    "latent, index": replace(LATENT, index=INDEX),
    "block index": replace(
        ATTENTION,
        index=BlockIndex(
            heads=2,
            head_dim=6,
            block=2,
            top_blocks=2,
            local_blocks=1,
            norm=NORM,
            rope=Rope(theta=100.0, dim=4),
        ),
    ),
    "differential": DifferentialAttention(
        heads=4,
        kv_heads=2,
        head_dim=4,
        rope=Rope(theta=100.0, dim=4),
        norm=RmsNorm(eps=1e-6, weight="none"),
        start=0.4,
    ),
    "mixture of attention": MixtureOfAttention(
        count=4, top_k=2, kv_heads=2, head_dim=4, rope=Rope(theta=100.0, dim=4)
    ),
}
"""Mixers that look at keys of all tokens."""
MIXERS: Mapping[str, Mixer] = {**CARRYING, **LOOKING}


@lru_cache
def model(name: str) -> Decoder:
    """Two layers of a mixer, every weight random: trained ones are never as regular as initial ones."""
    return made(MIXERS[name])


def made(first: Mixer, second: Mixer | None = None) -> Decoder:
    ffn: Ffn = ChannelMix(width=20) if isinstance(first, Rwkv) else GatedMlp(width=20, activation="silu")
    blocks = tuple(
        PreNorm(mixer=mixer, mixer_norm=NORM, ffn=ffn, ffn_norm=NORM) for mixer in (first, second or first)
    )
    torch.manual_seed(0)
    built = built_from(DecoderSpec(width=WIDTH, embed=Embed(vocab=VOCAB), blocks=blocks, norm=NORM))
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.normal_(0, 0.4)
    return built


def built_from(spec: DecoderSpec) -> Decoder:
    base = model_class(find_family("llama"), "base")
    assert issubclass(base, Decoder)
    built = base(LlamaConfig(vocab_size=VOCAB, hidden_size=WIDTH, num_attention_heads=4), spec)
    return built.eval()


def ids(rows: int = 2, tokens: int = LENGTH, seed: int = 1) -> Tensor:
    return torch.randint(0, VOCAB, (rows, tokens), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def run(
    built: Decoder, tokens: Tensor, cache: Cache | None = None, mask: Tensor | None = None
) -> BaseModelOutputWithPast:
    keep = cache is not None
    output: BaseModelOutputWithPast = built(
        tokens, attention_mask=mask, past_key_values=cache, use_cache=keep
    )
    return output


def hidden(built: Decoder, tokens: Tensor, cache: Cache | None = None, mask: Tensor | None = None) -> Tensor:
    return run(built, tokens, cache, mask).last_hidden_state


def close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=tolerance * float(expected.abs().max()))


every = pytest.mark.parametrize("name", MIXERS)
carrying = pytest.mark.parametrize("name", CARRYING)


@every
def test_steps_of_any_size_equal_one_pass(name: str) -> None:
    built, tokens = model(name), ids()
    cache = built.new_cache()
    pieces = [hidden(built, piece, cache) for piece in tokens.split([4, 1, 1, 3, 1, 1], dim=1)]
    close(torch.cat(pieces, dim=1), hidden(built, tokens))


@every
@pytest.mark.parametrize(
    "kept", [range(4, 11), range(7), (0, 2, 3, 5, 8, 9, 10)], ids=["left", "right", "holes"]
)
def test_padding_anywhere_changes_nothing(name: str, kept: range | tuple[int, ...]) -> None:
    if "window" in name and not isinstance(kept, range):
        pytest.skip("a window counts the padding between tokens, as it does in attention")
    built, long, short = model(name), ids(1), ids(1, 7, seed=3)
    padded, real = torch.zeros_like(long), torch.zeros(1, LENGTH, dtype=torch.long)
    padded[:, list(kept)], real[:, list(kept)] = short, 1
    both = hidden(built, torch.cat([long, padded]), mask=torch.cat([torch.ones_like(real), real]))
    close(both[:1], hidden(built, long))
    close(both[1:, list(kept)], hidden(built, short))


@every
@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_prompts_continue_as_if_alone(name: str, side: str) -> None:
    if "window" in name and side == "right":
        pytest.skip("a window counts the padding between tokens, as it does in attention")
    built, long, short, more = model(name), ids(1, 6), ids(1, 4, seed=3), ids(2, 5, seed=4)
    blank, real = torch.zeros(1, 2, dtype=torch.long), torch.ones(2, 6, dtype=torch.long)
    kept = slice(2, None) if side == "left" else slice(0, 4)
    real[1] = 0
    real[1, kept] = 1
    prompts = torch.cat([long, torch.cat([blank, short] if side == "left" else [short, blank], dim=1)])
    cache = built.new_cache()
    run(built, prompts, cache, real)
    pieces = []
    for piece in more.split([1, 3, 1], dim=1):
        real = torch.cat([real, torch.ones_like(piece)], dim=1)
        pieces.append(hidden(built, piece, cache, real))
    continued = torch.cat(pieces, dim=1)
    close(continued[:1], hidden(built, torch.cat([long, more[:1]], dim=1))[:, 6:])
    close(continued[1:], hidden(built, torch.cat([short, more[1:]], dim=1))[:, 4:])


@every
def test_states_move_with_their_rows(name: str) -> None:
    built, tokens, more = model(name), ids(3, 5), ids(2, 2, seed=4)
    cache = built.new_cache()
    run(built, tokens, cache)
    cache.reorder(torch.tensor([2, 0]))
    expected = hidden(built, torch.cat([tokens[[2, 0]], more], dim=1))[:, 5:]
    twin = cache.clone()
    close(hidden(built, more, cache), expected)
    close(hidden(built, more, twin), expected)


@carrying
def test_a_state_cannot_go_back_but_can_start_over(name: str) -> None:
    built, tokens = model(name), ids()
    cache = built.new_cache()
    run(built, tokens, cache)
    with pytest.raises(CacheError, match=r"clone\(\)"):
        cache.crop(5)
    cache.crop(0)
    close(hidden(built, tokens, cache), hidden(built, tokens))


@pytest.mark.parametrize("name", [name for name in LOOKING if "window" not in name])
def test_keys_can_be_taken_back(name: str) -> None:
    built, tokens = model(name), ids()
    cache = built.new_cache()
    run(built, torch.cat([tokens[:, :5], ids(2, 3, seed=9)], dim=1), cache)
    cache.crop(5)
    close(hidden(built, tokens[:, 5:], cache), hidden(built, tokens)[:, 5:])


@every
def test_memory_of_fixed_size_gives_the_same(name: str) -> None:
    built, tokens = model(name), ids()
    cache = StaticCache(built.cache_layout, batch=2, capacity=14)
    pieces = [hidden(built, piece, cache) for piece in tokens.split([5, 1, 1, 4], dim=1)]
    close(torch.cat(pieces, dim=1), hidden(built, tokens))


@carrying
def test_packed_sequences_are_refused(name: str) -> None:
    positions = torch.tensor([[0, 1, 2, 0, 1]])
    with pytest.raises(InputError, match="packed"):
        model(name)(ids(1, 5), position_ids=positions)


@every
def test_states_are_as_wide_as_they_say(name: str) -> None:
    built = made(MIXERS[name]).to(torch.bfloat16)
    cache = built.new_cache()
    exact = hidden(model(name), ids())
    step = torch.cat([hidden(built, ids()[:, :8], cache), hidden(built, ids()[:, 8:9], cache)], dim=1)
    assert step.dtype == torch.bfloat16
    # Recurrences are float32 inside, so rounding of inputs is all that shows; it moves few choices of keys.
    assert float((step.float() - exact[:, :9]).abs().median() / exact.abs().max()) < 0.02
    for layer, states in enumerate(built.cache_layout):
        for state_name, state in states.items():
            if isinstance(state, Replace):
                held = cache.get(layer, state_name)
                assert held is not None
                assert held.dtype == (torch.float32 if state.dtype == "float32" else torch.bfloat16)
                assert held.shape == (2, *state.shape)


@every
def test_gradients_reach_every_weight(name: str) -> None:
    built = made(MIXERS[name])
    built(ids()).last_hidden_state.square().sum().backward()
    without = {n for n, p in built.named_parameters() if p.grad is None}
    assert all("indexer" in n for n in without), "only the choice of keys is not differentiable"
    assert all(bool(p.grad.isfinite().all()) for p in built.parameters() if p.grad is not None)
    assert all(bool(p.grad.any()) for p in built.parameters() if p.grad is not None)


@every
def test_initial_weights_give_finite_numbers(name: str) -> None:
    first = MIXERS[name]
    blocks = (
        PreNorm(mixer=first, mixer_norm=NORM, ffn=GatedMlp(width=20, activation="silu"), ffn_norm=NORM),
    )
    built = built_from(DecoderSpec(width=WIDTH, embed=Embed(vocab=VOCAB), blocks=blocks, norm=NORM))
    tokens = ids(1, 150)
    output = hidden(built, tokens)
    assert output.isfinite().all()
    assert output.std() > 0.1


@pytest.mark.parametrize("name", [name for name in LOOKING if name.startswith("latent")])
def test_absorbed_steps_equal_unfolded_ones(name: str) -> None:
    built, tokens = model(name), ids()
    caches = built.new_cache(), built.new_cache()
    for cache in caches:
        run(built, tokens[:, :-1], cache)
    with torch.no_grad():
        absorbed = built(tokens[:, -1:], past_key_values=caches[0])
        unfolded = built(tokens[:, -1:], past_key_values=caches[1], output_attentions=True)
    assert absorbed.attentions is None
    assert unfolded.attentions is not None
    close(absorbed.last_hidden_state, unfolded.last_hidden_state)


def test_latents_are_all_that_is_remembered() -> None:
    (states, _) = model("latent").cache_layout
    assert states == {"latent": Append(heads=1, features=8 + 4)}


@torch.no_grad()
def test_a_following_layer_looks_where_the_one_before_looked() -> None:
    built = made(replace(LATENT, index=INDEX), replace(LATENT, index=PreviousIndex()))
    tokens = ids()
    whole, cache = hidden(built, tokens), built.new_cache()
    close(torch.cat([hidden(built, piece, cache) for piece in tokens.split([6, 1, 4], dim=1)], dim=1), whole)
    alone = made(replace(LATENT, index=INDEX), LATENT)
    alone.load_state_dict(built.state_dict())
    assert (hidden(alone, tokens) - whole).abs().max() > 1e-3


def test_an_index_that_reaches_everything_hides_nothing() -> None:
    built, plain = made(replace(LATENT, index=replace(INDEX, top_k=LENGTH))), made(LATENT)
    plain.load_state_dict({n: t for n, t in built.state_dict().items() if "indexer" not in n})
    close(hidden(built, ids()), hidden(plain, ids()))


def test_each_query_sees_as_many_keys_as_the_index_grants() -> None:
    built = made(replace(LATENT, index=INDEX))
    with torch.no_grad():
        weights = built(ids(), output_attentions=True).attentions
    assert weights is not None
    seen_BNT = (weights[0] > 0).sum(-1)
    assert seen_BNT.amax() == INDEX.top_k
    assert (seen_BNT[:, 0] == torch.arange(1, LENGTH + 1).clamp(max=INDEX.top_k)).all()


@pytest.mark.parametrize(
    "wrong",
    [replace(DELTA, value_heads=3), replace(MAMBA2, groups=3)],
    ids=["value heads", "groups"],
)
def test_heads_that_do_not_divide_are_refused(wrong: Mixer) -> None:
    with pytest.raises(SpecError, match="evenly"):
        made(wrong)
