"""Gemma's own low-bit release."""

from __future__ import annotations

import re

from hf_config.quantization import GemmaQuantizationConfig
from hf_quant.codec import Codec
from hf_quant.codecs.gemma import GemmaRows
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip


def packed(config: GemmaQuantizationConfig, place: Place, beside: Beside) -> Codec | None:
    """How the checkpoint holds a layer. Raises QuantizationConfigError."""
    scale = place.stored.get("embedding_scale")
    if scale is not None or "embedding_quantized" in place.stored:
        scales = 1 if scale is None else scale.shape[-1]
        return GemmaRows(bits=_bits(config, place.module), embedding=True, scales=scales)
    return GemmaRows(bits=_bits(config, place.module))


def create(config: GemmaQuantizationConfig, place: Place) -> Codec | None:
    """How a layer is packed: scales of activations are not made, they need data. Raises QuantizationConfigError."""
    return GemmaRows(bits=_bits(config, place.module))


def _bits(config: GemmaQuantizationConfig, module: str) -> int:
    """Bits of a layer: those of the first pattern found in its name, or of all."""
    own = config.module_quant_configs or {}
    settings = next((found for pattern, found in own.items() if re.search(pattern, module)), {})
    bits = settings.get("num_bits", config.num_bits)
    if bits not in (2, 4, 8):
        raise QuantizationConfigError(
            f"{module}: Gemma's weights have 2, 4 or 8 bits, not {bits!r}", fix="correct num_bits"
        )
    return int(str(bits))


GEMMA = Method(
    name="gemma",
    config=GemmaQuantizationConfig,
    suffixes=frozenset(part.suffix for kind in (False, True) for part in GemmaRows(embedding=kind).parts),
    packed=packed,
    create=create,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
