"""Mechanisms of the spec language, each by itself, split over `tp` ranks: its own share and its placements.

A share is a spec again: attention with some of the heads, a network with some of the inner features. Built as
any other, it is the layer that this rank runs; what it makes is a summand of the layer's result. `None` says
that a mechanism, as it is configured, is not split: each rank then computes all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar, assert_never, final

from hf_modeling.spec import (
    Attention,
    AttentionBesideMamba,
    DualFfn,
    Ffn,
    GatedDelta,
    GatedExperts,
    GatedMlp,
    GeometricAlibi,
    InterleavedAlibi,
    KimiDelta,
    LatentAttention,
    Mamba2,
    Mixer,
    Mlp,
    Moe,
    Norm,
    PlainExperts,
    RmsNorm,
    SharedExpert,
    SharedKeyValue,
)
from hf_parallel.placements import FIRST, Part, Placement, cut

S = TypeVar("S", bound=Mixer | Ffn)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Share(Generic[S]):
    """What one rank runs of a mechanism.

    placements: of its parameters by their name inside the layer; those left out are whole.
    split_norms: norms inside the layer that span features of all ranks.
    """

    spec: S
    placements: Mapping[str, Placement]
    split_norms: tuple[str, ...] = ()


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Obstacle:
    """Sizes that do not fall into `ways` shares: what they are, and the numbers that their ways must divide."""

    what: str
    divides: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True)
class Unsplit:
    """Why a mechanism is computed whole by each rank."""

    why: str
    obstacle: Obstacle | None = field(default=None, kw_only=True)


def split_mixer(spec: Mixer, ways: int) -> Share[Mixer] | Unsplit:
    """One rank's share of a mixer."""
    match spec:
        case Attention():
            return _attention(spec, ways)
        case LatentAttention():
            return _latent(spec, ways)
        case GatedDelta():
            return _gated_delta(spec, ways)
        case KimiDelta():
            return _kimi_delta(spec, ways)
        case Mamba2():
            return _mamba2(spec, ways)
        case AttentionBesideMamba():
            return _pair(spec, ways)
        case _:
            return Unsplit(f"{type(spec).__name__} mixes all channels")


def split_ffn(spec: Ffn, ways: int) -> Share[Ffn] | Unsplit:
    """One rank's share of a feed-forward network."""
    match spec:
        case Mlp() | GatedMlp():
            return _dense(spec, ways)
        case Moe():
            return _moe(spec, ways)
        case DualFfn():
            dense, sparse = _dense(spec.dense, ways), _moe(spec.sparse, ways)
            if isinstance(dense, Unsplit) or isinstance(sparse, Unsplit):
                return dense if isinstance(dense, Unsplit) else Unsplit("its experts are whole")
            assert isinstance(dense.spec, GatedMlp), "a share is of the kind of its whole"
            assert isinstance(sparse.spec, Moe), "a share is of the kind of its whole"
            return Share(
                spec=replace(spec, dense=dense.spec, sparse=sparse.spec),
                placements={**under("dense", dense.placements), **under("sparse", sparse.placements)},
                split_norms=tuple(f"dense.{name}" for name in dense.split_norms),
            )
        case _:
            return Unsplit(f"{type(spec).__name__} mixes tokens")


def under(prefix: str, placements: Mapping[str, Placement]) -> dict[str, Placement]:
    """The placements of a part, by names of what it is part of."""
    return {f"{prefix}.{name}": placement for name, placement in placements.items()}


def linear(name: str, placement: Placement) -> dict[str, Placement]:
    """A projection whose outputs are cut: weight and bias alike."""
    return {f"{name}.weight": placement, f"{name}.bias": placement}


def back(name: str, features: int) -> dict[str, Placement]:
    """A projection whose inputs are cut: its results are summands, so the bias is added by one rank."""
    return {f"{name}.weight": cut(1, features), f"{name}.bias": FIRST}


def kv_copies(kv_heads: int, ways: int) -> int | None:
    """How many ranks share each key head; None where they do not fall evenly."""
    if kv_heads % ways == 0:
        return 1
    return ways // kv_heads if ways % kv_heads == 0 else None


