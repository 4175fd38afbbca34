"""Attention backends beyond eager and sdpa: the same numbers from the same mask, and refusals where they differ."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest
import torch
from torch import Tensor

from hf_hub_io.errors import MissingPackageError
from hf_modeling.build import Building, backend_of
from hf_modeling.build.attention import build_attention
from hf_modeling.cache import DynamicCache
from hf_modeling.errors import BackendUnsupportedError
from hf_modeling.init import allocate, initialize
from hf_modeling.layers import attend_flash
from hf_modeling.layers.attention import AttentionLayer
from hf_modeling.masks import packed_position_ids
from hf_modeling.spec import (
    Attention,
    Bidirectional,
    BidirectionalWindow,
    Chunk,
    GeometricAlibi,
    Rope,
    Window,
)
from hf_modeling.step import begin
from hf_modeling.testing.tiny import llama, prompts

CPU = torch.device("cpu")
WIDTH, TOKENS = 24, 7
PLAIN = Attention(heads=4, kv_heads=2, head_dim=6, rope=Rope(theta=100.0, dim=6))
VARIANTS = {
    "grouped": PLAIN,
    "every head its own": replace(PLAIN, kv_heads=4),
    "values wider": replace(PLAIN, value_dim=9),
    "values narrower": replace(PLAIN, value_dim=3),
    "window": replace(PLAIN, mask=Window(size=3)),
    "both ways": replace(PLAIN, mask=Bidirectional()),
    "window both ways": replace(PLAIN, mask=BidirectionalWindow(size=2)),
    "capped": replace(PLAIN, softcap=0.7),
    "capped window": replace(PLAIN, softcap=0.7, mask=Window(size=3)),
    "scale": replace(PLAIN, scale=1.0),
    "chunk": replace(PLAIN, mask=Chunk(size=3)),
    "alibi": replace(PLAIN, alibi=GeometricAlibi()),
    "sinks": replace(PLAIN, sinks=True),
}
NOT_FLASH = {"chunk": "chunks", "alibi": "biases by distance", "sinks": "attention sinks"}
COSTLY = ("grouped", "window", "sinks")
"""What flex, which traces a graph for every new form of mask, is tried with beyond whole rows."""
FLASH = [("flash", name) for name in VARIANTS if name not in NOT_FLASH]
WHOLE = [*FLASH, *(("flex", name) for name in VARIANTS)]
SOME = [*FLASH, *(("flex", name) for name in COSTLY)]


def flash_reference(
    q_TNH: Tensor,
    k_SKH: Tensor,
    v_SKV: Tensor,
    scale: float,
    causal: bool,
    window: tuple[int, int],
    cap: float,
) -> Tensor:
    """What the package's documentation says of one sequence: the last query is aligned with the last key."""
    q, k, v = (x.transpose(0, 1).float() for x in (q_TNH, k_SKH, v_SKV))
    k, v = (x.repeat_interleave(len(q) // len(x), 0) for x in (k, v))
    scores = q @ k.mT * scale
    if cap:
        scores = torch.tanh(scores / cap) * cap
    T, S = scores.shape[1:]
    ahead = torch.arange(S)[None] - (torch.arange(T)[:, None] + S - T)
    left, right = window
    hidden = (
        (ahead > 0 if causal else ahead < -S)
        | ((left >= 0) & (-ahead > left))
        | ((right >= 0) & (ahead > right))
    )
    return (scores.masked_fill(hidden, float("-inf")).softmax(-1) @ v).transpose(0, 1)


def flash_attn_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    dropout_p: float = 0.0,
    softmax_scale: float = 1.0,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> Tensor:
    rows = zip(q, k, v, strict=True)
    mixed = [flash_reference(*row, softmax_scale, causal, window_size, softcap) for row in rows]
    return torch.stack(mixed).to(q.dtype)


def flash_attn_varlen_func(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    cu_seqlens_q: Tensor,
    cu_seqlens_k: Tensor,
    max_seqlen_q: int,
    max_seqlen_k: int,
    dropout_p: float = 0.0,
    softmax_scale: float = 1.0,
    causal: bool = False,
    window_size: tuple[int, int] = (-1, -1),
    softcap: float = 0.0,
) -> Tensor:
    assert cu_seqlens_q.dtype is cu_seqlens_k.dtype is torch.int32
    q_lengths, k_lengths = cu_seqlens_q.diff().tolist(), cu_seqlens_k.diff().tolist()
    assert (max(q_lengths), max(k_lengths)) == (max_seqlen_q, max_seqlen_k)
    parts = zip(q.split(q_lengths), k.split(k_lengths), v.split(k_lengths), strict=True)
    return torch.cat(
        [flash_reference(*part, softmax_scale, causal, window_size, softcap) for part in parts]
    ).to(q.dtype)


@pytest.fixture(autouse=True)
def kernels(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A flash-attn package that computes on the CPU and exactly, and no graphs left over from other tests."""
    monkeypatch.setattr(attend_flash, "DTYPES", (torch.float32,))
    package = ModuleType("flash_attn")
    vars(package).update(flash_attn_func=flash_attn_func, flash_attn_varlen_func=flash_attn_varlen_func)
    monkeypatch.setitem(sys.modules, "flash_attn", package)
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def layer(spec: Attention, backend: str) -> AttentionLayer:
    built = build_attention(spec, 0, Building(width=WIDTH, backend=backend_of(backend)))
    torch.manual_seed(0)
    allocate(built, CPU)
    initialize(built.modules(), std=0.4)
    assert isinstance(built, AttentionLayer)
    return built.eval()


def inputs() -> Tensor:
    return torch.randn(2, TOKENS, WIDTH, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def run(
    name: str,
    backend: str,
    *,
    attention_mask: Tensor | None = None,
    position_ids: Tensor | None = None,
    ends: tuple[int, ...] = (TOKENS,),
) -> Tensor:
    """What the layer makes of `inputs()`, in one call or in several with a cache."""
    built, x = layer(VARIANTS[name], backend), inputs()
    cache = DynamicCache((built.states,)) if len(ends) > 1 else None
    parts, start = [], 0
    for end in ends:
        step = begin(
            batch=2,
            new=end - start,
            device=CPU,
            cache=cache,
            attention_mask=None if attention_mask is None else attention_mask[:, :end],
            position_ids=position_ids,
        )
        parts.append(built(x[:, start:end], step))
        if cache is not None:
            cache.advance(step.new, step.valid_BS, step.next_position_B1)
        start = end
    return torch.cat(parts, dim=1)


def assert_agree(backend: str, name: str, real: Tensor | None = None, **options: object) -> None:
    """The backend and eager give the same for real tokens."""
    given, expected = (run(name, one, **options) for one in (backend, "eager"))  # type: ignore[arg-type] # run's own
    if real is not None:
        given, expected = given[real], expected[real]
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("backend", "name"), WHOLE)
def test_a_whole_row(backend: str, name: str) -> None:
    assert_agree(backend, name)


@pytest.mark.parametrize(("backend", "name"), SOME)
def test_padding_on_either_side(backend: str, name: str) -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0]])
    assert_agree(backend, name, mask.bool(), attention_mask=mask)


@pytest.mark.parametrize(("backend", "name"), [case for case in SOME if "both" not in case[1]])
def test_cached_steps(backend: str, name: str) -> None:
    assert_agree(backend, name, ends=(3, 4, 7))
    mask = torch.tensor([[0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1]])
    assert_agree(backend, name, mask.bool(), attention_mask=mask, ends=(4, 5, 7))


@pytest.mark.parametrize(("backend", "name"), SOME)
def test_packed_sequences(backend: str, name: str) -> None:
    assert_agree(backend, name, position_ids=packed_position_ids(torch.tensor([0, 3, 4, 7])))


@pytest.mark.parametrize("per_head", [False, True])
@pytest.mark.parametrize("added", [False, True])
def test_flex_takes_masks_given_as_tensors(per_head: bool, added: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    seen = torch.rand(2, 4 if per_head else 1, TOKENS, TOKENS, generator=generator) < 0.5
    seen = seen | torch.eye(TOKENS, dtype=torch.bool)
    mask = torch.where(seen, torch.randn(seen.shape, generator=generator), float("-inf")) if added else seen
    built = [layer(VARIANTS["sinks"], backend) for backend in ("flex", "eager")]
    with torch.no_grad():
        steps = [begin(batch=2, new=TOKENS, device=CPU, attention_mask=mask) for _ in built]
        given, expected = (one(inputs(), step) for one, step in zip(built, steps, strict=True))
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-4)


def test_a_mask_is_made_once_for_all_layers() -> None:
    model = llama(attn_implementation="flex")
    ids = prompts(2, 9)
    mask = torch.ones_like(ids).index_fill(1, torch.tensor([0]), 0)
    with torch.no_grad():
        expected = llama(attn_implementation="eager")(ids, attention_mask=mask).logits
        given = model(ids, attention_mask=mask).logits
    torch.testing.assert_close(given[:, 1:], expected[:, 1:], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", ["eager", "sdpa", "flex"])
def test_packed_rows_equal_rows_of_their_own(backend: str) -> None:
    lengths = (5, 1, 8)
    texts = [prompts(1, length, seed) for seed, length in enumerate(lengths)]
    positions = packed_position_ids(torch.tensor([0, 5, 6, 14]))
    with torch.no_grad():
        model = llama(attn_implementation=backend)
        packed = model(torch.cat(texts, dim=1), position_ids=positions).logits
        alone = torch.cat([model(text).logits for text in texts], dim=1)
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NOT_FLASH)
def test_flash_refuses_what_its_kernels_lack(name: str) -> None:
    with pytest.raises(BackendUnsupportedError, match=f"'flash' cannot compute {NOT_FLASH[name]}"):
        layer(VARIANTS[name], "flash")


def test_flash_refuses_what_only_a_call_shows() -> None:
    built = layer(PLAIN, "flash").double()
    with pytest.raises(BackendUnsupportedError, match=r"not in torch\.float64"):
        built(inputs().double(), begin(batch=2, new=TOKENS, device=CPU))
    tensor = torch.ones(2, 1, TOKENS, TOKENS, dtype=torch.bool)
    with pytest.raises(BackendUnsupportedError, match="a mask given as a tensor"):
        run("grouped", "flash", attention_mask=tensor)
    holes = torch.tensor([[1, 1, 0, 1, 1, 1, 1]] * 2)
    with pytest.raises(BackendUnsupportedError, match="padding between real tokens"):
        run("window", "flash", attention_mask=holes)
    assert_agree("flash", "grouped", holes.bool(), attention_mask=holes)


def test_flash_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flash_attn", None)
    with pytest.raises(MissingPackageError, match="pip install flash-attn"):
        llama(attn_implementation="flash_attention_2")


def test_flex_refuses_training_where_it_has_no_gradients() -> None:
    built = layer(PLAIN, "flex")
    with pytest.raises(BackendUnsupportedError, match="gradients on a CPU"):
        built(inputs(), begin(batch=2, new=TOKENS, device=CPU))
    dropping = layer(replace(PLAIN, dropout=0.5), "flex").train()
    with pytest.raises(BackendUnsupportedError, match="has no dropout"), torch.no_grad():
        dropping(inputs(), begin(batch=2, new=TOKENS, device=CPU))
