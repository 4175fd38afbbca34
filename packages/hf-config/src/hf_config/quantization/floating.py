"""Methods that store weights as 8-bit or 4-bit floats with scales."""

from collections.abc import Mapping
from typing import Literal

from hf_config.derive import renamed
from hf_config.errors import InvalidFieldError
from hf_config.quantization.base import QuantizationConfig, require
from hf_config.record import Record, completed, record


@record
class FbgemmFp8Config(QuantizationConfig):
    """FBGEMM: 8-bit floats with a scale for each output row."""

    quant_method: Literal["fbgemm_fp8"] = "fbgemm_fp8"
    activation_scale_ub: float = 1200.0
    modules_to_not_convert: tuple[str, ...] | None = None


@record
class FineGrainedFP8Config(QuantizationConfig):
    """8-bit floats with a scale for each block of the weight, or one for the whole."""

    quant_method: Literal["fp8", "mxfp8"] = "fp8"
    activation_scheme: Literal["dynamic", "static"] = "dynamic"
    weight_block_size: tuple[int, int] | None = (128, 128)
    dequantize: bool = False
    modules_to_not_convert: tuple[str, ...] | None = renamed("ignored_layers", None)
    modules_to_convert: tuple[str, ...] | None = None
    scale_fmt: Literal["float", "ue8m0"] = "float"
    expert_dtype: Literal["fp8", "fp4"] = "fp8"
    fmt: str | None = None

    def check(self) -> None:
        if self.weight_block_size is not None and min(self.weight_block_size) <= 0:
            raise InvalidFieldError(
                "FineGrainedFP8Config",
                "weight_block_size",
                self.weight_block_size,
                "two sizes above 0, or null",
            )


@record
class Mxfp4Config(QuantizationConfig):
    """MXFP4: 4-bit floats in blocks of 32 that share a power of two."""

    quant_method: Literal["mxfp4"] = "mxfp4"
    modules_to_not_convert: tuple[str, ...] | None = None
    dequantize: bool = False


@record
class NVFP4Config(QuantizationConfig):
    """NVFP4: 4-bit floats in blocks of 16 with an 8-bit scale each."""

    quant_method: Literal["nvfp4"] = "nvfp4"
    modules_to_not_convert: tuple[str, ...] | None = None


def _rotation_size(owner: "FPQuantConfig", given: object, absorbed: Mapping[str, object]) -> object:
    return (16 if owner.forward_dtype == "nvfp4" else 32) if given is None else given


@record
class FPQuantConfig(QuantizationConfig):
    """FP-Quant: 4-bit floats in a rotated space."""

    quant_method: Literal["fp_quant"] = "fp_quant"
    forward_dtype: Literal["nvfp4", "mxfp4"] = "nvfp4"
    forward_method: Literal["abs_max", "quest"] = "abs_max"
    backward_dtype: Literal["bf16", "mxfp8", "mxfp4"] = "bf16"
    store_master_weights: bool = False
    hadamard_group_size: int = completed(_rotation_size)
    pseudoquantization: bool = False
    transform_init: Literal["hadamard", "identity", "gsr"] = "hadamard"
    modules_to_not_convert: tuple[str, ...] | None = ("lm_head",)

    def check(self) -> None:
        sizes = (16, 32, 64, 128) if self.forward_dtype == "nvfp4" else (32, 64, 128)
        require(self, "hadamard_group_size", sizes)
        if self.forward_dtype == "nvfp4":
            require(self, "forward_method", ("abs_max",))


@record
class FourOverSixConfig(QuantizationConfig):
    """Four-over-six: NVFP4 whose blocks reach either 4 or 6."""

    quant_method: Literal["fouroversix"] = "fouroversix"
    activation_dtype: str | None = None
    activation_scale_rule: str | None = None
    dtype: str = "nvfp4"
    gradient_dtype: str | None = None
    gradient_scale_rule: str | None = None
    keep_master_weights: bool = False
    matmul_backend: str | None = None
    output_dtype: str | None = "bfloat16"
    quantize_backend: str | None = None
    scale_rule: str = "mse"
    weight_dtype: str | None = None
    weight_scale_2d: bool = False
    weight_scale_rule: str | None = None
    module_config_overrides: Mapping[str, Mapping[str, object]] | None = None
    modules_to_not_convert: tuple[str, ...] | None = ("lm_head",)


def _excluded(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
    return absorbed.get("exclude_modules", absorbed.get("ignore", ())) if given is None else given


@record
class ModelOptConfig(QuantizationConfig):
    """NVIDIA ModelOpt: FP8 or NVFP4, in config.json or in a file hf_quant_config.json of its own."""

    quant_method: Literal["modelopt"] = "modelopt"
    quant_algo: str | None = None
    kv_cache_quant_algo: str | None = None
    group_size: int | None = None
    modules_to_not_convert: tuple[str, ...] = completed(_excluded, absorbs=("exclude_modules", "ignore"))
    quantized_layers: Mapping[str, Mapping[str, object]] | None = None
    producer: Mapping[str, object] | None = None
