"""Methods that store weights as integers with a scale for each group."""

from collections.abc import Mapping
from typing import Literal

from hf_config.derive import always
from hf_config.errors import InconsistentFieldsError, InvalidFieldError
from hf_config.quantization.base import QuantizationConfig, require, require_group_size
from hf_config.record import Alias, Record, completed, once_called, record

StorageDType = Literal["float16", "float32", "float64", "bfloat16", "int8", "uint8"]


def _lower(default: str, *older: str) -> str:
    def run(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
        value = next((absorbed[key] for key in older if key in absorbed), default if given is None else given)
        return value.lower() if isinstance(value, str) else value

    name: str = completed(run, absorbs=older)
    return name


@record
class BitsAndBytesConfig(QuantizationConfig):
    """bitsandbytes: 4-bit NF4 or FP4 blocks, or 8-bit rows with outliers apart."""

    quant_method: Literal["bitsandbytes"] = "bitsandbytes"
    load_in_8bit: bool = once_called("_load_in_8bit", False)
    load_in_4bit: bool = once_called("_load_in_4bit", False)
    llm_int8_threshold: float = 6.0
    llm_int8_skip_modules: tuple[str, ...] | None = None
    llm_int8_enable_fp32_cpu_offload: bool = False
    llm_int8_has_fp16_weight: bool = False
    bnb_4bit_compute_dtype: Literal["float16", "bfloat16", "float32", "float64"] = "float32"
    bnb_4bit_quant_type: Literal["fp4", "nf4"] = "fp4"
    bnb_4bit_use_double_quant: bool = False
    bnb_4bit_quant_storage: StorageDType = "uint8"

    def check(self) -> None:
        if self.load_in_4bit and self.load_in_8bit:
            raise InconsistentFieldsError(
                "BitsAndBytesConfig: load_in_4bit and load_in_8bit are both true",
                fields=("load_in_4bit", "load_in_8bit"),
                fix="choose one",
            )


def _same_format(config: "GPTQConfig") -> str:
    # Two readers of these files, two names for one thing; both are written.
    return config.format


@record
class GPTQConfig(QuantizationConfig):
    """GPTQ: groups along the input, rounded with second-order error feedback."""

    quant_method: Literal["gptq"] = "gptq"
    bits: int = 4
    tokenizer: str | None = None
    dataset: str | tuple[str, ...] | None = None
    group_size: int = 128
    damp_percent: float = 0.1
    desc_act: bool = False
    act_group_aware: bool = True
    sym: bool = True
    true_sequential: bool = True
    format: str = _lower("gptq", "checkpoint_format")
    checkpoint_format: str = always(_same_format)
    meta: Mapping[str, object] | None = None
    backend: str = "auto"
    model_seqlen: int | None = None
    block_name_to_quantize: str | None = None
    module_name_preceding_first_block: tuple[str, ...] | None = None
    batch_size: int = 1
    pad_token_id: int | None = None
    max_input_length: int | None = None
    cache_block_outputs: bool = True
    modules_in_block_to_quantize: tuple[tuple[str, ...], ...] | None = None
    dynamic: Mapping[str, object] | None = None

    def check(self) -> None:
        require(self, "bits", (2, 3, 4, 5, 6, 7, 8))
        require_group_size(self)
        require(self, "format", ("gptq", "gptq_v2", "gptq_p", "gptq_pro", "marlin"))
        if not 0 < self.damp_percent < 1:
            raise InvalidFieldError(
                "GPTQConfig", "damp_percent", self.damp_percent, "a number between 0 and 1"
            )


@record
class AwqConfig(QuantizationConfig):
    """AWQ: groups along the input, with channels scaled by how active they are."""

    quant_method: Literal["awq"] = "awq"
    bits: int = 4
    group_size: int = 128
    zero_point: bool = True
    version: str = _lower("gemm", "format")
    backend: str = "auto"
    modules_to_not_convert: tuple[str, ...] | None = None

    w_bit = Alias[int]("bits")
    q_group_size = Alias[int]("group_size")

    def check(self) -> None:
        require(self, "bits", (2, 3, 4, 8))
        require_group_size(self)
        require(self, "version", ("gemm", "gemv", "gemv_fast", "llm-awq", "exllama"))


@record
class AutoRoundConfig(QuantizationConfig):
    """AutoRound: rounding learned by signed gradients, packed as GPTQ or AWQ."""

    quant_method: Literal["auto-round"] = "auto-round"
    bits: int = 4
    group_size: int = 128
    sym: bool = True
    backend: str = "auto"
    packing_format: str = "auto_round:gptq"
    data_type: str | None = None
    block_name_to_quantize: str | tuple[str, ...] | None = None
    extra_config: Mapping[str, object] | None = None

    def check(self) -> None:
        require(self, "bits", (2, 3, 4, 5, 6, 7, 8))
        require_group_size(self)


def _hqq_settings(owner: Record, given: object, absorbed: Mapping[str, object]) -> object:
    if given is not None:
        return given
    if "dynamic_config" in absorbed:
        return absorbed["dynamic_config"]
    bits = absorbed.get("nbits", 4)
    weights = {
        "nbits": bits,
        "channel_wise": True,
        "group_size": absorbed.get("group_size", 64),
        "optimize": True,
        "round_zero": bits == 4,
        "axis": absorbed.get("axis", 1),
        "view_as_float": absorbed.get("view_as_float", False),
    }
    return {
        "weight_quant_params": weights,
        "scale_quant_params": None,
        "zero_quant_params": None,
        "offload_meta": False,
    }


@record
class HqqConfig(QuantizationConfig):
    """HQQ: groups fitted without data; nbits, group_size, axis and view_as_float make `quant_config`."""

    quant_method: Literal["hqq"] = "hqq"
    quant_config: Mapping[str, object] = completed(
        _hqq_settings, absorbs=("nbits", "group_size", "view_as_float", "axis", "dynamic_config")
    )
    skip_modules: tuple[str, ...] = ("lm_head",)


@record
class QuantoConfig(QuantizationConfig):
    """Quanto: integer or 8-bit float weights, optionally activations."""

    quant_method: Literal["quanto"] = "quanto"
    weights: Literal["int8", "float8", "int4", "int2"] = "int8"
    activations: Literal["int8", "float8"] | None = None
    modules_to_not_convert: tuple[str, ...] | None = None


@record
class EetqConfig(QuantizationConfig):
    """EETQ: 8-bit weights with a scale for each output."""

    quant_method: Literal["eetq"] = "eetq"
    weights: Literal["int8"] = "int8"
    modules_to_not_convert: tuple[str, ...] | None = None


@record
class TorchAoConfig(QuantizationConfig):
    """torchao: the layout is described by torchao's own settings, or in old files by a name."""

    quant_method: Literal["torchao"] = "torchao"
    quant_type: str | Mapping[str, object] = ""
    quant_type_kwargs: Mapping[str, object] | None = None
    modules_to_not_convert: tuple[str, ...] | None = None
    include_input_output_embeddings: bool = False
    untie_embedding_weights: bool = False


@record
class SinqConfig(QuantizationConfig):
    """SINQ: HQQ's layout with a second scale for each input channel."""

    quant_method: Literal["sinq"] = "sinq"
    nbits: int = 4
    group_size: int = 64
    tiling_mode: Literal["1D", "2D"] = "1D"
    method: str = _lower("sinq")
    modules_to_not_convert: tuple[str, ...] | None = None


@record
class MetalConfig(QuantizationConfig):
    """Affine groups in MLX's layout, as saved for Apple's GPUs."""

    quant_method: Literal["metal"] = "metal"
    bits: int = 4
    group_size: int = 64
    modules_to_not_convert: tuple[str, ...] | None = None
    dequantize: bool = False

    def check(self) -> None:
        require(self, "bits", (2, 4, 8))
        require_group_size(self)


@record
class MlxConfig(QuantizationConfig):
    """MLX's own files: affine groups, described without a method's name; layers may differ."""

    quant_method: Literal["mlx"] = "mlx"
    bits: int = 4
    group_size: int = 64
    mode: str = "affine"

    def check(self) -> None:
        require(self, "bits", (2, 3, 4, 5, 6, 8))
        require_group_size(self)


@record
class GemmaQuantizationConfig(QuantizationConfig):
    """Gemma's own low-bit release: rows with one scale and rounded activations."""

    quant_method: Literal["gemma"] = "gemma"
    num_bits: int = 4
    quantize_embeddings: bool = False
    module_quant_configs: Mapping[str, Mapping[str, object]] | None = None
    modules_to_not_convert: tuple[str, ...] | None = None
