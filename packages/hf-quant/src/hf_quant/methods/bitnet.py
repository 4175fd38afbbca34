"""BitNet: ternary weights, packed or rounded at every call."""

from __future__ import annotations

from hf_config.quantization import BitNetQuantConfig
from hf_quant.codec import Codec
from hf_quant.codecs.bitnet import BitNetOnline, BitNetPacked
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip


def codec(config: BitNetQuantConfig, place: Place, beside: Beside | None = None) -> Codec | None:
    """The layer's format, by the class and mode that the settings name."""
    eps = (config.rms_norm_eps or 1e-6) if config.use_rms_norm else None
    if is_online(config):
        return BitNetOnline(norm_eps=eps)
    return BitNetPacked(multiplied=config.linear_class == "autobitlinear", norm_eps=eps)


def create(config: BitNetQuantConfig, place: Place) -> Codec | None:
    """The layer's format. Raises QuantizationConfigError for online layers that a family's files keep otherwise."""
    if is_online(config) and not all(name.endswith(place.module) for name in place.memory):
        raise QuantizationConfigError(
            f"{place.module}: this family's files keep the weight in another layout than the model does, and rounding "
            "at every call needs the whole weight as it is in the file",
            fix='use quantization_mode="offline"',
        )
    return codec(config, place)


def is_online(config: BitNetQuantConfig) -> bool:
    """Whether the checkpoint holds plain weights, which are rounded at every call. Raises QuantizationConfigError."""
    online = config.linear_class == "autobitlinear" and config.quantization_mode == "online"
    if online and config.use_rms_norm:
        raise QuantizationConfigError(
            "BitNet with quantization_mode 'online' and use_rms_norm is for training; layers with a norm of their own "
            "are read packed",
            fix='save the trained model with quantization_mode="offline"',
        )
    return online


BITNET = Method(
    name="bitnet",
    config=BitNetQuantConfig,
    suffixes=frozenset({"weight", "weight_scale", "rms_norm.weight"}),
    packed=codec,
    create=create,
    on_load=is_online,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
