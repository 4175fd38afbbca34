"""Finished blocks of a calibration in files, so that a stopped one goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from hf_config.quantization import QuantizationConfig
from hf_hub_io.atomic import atomic_write_bytes
from hf_modeling.weights.save import buffer_of
from hf_quant.errors import CalibrationDataError


@final
@dataclass(frozen=True, kw_only=True)
class Finished:
    """A block that was rounded.

    parts: of each packed layer, by its name. plain: the block's other parameters, by their names in the block.
    errors: of each layer, its output's relative error, and that of rounding to nearest.
    """

    parts: Mapping[str, Mapping[str, Tensor]]
    plain: Mapping[str, Tensor]
    errors: Mapping[str, tuple[float, float]]


def block_file(
    folder: Path, number: int, config: QuantizationConfig, ids_ST: Tensor, output_BTD: Tensor
) -> Path:
    """Where a block is kept: named by the settings, the data, and what the block made of the first batch before
    it was touched, which depends on its weights and on all blocks before it.
    """
    digest = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True, default=str).encode())
    for tensor in (ids_ST, output_BTD):
        digest.update(buffer_of(tensor.detach().cpu().contiguous()))
    return folder / f"block-{number}-{digest.hexdigest()[:16]}.pt"


def write_block(path: Path, block: Finished) -> None:
    """Keep a block; the file is whole or not there."""
    content = io.BytesIO()
    torch.save({"parts": block.parts, "plain": block.plain, "errors": block.errors}, content)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(path, content.getvalue())


def read_block(path: Path) -> Finished | None:
    """The block that was kept, None if it was not. Tensors and numbers only: no code in the file is run.

    Raises CalibrationDataError if it cannot be read.
    """
    if not path.exists():
        return None
    try:
        content = torch.load(path, weights_only=True)
        return Finished(parts=content["parts"], plain=content["plain"], errors=content["errors"])
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise CalibrationDataError(
            f"{path} is not a finished block: {error}", fix="remove the file; the block is then made again"
        ) from None
