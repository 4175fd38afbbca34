"""MLX's own files, and their twin for Apple's GPUs from transformers."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hf_config.quantization import MetalConfig, MlxConfig
from hf_quant.codec import Codec
from hf_quant.codecs.mlx import Mlx
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip


def packed(config: MlxConfig | MetalConfig, place: Place, beside: Beside) -> Codec | None:
    """The layout of one layer: its own settings, else the general ones. Raises QuantizationConfigError."""
    if not place.stored.keys() & {"scales", "biases", "qbiases"}:
        return None
    found = place.stored.get("scales")
    dtype = torch.float16 if found is None else found.dtype
    return _layout(config, place.module, "qbiases" if "qbiases" in place.stored else "biases", dtype)


def create(config: MlxConfig | MetalConfig, place: Place) -> Codec | None:
    """The layout in the settings; layers that these set to false stay plain."""
    own = config.extra.get(place.module)
    if own is False:
        return None
    biases = "qbiases" if isinstance(config, MetalConfig) else "biases"
    return _layout(config, place.module, biases, place.dtype)


def _layout(config: MlxConfig | MetalConfig, module: str, biases: str, dtype: torch.dtype) -> Mlx:
    own = config.extra.get(module)
    settings = own if isinstance(own, Mapping) else {}
    bits, size = settings.get("bits", config.bits), settings.get("group_size", config.group_size)
    mode = settings.get("mode", config.mode if isinstance(config, MlxConfig) else "affine")
    if mode != "affine" or not isinstance(bits, int) or not isinstance(size, int):
        raise QuantizationConfigError(
            f"MLX mode {mode!r} of {module} is not read here; only affine groups are",
            fix="convert the checkpoint with mode affine",
        )
    return Mlx(bits=bits, group_size=size, biases=biases, scales=dtype)


SUFFIXES = frozenset({"weight", "scales", "biases", "qbiases"})

MLX = Method(
    name="mlx",
    config=MlxConfig,
    suffixes=SUFFIXES,
    packed=packed,
    create=create,
    skip=lambda config: Skip(patterns=()),
    embeddings=True,
)
METAL = Method(
    name="metal",
    config=MetalConfig,
    suffixes=SUFFIXES,
    packed=packed,
    create=create,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
