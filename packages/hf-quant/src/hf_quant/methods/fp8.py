"""Eight-bit floats: DeepSeek's and Qwen's blocks, Mistral's tensors, FBGEMM's rows."""

from __future__ import annotations

import torch

from hf_config.quantization import FbgemmFp8Config, FineGrainedFP8Config
from hf_quant.codec import Codec
from hf_quant.codecs.fp8 import Activations, Fp4Row, Fp8Block, Fp8Row, Fp8Tensor
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip

_SCALES = ("weight_scale_inv", "weight_scale", "scale", "qscale_weight")
_INPUTS = ("activation_scale", "input_scale", "qscale_act")
_STACKED = ("_scale_inv", "_scale", "_qscale_weight")
_MX_BLOCK = (1, 32)


def packed(config: FineGrainedFP8Config, place: Place, beside: Beside) -> Codec | None:
    """How the checkpoint holds a layer, by what its scale is called and how large it is."""
    stored = place.stored
    name = next((n for n in (*_SCALES, *_STACKED) if n in stored), None)
    if name is None:
        return _codec(config, "weight_scale_inv", 2)
    weight = stored.get("weight") or stored.get("")
    scale = name if name in _SCALES else "weight_scale_inv" if name == "_scale_inv" else "weight" + name
    if weight is not None and weight.dtype in (torch.int8, torch.uint8):
        return Fp4Row(scale=scale)
    inputs = next((n for n in _INPUTS if n in stored), "activation_scale")
    lead = 0 if weight is None else len(weight.shape) - 2
    codec = _codec(config, scale, len(stored[name].shape) - lead, inputs=inputs)
    if isinstance(codec, Fp8Tensor):
        return Fp8Tensor(
            activations=codec.activations, scale=scale, inputs=inputs, one=stored[name].shape[lead:]
        )
    return codec


def _codec(config: FineGrainedFP8Config, scale: str, axes: int, *, inputs: str = "activation_scale") -> Codec:
    static = config.activation_scheme == "static"
    if axes < 2:
        activations: Activations = "static" if static else "dynamic"
        return Fp8Tensor(activations=activations, scale=scale, inputs=inputs)
    block = _MX_BLOCK if config.quant_method == "mxfp8" else config.weight_block_size or (128, 128)
    return Fp8Block(block=block, scale_format=config.scale_fmt, static=static, scale=scale)


def create(config: FineGrainedFP8Config, place: Place) -> Codec | None:
    """How a layer is packed: plain scales for activations are not made, they need data."""
    if config.weight_block_size is None and config.quant_method != "mxfp8":
        return Fp8Tensor(activations="dynamic", scale="weight_scale_inv")
    block = _MX_BLOCK if config.quant_method == "mxfp8" else config.weight_block_size or (128, 128)
    scale_format = "ue8m0" if config.quant_method == "mxfp8" else config.scale_fmt
    return Fp8Block(block=block, scale_format=scale_format)


def fbgemm_packed(config: FbgemmFp8Config, place: Place, beside: Beside) -> Codec | None:
    """A scale for each output; stacked experts lie from input to output."""
    return Fp8Row(upper_bound=config.activation_scale_ub, transposed="" in place.stored)


def fbgemm_create(config: FbgemmFp8Config, place: Place) -> Codec | None:
    """The same, for a layer that is to be packed."""
    return Fp8Row(upper_bound=config.activation_scale_ub, transposed=len(place.shape) > 2)


FP8 = Method(
    name="fp8",
    config=FineGrainedFP8Config,
    suffixes=frozenset({"weight", *_SCALES, *_INPUTS}),
    stacked=frozenset({"", *_STACKED}),
    packed=packed,
    create=create,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
    embeddings=False,
)
MXFP8 = Method(
    name="mxfp8",
    config=FineGrainedFP8Config,
    suffixes=FP8.suffixes,
    stacked=FP8.stacked,
    packed=packed,
    create=create,
    skip=FP8.skip,
)
FBGEMM = Method(
    name="fbgemm_fp8",
    config=FbgemmFp8Config,
    suffixes=frozenset({"weight", "weight_scale"}),
    stacked=frozenset({"", "_scale"}),
    packed=fbgemm_packed,
    create=fbgemm_create,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
)
