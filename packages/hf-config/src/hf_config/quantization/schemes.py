"""Formats that describe many schemes in one file: compressed-tensors, Quark, GGUF."""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from hf_config.quantization.base import QuantizationConfig
from hf_config.record import Record, completed, record


@record
class QuantizationArgs(Record):
    """How compressed-tensors stores one kind of tensor."""

    num_bits: int = 8
    type: Literal["int", "float"] = "int"
    symmetric: bool = True
    group_size: int | None = None
    strategy: Literal["tensor", "channel", "group", "block", "token", "tensor_group", "attn_head"] | None = (
        None
    )
    block_structure: str | tuple[int, ...] | None = None
    dynamic: bool | Literal["local"] = False
    actorder: str | bool | None = None
    scale_dtype: str | None = None
    zp_dtype: str | None = None
    observer: str | None = None
    observer_kwargs: Mapping[str, object] = field(default_factory=dict)


@record
class QuantizationScheme(Record):
    """Which modules a compressed-tensors group covers, and how their tensors are stored."""

    targets: tuple[str, ...] = ()
    weights: QuantizationArgs | None = None
    input_activations: QuantizationArgs | None = None
    output_activations: QuantizationArgs | None = None
    format: str | None = None


def _dequantize(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
    return absorbed.get("run_compressed") is False if given is None else given


@record
class CompressedTensorsConfig(QuantizationConfig):
    """compressed-tensors: groups of modules with a scheme each, or the name of a preset."""

    quant_method: Literal["compressed-tensors"] = "compressed-tensors"
    config_groups: Mapping[str, QuantizationScheme | tuple[str, ...]] = field(default_factory=dict)
    format: str = "dense"
    quantization_status: str = "initialized"
    kv_cache_scheme: QuantizationArgs | None = None
    global_compression_ratio: float | None = None
    ignore: tuple[str, ...] = ()
    sparsity_config: Mapping[str, object] | None = None
    transform_config: Mapping[str, object] | None = None
    dequantize: bool = completed(_dequantize, absorbs=("run_compressed",))
    use_optimized_inference: bool = False


@record
class QuarkConfig(QuantizationConfig):
    """AMD Quark: settings for all layers, for kinds of layers and for single ones."""

    quant_method: Literal["quark"] = "quark"
    global_quant_config: Mapping[str, object] | None = None
    layer_quant_config: Mapping[str, object] = field(default_factory=dict)
    layer_type_quant_config: Mapping[str, object] = field(default_factory=dict)
    kv_cache_quant_config: Mapping[str, object] | None = None
    exclude: tuple[str, ...] = ()
    algo_config: object = None
    export: Mapping[str, object] | None = None
    version: str | None = None


@record
class GgufConfig(QuantizationConfig):
    """GGUF: the file itself says how each tensor is stored.

    `ggml_type` is what plain weights are packed as (`"Q4_0"`).
    """

    quant_method: Literal["gguf"] = "gguf"
    gguf_file: str | None = None
    dequantize: bool = False
    ggml_type: str | None = None
