"""The cache of a call: made as the options say, or the caller's, checked."""

from __future__ import annotations

from typing import TypedDict

from hf_modeling.cache import Cache, EncoderDecoderCache, Layout
from hf_modeling.cache.encoder_decoder import own_states, reads_source
from hf_modeling.cache.static import StaticCache
from hf_modeling.cache.stored import Bits, offloaded_cache, quantized_cache
from hf_modeling.generation.compiled import compiled_of
from hf_modeling.generation.errors import CacheMismatchError, ContradictionError, OptionError
from hf_modeling.generation.model import LanguageModel
from hf_modeling.generation.plan import Plan


def make_cache(
    model: LanguageModel, plan: Plan, *, batch: int, slack: int = 0, compiling: bool = False
) -> Cache | None:
    """An empty cache of the kind that `cache_implementation` names; None when nothing is to be remembered.

    Raises:
        OptionError: a kind that does not exist.
    """
    kind = plan.config.cache_implementation
    if plan.config.use_cache is False:
        if kind is not None:
            raise ContradictionError(
                ("use_cache=False", f"cache_implementation={kind!r}"),
                "no cache is made",
                fix="leave out one of them",
            )
        return None
    if compiling:
        if kind not in (None, "static"):
            raise ContradictionError(
                ("compile", f"cache_implementation={kind!r}"),
                "a compiled step needs fixed memory",
                "pass 'static'",
            )
        kind = "static"
    if kind in _GROWING:
        # What a layer with a window forgets is the layer's affair, whatever the kind is called.
        return model.new_cache(slack=slack)
    layout = model.new_cache().layout
    if reads_source(layout):
        inner = _of_kind(kind, own_states(layout), model, plan, batch=batch, slack=slack)
        return EncoderDecoderCache(inner, layout)
    if compiling and not slack:
        tokens = _capacity(plan, slack)
        return compiled_of(model).take(layout, batch, tokens, model.dtype, model.device)
    return _of_kind(kind, layout, model, plan, batch=batch, slack=slack)


_GROWING = (None, "dynamic", "sliding_window", "hybrid", "hybrid_chunked")


def _of_kind(
    kind: str | None, layout: Layout, model: LanguageModel, plan: Plan, *, batch: int, slack: int
) -> Cache:
    """An empty cache that does not simply grow."""
    match kind:
        case "static":
            return StaticCache(
                layout,
                batch=batch,
                capacity=_capacity(plan, slack),
                dtype=model.dtype,
                device=model.device,
                slack=slack,
            )
        case "quantized":
            return quantized_cache(layout, slack=slack, **_quantization(plan))
        case "offloaded" | "offloaded_static" | "offloaded_hybrid" | "offloaded_hybrid_chunked":
            return offloaded_cache(layout, slack=slack)
        case _:
            raise OptionError(
                "cache_implementation",
                kind,
                "dynamic, static, quantized or offloaded; paged is generate_many's",
            )


def _capacity(plan: Plan, slack: int) -> int:
    return max(plan.config.max_cache_len or 0, plan.max_length + slack)


class _Quantization(TypedDict, total=False):
    bits: Bits
    residual: int


def _quantization(plan: Plan) -> _Quantization:
    """The settings of a quantized cache, under the names that users of `cache_config` know."""
    given = plan.config.cache_config or {}
    bits, residual = given.get("nbits", 4), given.get("residual_length", 128)
    if bits not in (2, 4, 8) or not isinstance(residual, int):
        raise OptionError(
            "cache_config", dict(given), "nbits 2, 4 or 8 and residual_length a number of tokens"
        )
    return {"bits": bits, "residual": residual}


def check_cache(cache: Cache, model: LanguageModel, plan: Plan) -> Cache:
    """The caller's cache, if it fits the model and is shorter than the prompt.

    Raises:
        CacheMismatchError: it does not.
    """
    expected = model.new_cache().layout
    if cache.layout != expected:
        raise CacheMismatchError("layout of states", _summary(cache.layout), _summary(expected))
    if cache.length >= plan.prompt_length:
        raise CacheMismatchError(
            "number of tokens",
            cache.length,
            f"fewer than the prompt's {plan.prompt_length}; pass the whole text",
        )
    return cache


def _summary(layout: object) -> str:
    layers = list(layout) if isinstance(layout, tuple) else []
    return f"{len(layers)} layers, the first with {dict(layers[0]) if layers else {}}"
