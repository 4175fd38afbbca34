"""EETQ."""

from __future__ import annotations

import torch

from hf_config.quantization import EetqConfig
from hf_quant.codec import Codec
from hf_quant.codecs.eetq import Eetq
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip


def packed(config: EetqConfig, place: Place, beside: Beside) -> Codec | None:
    """The one layout, for layers with its scales or its bytes."""
    weight = place.stored.get("weight")
    is_bytes = weight is not None and weight.dtype == torch.int8
    return Eetq() if is_bytes or "weight_scales" in place.stored else None


EETQ = Method(
    name="eetq",
    config=EetqConfig,
    suffixes=frozenset({"weight", "weight_scales"}),
    packed=packed,
    create=lambda config, place: Eetq(),
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
