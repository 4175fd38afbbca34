"""HQQ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch

from hf_config.quantization import HqqConfig
from hf_quant.codec import Codec
from hf_quant.codecs.hqq import PACKINGS, Hqq
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip

SUFFIXES = frozenset(part.suffix for part in Hqq().parts)
SETTINGS = ("nbits", "group_size", "axis", "view_as_float", "optimize", "round_zero")
"""What a layer's own tensors say that its settings say, too."""
DTYPES = {str(dtype): dtype for dtype in (torch.float16, torch.bfloat16, torch.float32)}


def packed(config: HqqConfig, place: Place, beside: Beside) -> Codec | None:
    """The layout that a layer's own tensors describe; without them, the one in the settings."""
    stored = place.stored
    if "W_q" not in stored and not {"scale", "zero"} <= stored.keys():
        return None
    own = _settings(config, place.module)
    # Stacked experts have each of these once for every expert.
    numbers = {name: int(stored[name].read().flatten()[0]) for name in SETTINGS if name in stored}
    dtype = stored["scale"].dtype if "scale" in stored else torch.float16
    if "compute_dtype" in stored:
        text = stored["compute_dtype"].read()
        dtype = DTYPES.get(bytes(text.view(-1, text.shape[-1])[0].tolist()).decode(), dtype)
    return _layout({**own, **numbers}, dtype)


def create(config: HqqConfig, place: Place) -> Codec | None:
    """The layout in the settings."""
    return _layout(_settings(config, place.module), torch.float16)


def _settings(config: HqqConfig, module: str) -> Mapping[str, object]:
    """The settings of one layer: of its own tag (`self_attn.q_proj`) where layers differ."""
    settings = config.quant_config
    if "weight_quant_params" not in settings:
        tag = ".".join(
            part for part in module.split(".") if part not in ("model", "layers") and not part.isdigit()
        )
        settings = cast("Mapping[str, object]", settings.get(tag, {}))
    for name in ("scale_quant_params", "zero_quant_params"):
        if settings.get(name):
            raise QuantizationConfigError(
                f"HQQ with {name}: scales that are packed themselves were given up by the library and are not read",
                fix=f"quantize the model again with {name}=null",
            )
    return cast("Mapping[str, object]", settings.get("weight_quant_params") or {})


def _layout(settings: Mapping[str, object], dtype: torch.dtype) -> Hqq:
    bits = settings.get("nbits", 4)
    if bits not in PACKINGS:
        raise QuantizationConfigError(
            f"HQQ packs {', '.join(map(str, PACKINGS))} bits, not {bits!r}", fix="correct nbits"
        )
    size = settings.get("group_size", 64)
    return Hqq(
        bits=cast("int", bits),
        group_size=size if isinstance(size, int) else 0,
        axis=cast("int", settings.get("axis", 1)),
        dtype=dtype,
        as_float=bool(settings.get("view_as_float", False)),
        optimize=bool(settings.get("optimize", True)),
        round_zero=bool(settings.get("round_zero", bits == 4)),
    )


HQQ = Method(
    name="hqq",
    config=HqqConfig,
    suffixes=SUFFIXES,
    packed=packed,
    create=create,
    skip=lambda config: Skip(patterns=config.skip_modules),
)
