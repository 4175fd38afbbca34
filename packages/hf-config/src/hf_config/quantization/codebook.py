"""Methods that store weights as entries of codebooks, as signs, or as sparse corrections."""

from collections.abc import Mapping
from dataclasses import field
from typing import Literal

from hf_config.errors import InvalidFieldError
from hf_config.quantization.base import QuantizationConfig, require
from hf_config.record import Record, record


@record
class AqlmConfig(QuantizationConfig):
    """AQLM: each group of weights is a sum of codebook entries."""

    quant_method: Literal["aqlm"] = "aqlm"
    in_group_size: int = 8
    out_group_size: int = 1
    num_codebooks: int = 1
    nbits_per_codebook: int = 16
    linear_weights_not_to_quantize: tuple[str, ...] = ()


@record
class VptqLayerConfig(Record):
    """VPTQ's settings of one layer; each pair is for outlier columns and for the rest."""

    enable_norm: bool = True
    enable_perm: bool = True
    group_num: int = 1
    group_size: int = -1
    in_features: int = -1
    indices_as_float: bool = False
    is_indice_packed: bool = True
    num_centroids: tuple[int, int] = (-1, -1)
    num_res_centroids: tuple[int, int] = (-1, -1)
    out_features: int = -1
    outlier_size: int = 0
    vector_lens: tuple[int, int] = (-1, -1)

    def check(self) -> None:
        if not self.is_indice_packed:
            raise InvalidFieldError(
                "VptqLayerConfig", "is_indice_packed", False, "true: indices are packed bits"
            )


@record
class VptqConfig(QuantizationConfig):
    """VPTQ: vectors along the output as centroids, with residual centroids."""

    quant_method: Literal["vptq"] = "vptq"
    enable_proxy_error: bool = False
    config_for_layers: Mapping[str, VptqLayerConfig] = field(default_factory=dict)
    shared_layer_config: Mapping[str, VptqLayerConfig] = field(default_factory=dict)
    modules_to_not_convert: tuple[str, ...] | None = None


@record
class HiggsConfig(QuantizationConfig):
    """HIGGS: rotated groups on grids that fit a normal distribution."""

    quant_method: Literal["higgs"] = "higgs"
    bits: int = 4
    p: int = 2
    modules_to_not_convert: tuple[str, ...] | None = None
    hadamard_size: int = 512
    group_size: int = 256
    tune_metadata: Mapping[str, object] = field(default_factory=dict)

    def check(self) -> None:
        require(self, "bits", (2, 3, 4))
        require(self, "p", (1, 2))
        require(self, "group_size", (64, 128, 256))
        if self.hadamard_size % self.group_size:
            raise InvalidFieldError(
                "HiggsConfig",
                "hadamard_size",
                self.hadamard_size,
                f"a multiple of group_size {self.group_size}",
            )


@record
class SpQRConfig(QuantizationConfig):
    """SpQR: 3-bit tiles with quantized scales, and sparse outliers."""

    quant_method: Literal["spqr"] = "spqr"
    bits: int = 3
    beta1: int = 16
    beta2: int = 16
    shapes: Mapping[str, int] = field(default_factory=dict)
    modules_to_not_convert: tuple[str, ...] | None = None

    def check(self) -> None:
        require(self, "bits", (3,))
        require(self, "beta1", (16,))
        require(self, "beta2", (16,))


@record
class BitNetQuantConfig(QuantizationConfig):
    """BitNet: ternary weights with one scale."""

    quant_method: Literal["bitnet"] = "bitnet"
    modules_to_not_convert: tuple[str, ...] | None = None
    linear_class: Literal["bitlinear", "autobitlinear"] = "bitlinear"
    quantization_mode: Literal["online", "offline"] = "offline"
    use_rms_norm: bool = False
    rms_norm_eps: float | None = 1e-6
