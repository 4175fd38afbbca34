"""SINQ. What its weights need beside tensors lies in a JSON file of its own, an entry for each layer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Literal

import torch

from hf_config.quantization import SinqConfig
from hf_hub_io.jsonio import JsonValue
from hf_quant.codec import Codec
from hf_quant.codecs.sinq import Levels, Sinq
from hf_quant.errors import CalibrationNeededError, QuantizationConfigError
from hf_quant.method import Beside, Codecs, Method, Place, Saved
from hf_quant.skip import Skip

SIDECAR = "model.safetensors.index.json.meta.json"
_PACKINGS: Mapping[int, tuple[str, Literal["uint8", "int32"]]] = {
    8: ("8bit_u8", "uint8"),
    6: ("6bit_32", "int32"),
    5: ("5bit_32", "int32"),
    4: ("4bit_u8", "uint8"),
    3: ("3bit_32", "int32"),
    2: ("2bit_u8", "uint8"),
    1: ("1bit_u8", "uint8"),
}


def packed(config: SinqConfig, place: Place, beside: Beside) -> Codec | None:
    """How the checkpoint holds a layer. Raises QuantizationConfigError."""
    entry = _entries(beside).get(place.module)
    meta = entry.get("meta") if isinstance(entry, dict) else None
    shape = meta.get("shape") if isinstance(meta, dict) else None
    if not isinstance(meta, dict) or not isinstance(shape, list) or len(shape) != 2:
        raise QuantizationConfigError(
            f"{SIDECAR} does not give the shape of {place.module}",
            fix=f"fetch the checkpoint again, with {SIDECAR}",
        )
    method, dtype = str(meta.get("method", config.method)), str(meta.get("compute_dtype", "float32"))
    bits, group = meta.get("nbits", config.nbits), meta.get("group_size", config.group_size)
    return Sinq(
        shape_NK=(int(str(shape[0])), int(str(shape[1]))),
        bits=int(str(bits)),
        group=int(str(group)),
        square=config.tiling_mode == "2D",
        auxiliary="meta.scale.x" in place.stored,
        levels=_levels(method),
        dtype=getattr(torch, dtype.removeprefix("torch."), torch.float32),
    )


def create(config: SinqConfig, place: Place) -> Codec | None:
    """How a layer is packed: scales in 8 bits where their number allows. Raises CalibrationNeededError."""
    if config.method.startswith("asinq"):
        raise CalibrationNeededError(
            "A-SINQ scales inputs by what data shows of them", fix='use method="sinq", which needs no data'
        )
    N, K = place.shape[-2:]
    return Sinq(
        shape_NK=(N, K),
        bits=config.nbits,
        group=config.group_size,
        square=config.tiling_mode == "2D",
        auxiliary=N * (K // config.group_size) % 32 == 0,
        levels=_levels(config.method),
    )


def saved(config: SinqConfig, codecs: Codecs, beside: Beside) -> Saved:
    """The file of settings: as it was, or made for layers that it lacks."""
    before = _entries(beside)
    entries = {
        **before,
        **{name: _entry(c) for name, c in codecs.items() if isinstance(c, Sinq) and name not in before},
    }
    if entries == before and (raw := beside.read(SIDECAR)) is not None:
        return Saved(files={SIDECAR: raw})
    return Saved(files={SIDECAR: json.dumps(entries, indent=2).encode()})


def _entries(beside: Beside) -> dict[str, JsonValue]:
    raw = beside.read(SIDECAR)
    try:
        entries = {} if raw is None else json.loads(raw)
    except ValueError as error:
        raise QuantizationConfigError(
            f"{SIDECAR} is no JSON: {error}", fix="fetch the checkpoint again"
        ) from None
    return entries if isinstance(entries, dict) else {}


def _entry(codec: Sinq) -> JsonValue:
    packing, words = _PACKINGS[codec.bits]
    N, K = codec.shape_NK
    groups = N * K // codec.group
    scale: list[JsonValue] = [groups // codec.group, codec.group, 1] if codec.square else [groups, 1]
    suffix = "" if codec.levels == "uniform" else f"_{codec.levels}"
    meta: dict[str, JsonValue] = {
        "nbits": codec.bits,
        "group_size": codec.group,
        "shape": [N, K],
        "axis": 1,
        "packing": packing,
        "method": f"sinq{suffix}" + ("_quantAux" if codec.auxiliary else ""),
        "compute_dtype": str(codec.dtype),
        "unpack_view_dtype": f"torch.{words}",
        "view_as_float": False,
    }
    if codec.auxiliary:
        meta |= {"scale.shape": scale, "zero.shape": scale}
    return {"meta": meta}


def _levels(method: str) -> Levels:
    lowered = method.lower()
    return "nf4" if "nf4" in lowered else "nf3" if "nf3" in lowered else "uniform"


SINQ = Method(
    name="sinq",
    config=SinqConfig,
    suffixes=frozenset(
        part.suffix
        for auxiliary in (True, False)
        for part in Sinq(shape_NK=(0, 0), auxiliary=auxiliary).parts
    ),
    packed=packed,
    create=create,
    skip=lambda config: Skip(patterns=config.modules_to_not_convert),
    saved=saved,
)
