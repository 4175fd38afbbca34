"""Four-bit floats: MXFP4, NVFP4 of NVIDIA ModelOpt, FP-Quant."""

from __future__ import annotations

import re
from fnmatch import translate

from hf_config.quantization import FPQuantConfig, ModelOptConfig, Mxfp4Config, NVFP4Config
from hf_quant.codec import Codec
from hf_quant.codecs.fp8 import Fp8Tensor
from hf_quant.codecs.fp_quant import FPQuant
from hf_quant.codecs.mxfp4 import Mxfp4
from hf_quant.codecs.nvfp4 import Nvfp4
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip


def mxfp4_create(config: Mxfp4Config, place: Place) -> Codec | None:
    """Stacked experts only: the format has no spelling for other layers."""
    return Mxfp4() if len(place.shape) > 2 else None


def nvfp4_codec(config: NVFP4Config, place: Place, beside: Beside | None = None) -> Codec | None:
    """ModelOpt's dialect: the peer's own method of this name writes no files."""
    return Nvfp4()


def modelopt_packed(config: ModelOptConfig, place: Place, beside: Beside) -> Codec | None:
    """How the checkpoint holds a layer, by the algorithm that the settings name for it."""
    return _modelopt(config, place.module, static="input_scale" in place.stored)


def modelopt_create(config: ModelOptConfig, place: Place) -> Codec | None:
    """How a layer is packed: scales for activations are not made, they need data."""
    return _modelopt(config, place.module, static=False)


def _modelopt(config: ModelOptConfig, module: str, *, static: bool) -> Codec | None:
    algorithm = config.quant_algo
    if algorithm == "MIXED_PRECISION":
        own = (config.quantized_layers or {}).get(module)
        if own is None:
            return None
        algorithm = str(own.get("quant_algo"))
    match algorithm:
        case "FP8":
            return Fp8Tensor(activations="static" if static else "none")
        case "NVFP4" | "W4A16_NVFP4":
            return Nvfp4()
        case other:
            raise QuantizationConfigError(
                f"{module}: ModelOpt's quant_algo {other!r} is not read here",
                fix="use a checkpoint of FP8, NVFP4, W4A16_NVFP4, or MIXED_PRECISION of these",
            )


def modelopt_skip(config: ModelOptConfig) -> Skip:
    """ModelOpt writes shell patterns."""
    return Skip(patterns=tuple(map(_expression, config.modules_to_not_convert)) or None)


def _expression(pattern: str) -> str:
    if not any(sign in pattern for sign in "*?["):
        return re.escape(pattern)
    return translate(pattern).removeprefix("(?s:").removesuffix(r")\Z").removesuffix(r")\z")


def fp_quant_codec(config: FPQuantConfig, place: Place, beside: Beside | None = None) -> Codec | None:
    """The layer's format."""
    return FPQuant(
        forward_dtype=config.forward_dtype,
        forward_method=config.forward_method,
        rotation=config.hadamard_group_size,
        transform_init=config.transform_init,
        pseudo=config.pseudoquantization,
        master=config.store_master_weights,
    )


MXFP4 = Method(
    name="mxfp4",
    config=Mxfp4Config,
    suffixes=frozenset({"weight_blocks", "weight_scales"}),
    stacked=frozenset({"_blocks", "_scales"}),
    packed=lambda config, place, beside: Mxfp4(),
    create=mxfp4_create,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
NVFP4 = Method(
    name="nvfp4",
    config=NVFP4Config,
    suffixes=frozenset({"weight", "weight_scale", "weight_scale_2", "input_scale"}),
    packed=nvfp4_codec,
    create=nvfp4_codec,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
MODELOPT = Method(
    name="modelopt",
    config=ModelOptConfig,
    suffixes=NVFP4.suffixes,
    stacked=frozenset({"", "_scale"}),
    packed=modelopt_packed,
    create=modelopt_create,
    skip=modelopt_skip,
)
FP_QUANT = Method(
    name="fp_quant",
    config=FPQuantConfig,
    suffixes=frozenset(
        part.suffix for kind in (FPQuant(), FPQuant(pseudo=True), FPQuant(master=True)) for part in kind.parts
    ),
    packed=fp_quant_codec,
    create=fp_quant_codec,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