def _attention(spec: Attention, ways: int) -> Share[Mixer] | Unsplit:
    copies = kv_copies(spec.kv_heads, ways)
    if spec.heads % ways or copies is None:
        what = f"{spec.heads} query heads over {spec.kv_heads} key heads"
        return Unsplit(what, obstacle=Obstacle(what=what, divides=(spec.heads, spec.kv_heads)))
    if spec.index is not None:
        return Unsplit("its index chooses blocks for all heads")
    if spec.alibi is not None and not isinstance(spec.alibi, GeometricAlibi | InterleavedAlibi):
        return Unsplit("its bias is trained for all heads together")
    norms = [spec.output_norm] if spec.output_norm is not None else []
    if spec.qk_norm is not None and spec.qk_norm.over == "width":
        norms.append(spec.qk_norm.norm)
    if not all(map(_splittable, norms)):
        return Unsplit("a norm subtracts the mean of all heads")
    value_dim = spec.value_dim or spec.head_dim
    features = spec.heads * value_dim
    placements: dict[str, Placement] = {
        **linear("q_proj", cut(0, spec.heads * spec.head_dim)),
        **linear("k_proj", cut(0, Part(spec.kv_heads * spec.head_dim, copies))),
        **linear("v_proj", cut(0, Part(spec.kv_heads * value_dim, copies))),
        **back("o_proj", features),
        "sinks": cut(0, spec.heads),
        "gate_bias": cut(0, spec.heads),
        **linear("attn_sub_norm", cut(0, features)),
    }
    if spec.gate is not None:
        gates = features if spec.gate.per == "feature" else spec.heads
        placements |= linear("gate_proj", cut(0, gates))
    split_norms = ["attn_sub_norm"] if spec.output_norm is not None else []
    if spec.qk_norm is not None and spec.qk_norm.over != "head":
        rows = spec.head_dim if spec.qk_norm.over == "width" else 1
        placements |= linear("q_norm", cut(0, spec.heads * rows))
        placements |= linear("k_norm", cut(0, Part(spec.kv_heads * rows, copies)))
        if spec.qk_norm.over == "width":
            borrows = isinstance(spec.kv, SharedKeyValue)
            split_norms += ["q_norm"] if borrows else ["q_norm", "k_norm"]
    kv_heads = spec.kv_heads * copies // ways
    local = replace(
        spec, heads=spec.heads // ways, kv_heads=kv_heads, scale=spec.scale or spec.head_dim**-0.5
    )
    return Share(spec=local, placements=placements, split_norms=tuple(split_norms))


