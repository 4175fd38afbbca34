"""AMD Quark: settings for all layers, for kinds of layers and for single ones."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase, translate
from typing import cast

from hf_config.quantization import QuarkConfig
from hf_quant.codec import Codec
from hf_quant.codecs.awq import AwqGemm
from hf_quant.codecs.fp8 import Fp8Tensor
from hf_quant.codecs.mxfp4 import Mxfp4
from hf_quant.errors import QuantizationConfigError
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip

NAMES = ("weight", "weight_zero_point", "weight_scale")
SUFFIXES = frozenset({*NAMES, "input_scale", "output_scale", "bias_scale"})


def packed(config: QuarkConfig, place: Place, beside: Beside) -> Codec | None:
    """How a layer found in a checkpoint is stored. Raises QuantizationConfigError."""
    stored = place.stored
    if (
        stored.keys() == {"weight"}
        and stored["weight"].dtype.itemsize > 1
        and stored["weight"].dtype.is_floating_point
    ):
        return None
    settings = _weight_settings(config, place.module)
    dtype, scheme = settings.get("dtype"), settings.get("qscheme")
    match (dtype, scheme):
        case ("int4" | "uint4", "per_group"):
            method = (config.export or {}).get("pack_method", "reorder")
            return AwqGemm(
                group_size=cast("int", settings.get("group_size") or 128),
                interleaved=method == "reorder",
                symmetric=bool(settings.get("symmetric")),
                signed=dtype == "int4",
                names=NAMES,
            )
        case ("fp8_e4m3", "per_tensor"):
            shape = stored["weight_scale"].shape if "weight_scale" in stored else ()
            return Fp8Tensor(
                activations="static" if "input_scale" in stored else "none",
                inputs="input_scale",
                one=shape,
            )
        case ("fp4" | "mx" | "mxfp4", _):
            return Mxfp4(blocked=False, codes="weight", scales="weight_scale")
        case _:
            raise QuantizationConfigError(
                f"{place.module} is stored by Quark as {dtype} with scales {scheme}, which is not read here",
                fix="export int4 or uint4 per group, fp8_e4m3 per tensor, or mxfp4",
            )


def _weight_settings(config: QuarkConfig, module: str) -> Mapping[str, object]:
    """What the settings say about one layer's weight: its own entry, else the general one."""
    own = next((v for name, v in config.layer_quant_config.items() if fnmatchcase(module, name)), None)
    chosen = own if isinstance(own, Mapping) else config.global_quant_config or {}
    weight = chosen.get("weight") or {}
    if isinstance(weight, list | tuple):  # stages of one after the other
        weight = weight[0]
    return cast("Mapping[str, object]", weight)


QUARK = Method(
    name="quark",
    config=QuarkConfig,
    suffixes=SUFFIXES,
    packed=packed,
    skip=lambda config: Skip(patterns=tuple(translate(name).removesuffix(r"\Z") for name in config.exclude)),
)
