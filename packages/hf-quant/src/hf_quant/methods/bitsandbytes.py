"""bitsandbytes: NF4, FP4 and LLM.int8()."""

from __future__ import annotations

from typing import cast

import torch

from hf_config.quantization import BitsAndBytesConfig
from hf_quant.codec import Codec
from hf_quant.codecs.bitsandbytes_4bit import STORAGE_DTYPES, BitsAndBytes4Bit
from hf_quant.codecs.bitsandbytes_int8 import BitsAndBytesInt8
from hf_quant.errors import QuantizationConfigError
from hf_quant.formats.blockwise4 import QuantType
from hf_quant.method import Beside, Method, Place
from hf_quant.skip import Skip

_STATE = "weight.quant_state.bitsandbytes__"
_STORAGE = {str(dtype).removeprefix("torch."): dtype for dtype in STORAGE_DTYPES}


def packed(config: BitsAndBytesConfig, place: Place, beside: Beside) -> Codec | None:
    """How the checkpoint holds a layer. Raises QuantizationConfigError."""
    stored = place.stored
    if "SCB" in stored or (config.load_in_8bit and not any(name.startswith(_STATE) for name in stored)):
        return BitsAndBytesInt8(threshold=config.llm_int8_threshold)
    kinds = [name.removeprefix(_STATE) for name in stored if name.startswith(_STATE)]
    kind = kinds[0] if kinds else config.bnb_4bit_quant_type
    if kind not in ("nf4", "fp4"):
        raise QuantizationConfigError(
            f"{place.module} is packed by bitsandbytes as {kind!r}",
            fix="use a checkpoint of nf4 or fp4 weights",
        )
    state, absmax = stored.get(_STATE + kind), stored.get("weight.absmax")
    weight = stored.get("weight")
    return BitsAndBytes4Bit(
        quant_type=cast(QuantType, kind),
        double="weight.nested_absmax" in stored or (absmax is not None and absmax.dtype is torch.uint8),
        storage=torch.uint8 if weight is None else weight.dtype,
        state_bytes=1 if state is None else state.shape[-1],
        scales_across=absmax is not None and absmax.dtype is torch.bfloat16 and len(absmax.shape) == 2,
    )


def create(config: BitsAndBytesConfig, place: Place) -> Codec | None:
    """How a layer is packed. Raises QuantizationConfigError."""
    if config.load_in_8bit:
        return BitsAndBytesInt8(threshold=config.llm_int8_threshold)
    if not config.load_in_4bit:
        raise QuantizationConfigError(
            "BitsAndBytesConfig asks for neither 4 bits nor 8",
            fix="give load_in_4bit=True or load_in_8bit=True",
        )
    return BitsAndBytes4Bit(
        quant_type=config.bnb_4bit_quant_type,
        double=config.bnb_4bit_use_double_quant,
        storage=_STORAGE[config.bnb_4bit_quant_storage],
    )


BITSANDBYTES = Method(
    name="bitsandbytes",
    config=BitsAndBytesConfig,
    suffixes=frozenset(
        {
            "weight",
            "weight.absmax",
            "weight.quant_map",
            "weight.nested_absmax",
            "weight.nested_quant_map",
            f"{_STATE}nf4",
            f"{_STATE}fp4",
            "SCB",
            "weight_format",
        }
    ),
    packed=packed,
    create=create,
    skip=lambda config: Skip(patterns=config.llm_int8_skip_modules),
)