def _latent(spec: LatentAttention, ways: int) -> Share[Mixer] | Unsplit:
    if spec.heads % ways:
        what = f"{spec.heads} heads"
        return Unsplit(what, obstacle=Obstacle(what=what, divides=(spec.heads,)))
    queries, values = spec.heads * (spec.nope_dim + spec.rope_dim), spec.heads * spec.value_dim
    placements: dict[str, Placement] = {
        **linear("q_proj", cut(0, queries)),
        **linear("q_b_proj", cut(0, queries)),
        **linear("kv_b_proj", cut(0, spec.heads * (spec.nope_dim + spec.value_dim))),
        **back("o_proj", values),
    }
    if spec.gate is not None:
        placements |= linear("gate_proj", cut(0, values if spec.gate.per == "feature" else spec.heads))
    return Share(spec=replace(spec, heads=spec.heads // ways), placements=placements)


def _gated_delta(spec: GatedDelta, ways: int) -> Share[Mixer] | Unsplit:
    if spec.key_heads % ways or spec.value_heads % ways:
        what = f"{spec.value_heads} value heads over {spec.key_heads} key heads"
        return Unsplit(what, obstacle=Obstacle(what=what, divides=(spec.key_heads, spec.value_heads)))
    keys, values = spec.key_heads * spec.key_dim, spec.value_heads * spec.value_dim
    heads = cut(0, spec.value_heads)
    placements: dict[str, Placement] = {
        "in_proj_qkv.weight": cut(0, keys, keys, values),
        "in_proj_z.weight": cut(0, values),
        "in_proj_a.weight": heads,
        "in_proj_b.weight": heads,
        "conv1d.weight": cut(0, keys, keys, values),
        "A_log": heads,
        "dt_bias": heads,
        **back("out_proj", values),
    }
    local = replace(spec, key_heads=spec.key_heads // ways, value_heads=spec.value_heads // ways)
    return Share(spec=local, placements=placements)


def _kimi_delta(spec: KimiDelta, ways: int) -> Share[Mixer] | Unsplit:
    if spec.heads % ways:
        what = f"{spec.heads} heads"
        return Unsplit(what, obstacle=Obstacle(what=what, divides=(spec.heads,)))
    inner = spec.heads * spec.head_dim
    last = "" if spec.rank is None else ".b_proj"
    placements: dict[str, Placement] = {
        "in_proj_qkv.weight": cut(0, inner, inner, inner),
        "conv1d.weight": cut(0, inner, inner, inner),
        f"f_proj{last}.weight": cut(0, inner),
        f"g_proj{last}.weight": cut(0, inner),
        "b_proj.weight": cut(0, spec.heads),
        "A_log": cut(0, spec.heads),
        "dt_bias": cut(0, inner),
        **back("o_proj", inner),
    }
    return Share(spec=replace(spec, heads=spec.heads // ways), placements=placements)


def _mamba2(spec: Mamba2, ways: int) -> Share[Mixer] | Unsplit:
    copies = kv_copies(spec.groups, ways)
    if spec.heads % ways or copies is None:
        what = f"{spec.heads} heads over {spec.groups} groups"
        return Unsplit(what, obstacle=Obstacle(what=what, divides=(spec.heads, spec.groups)))
    if spec.norm is not None and spec.norm_groups % ways and spec.norm_groups > 1:
        return Unsplit(f"{spec.norm_groups} groups of its norm do not fall on {ways} ranks")
    inner, maps = spec.heads * spec.head_dim, Part(spec.groups * spec.state, copies)
    heads = cut(0, spec.heads)
    placements: dict[str, Placement] = {
        **linear("in_proj", cut(0, inner, inner, maps, maps, spec.heads)),
        **linear("conv1d", cut(0, inner, maps, maps)),
        "dt_bias": heads,
        "A_log": heads,
        "D": heads,
        "norm.weight": cut(0, inner),
        **back("out_proj", inner),
    }
    local = replace(
        spec,
        heads=spec.heads // ways,
        groups=spec.groups * copies // ways,
        norm_groups=max(spec.norm_groups // ways, 1),
    )
    spans = spec.norm is not None and spec.norm_groups == 1
    return Share(spec=local, placements=placements, split_norms=("norm.norm",) if spans else ())


def _pair(spec: AttentionBesideMamba, ways: int) -> Share[Mixer] | Unsplit:
    attention, mamba = _attention(spec.attention, ways), _mamba2(spec.mamba, ways)
    if isinstance(attention, Unsplit):
        return attention
    if isinstance(mamba, Unsplit):
        return mamba
    assert isinstance(attention.spec, Attention), "a share is of the kind of its whole"
    assert isinstance(mamba.spec, Mamba2), "a share is of the kind of its whole"
    return Share(
        spec=replace(spec, attention=attention.spec, mamba=mamba.spec),
        placements={**under("attention", attention.placements), **under("mamba", mamba.placements)},
        split_norms=(
            *(f"attention.{name}" for name in attention.split_norms),
            *(f"mamba.{name}" for name in mamba.split_norms),
        ),
    )


def _dense(spec: Mlp | GatedMlp, ways: int) -> Share[Ffn] | Unsplit:
    """Inner features that do not divide are padded by ones that are zero, and stay so."""
    if spec.inner_norm is not None and (spec.width % ways or not _splittable(spec.inner_norm)):
        return Unsplit("a norm spans its inner features")
    local = replace(spec, width=-(-spec.width // ways))
    placements: dict[str, Placement] = {
        **linear("up_proj", cut(0, spec.width)),
        **linear("gate_proj", cut(0, spec.width)),
        **back("down_proj", spec.width),
        **linear("ffn_sub_norm", cut(0, spec.width)),
    }
    return Share(
        spec=local, placements=placements, split_norms=() if spec.inner_norm is None else ("ffn_sub_norm",)
    )


def _moe(spec: Moe, ways: int) -> Share[Ffn] | Unsplit:
    local, inner = replace(spec, width=-(-spec.width // ways)), spec.width
    placements: dict[str, Placement] = {
        "experts.down_proj": cut(2, inner),
        "experts.down_proj_bias": FIRST,
        "bias": FIRST,
    }
    match spec.experts:
        case GatedExperts():
            placements |= {"experts.gate_up_proj": cut(1, inner, inner)}
            placements |= {"experts.gate_up_proj_bias": cut(1, inner, inner)}
        case PlainExperts():
            placements |= {"experts.up_proj": cut(1, inner), "experts.up_proj_bias": cut(1, inner)}
        case _:
            assert_never(spec.experts)
    if spec.shared is not None:
        local = replace(local, shared=replace(spec.shared, width=-(-spec.shared.width // ways)))
        placements |= under("shared_expert.mlp", _shared(spec.shared))
    return Share(spec=local, placements=placements)


def _shared(spec: SharedExpert) -> dict[str, Placement]:
    return {
        **linear("up_proj", cut(0, spec.width)),
        **linear("gate_proj", cut(0, spec.width)),
        **back("down_proj", spec.width),
    }


def _splittable(norm: Norm) -> bool:
    """Whether its statistic is a sum over features, so that ranks can add theirs up."""
    return isinstance(norm, RmsNorm)
