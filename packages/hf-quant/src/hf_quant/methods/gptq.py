"""GPTQ, and AutoRound, which mostly writes its files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from hf_config.quantization import AutoRoundConfig, GPTQConfig
from hf_quant.codec import Codec
from hf_quant.codecs.awq import AwqGemm
from hf_quant.codecs.gptq import Gptq
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip

SUFFIXES = frozenset({"qweight", "qzeros", "scales", "g_idx"})
PLAIN_BITS = (2, 3, 4, 8)


def gptq_codec(config: GPTQConfig, place: Place, beside: Beside) -> Codec | None:
    """The layout of one layer, by the general settings and the layer's own. Raises QuantizationConfigError."""
    own = own_settings(config.dynamic or {}, place.module)
    if own is None:
        raise QuantizationConfigError(
            f"{place.module} is packed in the checkpoint, and quantization_config.dynamic leaves it out",
            fix="correct dynamic in quantization_config",
        )
    return _layout(
        _number(own, "bits", config.bits),
        _number(own, "group_size", config.group_size),
        version=config.format,
        symmetric=bool(own.get("sym", config.sym)),
    )


def own_settings(dynamic: Mapping[str, object], module: str) -> Mapping[str, object] | None:
    """What `dynamic` says about a layer: other settings under "+:regex" or a bare regex, None under "-:regex"."""
    for pattern, settings in dynamic.items():
        expression = pattern.removeprefix("-:").removeprefix("+:")
        if re.match(expression, module):
            if pattern.startswith("-:"):
                return None
            return settings if isinstance(settings, Mapping) else {}
    return {}


def _layout(bits: int, group_size: int, *, version: str, symmetric: bool) -> Gptq:
    if bits not in PLAIN_BITS or version not in ("gptq", "gptq_v2"):
        raise QuantizationConfigError(
            f"GPTQ files of {bits} bits in format {version!r} are laid out for one kernel only and not read here",
            fix=f"use a checkpoint of {', '.join(map(str, PLAIN_BITS))} bits in format 'gptq' or 'gptq_v2'",
        )
    return Gptq(bits=bits, group_size=group_size, zero_offset=int(version == "gptq"), symmetric=symmetric)


def _number(settings: Mapping[str, object], name: str, default: int) -> int:
    value = settings.get(name, default)
    return value if isinstance(value, int) else default


def auto_round_codec(config: AutoRoundConfig, place: Place, beside: Beside) -> Codec | None:
    """The layout of one layer of an AutoRound checkpoint. Raises QuantizationConfigError."""
    own = _own_entry(config.extra_config or {}, place.module)
    bits, size = _number(own, "bits", config.bits), _number(own, "group_size", config.group_size)
    symmetric = bool(own.get("sym", config.sym))
    packing = config.packing_format.removeprefix("auto_round:").removeprefix("auto_")
    match packing:
        case "gptq":
            return _layout(bits, size, version="gptq", symmetric=symmetric)
        case "gptqmodel" | "gptq_v2":
            return _layout(bits, size, version="gptq_v2", symmetric=symmetric)
        case "awq" if bits == 4:
            return AwqGemm(group_size=size, symmetric=symmetric)
        case _:
            raise QuantizationConfigError(
                f"AutoRound packing {config.packing_format!r} of {bits} bits is not read under this name",
                fix="export with packing auto_round:auto_gptq, auto_round:auto_awq or llm_compressor",
            )


def _own_entry(extra: Mapping[str, object], module: str) -> Mapping[str, object]:
    """AutoRound's settings of one layer: by its name, or by an expression that covers it."""
    for pattern, settings in extra.items():
        if isinstance(settings, Mapping) and (pattern == module or re.search(pattern, module)):
            return settings
    return {}


def auto_round_skip(config: AutoRoundConfig) -> Skip:
    """Only layers of blocks are rounded."""
    blocks = config.block_name_to_quantize
    named = blocks.split(",") if isinstance(blocks, str) else blocks
    return Skip(only=None if not named else tuple(named))


def gptq_calibrated(config: GPTQConfig, place: Place) -> Codec | None:
    """What calibration packs a layer as; None for one that `dynamic` leaves out."""
    left_out = own_settings(config.dynamic or {}, place.module) is None
    return None if left_out else gptq_codec(config, place, Beside())


GPTQ = Method(
    name="gptq",
    config=GPTQConfig,
    suffixes=SUFFIXES,
    packed=gptq_codec,
    calibrated=gptq_calibrated,
)
AUTO_ROUND = Method(
    name="auto-round",
    config=AutoRoundConfig,
    suffixes=SUFFIXES,
    packed=auto_round_codec,
    calibrated=lambda config, place: auto_round_codec(config, place, Beside()),
    skip=auto_round_skip,
)
