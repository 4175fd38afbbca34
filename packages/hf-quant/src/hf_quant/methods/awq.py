"""AWQ."""

from __future__ import annotations

from hf_config.quantization import AwqConfig
from hf_quant.codec import Codec
from hf_quant.codecs.awq import AwqGemm, AwqGemv
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip


def awq_codec(config: AwqConfig, place: Place, beside: Beside) -> Codec | None:
    """The layout of one layer. Raises QuantizationConfigError."""
    if config.bits != 4:
        raise QuantizationConfigError(
            f"AWQ files of {config.bits} bits do not exist: their layout is of 4-bit numbers",
            fix="correct bits in quantization_config",
        )
    match config.version:
        case "gemm" | "exllama":
            return AwqGemm(group_size=config.group_size, symmetric=not config.zero_point)
        case "gemv":
            return AwqGemv(group_size=config.group_size)
        case other:
            raise QuantizationConfigError(
                f"AWQ files of version {other!r} are laid out for one GPU kernel and not read here",
                fix="use a checkpoint of version gemm or gemv",
            )


def awq_skip(config: AwqConfig) -> Skip:
    """Names given are left alone beside the outputs."""
    return Skip(patterns=config.modules_to_not_convert, defaults=True)


AWQ = Method(
    name="awq",
    config=AwqConfig,
    suffixes=frozenset({"qweight", "qzeros", "scales"}),
    packed=awq_codec,
    calibrated=lambda config, place: awq_codec(config, place, Beside()),
    skip=awq_skip,
)
