"""Which class reads which quantization settings, in all the ways files name or do not name the method."""

from collections.abc import Mapping

from hf_config.errors import ConfigError, UnknownQuantMethodError
from hf_config.quantization import codebook, floating, integer, schemes
from hf_config.quantization.base import QuantizationConfig

METHODS: Mapping[str, type[QuantizationConfig]] = {
    "aqlm": codebook.AqlmConfig,
    "auto-round": integer.AutoRoundConfig,
    "awq": integer.AwqConfig,
    "bitnet": codebook.BitNetQuantConfig,
    "bitsandbytes": integer.BitsAndBytesConfig,
    "compressed-tensors": schemes.CompressedTensorsConfig,
    "eetq": integer.EetqConfig,
    "fbgemm_fp8": floating.FbgemmFp8Config,
    "fouroversix": floating.FourOverSixConfig,
    "fp8": floating.FineGrainedFP8Config,
    "fp_quant": floating.FPQuantConfig,
    "gemma": integer.GemmaQuantizationConfig,
    "gguf": schemes.GgufConfig,
    "gptq": integer.GPTQConfig,
    "higgs": codebook.HiggsConfig,
    "hqq": integer.HqqConfig,
    "metal": integer.MetalConfig,
    "mlx": integer.MlxConfig,
    "modelopt": floating.ModelOptConfig,
    "mxfp4": floating.Mxfp4Config,
    "mxfp8": floating.FineGrainedFP8Config,
    "nvfp4": floating.NVFP4Config,
    "quanto": integer.QuantoConfig,
    "quark": schemes.QuarkConfig,
    "sinq": integer.SinqConfig,
    "spqr": codebook.SpQRConfig,
    "torchao": integer.TorchAoConfig,
    "vptq": codebook.VptqConfig,
}
"""quant_method -> class."""

_OTHER_NAMES: Mapping[str, str] = {
    "auto_round": "auto-round",
    "autoround": "auto-round",
    "bitsandbytes_4bit": "bitsandbytes",
    "bitsandbytes_8bit": "bitsandbytes",
    "bits_and_bytes": "bitsandbytes",
    "bnb": "bitsandbytes",
    "compressed_tensors": "compressed-tensors",
    "fp-quant": "fp_quant",
    "fp_8": "fp8",
    "gptqmodel": "gptq",
    "intel/auto-round": "auto-round",
    "quantizationmethod.bits_and_bytes": "bitsandbytes",
}


def class_and_settings(data: Mapping[str, object]) -> tuple[type[QuantizationConfig], dict[str, object]]:
    """The class for these settings and the settings in its spelling. Raises ConfigError."""
    settings = _flat(data)
    named = settings.get("quant_method")
    method = _canonical(str(named)) if named else _recognised(settings)
    if method == "quark" or (
        method in ("awq", "fp8") and "export" in settings and "global_quant_config" in settings
    ):
        method = "quark"
    kind = METHODS.get(method)
    if kind is None:
        raise UnknownQuantMethodError(method, METHODS)
    return kind, {**settings, "quant_method": method}


def _canonical(name: str) -> str:
    lowered = name.lower()
    return _OTHER_NAMES.get(lowered, lowered)


def _flat(data: Mapping[str, object]) -> dict[str, object]:
    # hf_quant_config.json keeps everything one level down, beside its producer.
    inner = data.get("quantization")
    if isinstance(inner, Mapping) and "quant_method" not in data:
        outer = {key: value for key, value in data.items() if key != "quantization"}
        return {**outer, **{str(key): value for key, value in inner.items()}}
    return dict(data)


def _recognised(settings: Mapping[str, object]) -> str:
    if any(settings.get(key) for key in ("load_in_8bit", "load_in_4bit", "_load_in_8bit", "_load_in_4bit")):
        return "bitsandbytes"
    if "quant_algo" in settings:
        return "modelopt"
    if "config_groups" in settings or "sparsity_config" in settings:
        return "compressed-tensors"
    if {"group_size", "bits"} <= settings.keys():
        return "mlx"
    raise ConfigError(
        f"quantization_config names no quant_method (its keys: {', '.join(sorted(settings)) or 'none'})",
        fix='add "quant_method", such as "gptq"',
    )
