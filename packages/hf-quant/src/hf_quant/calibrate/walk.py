"""A decoder's blocks one after the other, with what each of them reads: one block's activations in memory at a time.

S samples, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import torch
from torch import Tensor, nn

from hf_modeling.decoder import Decoder
from hf_modeling.model import PreTrainedModel
from hf_quant.errors import CalibrationDataError, UnsupportedHereError


@final
class _Arrived(Exception):  # noqa: N818  (nothing went wrong)
    """The first block was reached, which is all that was wanted."""


@final
class Walk:
    """The inputs of the current block, for each batch of samples.

    Raises CalibrationDataError: the data are not ids `(S, T)`; UnsupportedHereError: the model is no decoder, or
    reads an encoder's states.
    """

    def __init__(self, model: PreTrainedModel, ids_ST: Tensor, *, batch_size: int) -> None:
        decoders = [(n, m) for n, m in model.named_modules() if isinstance(m, Decoder)]
        if len(decoders) != 1 or decoders[0][1].crosses:
            raise UnsupportedHereError(
                f"{type(model).__name__} is not a model with one decoder, whose blocks calibration walks through",
                fix="quantize it with a method that needs no data: see `create` in the table of methods",
            )
        if ids_ST.ndim != 2 or ids_ST.is_floating_point() or not ids_ST.numel():
            raise CalibrationDataError(
                f"calibration data are token ids of shape (samples, tokens), not {ids_ST.dtype} "
                f"of shape {tuple(ids_ST.shape)}",
                fix="cut tokenized text into rows: hf_quant.calibrate.rows_of(ids, samples=..., length=...)",
            )
        name, self._decoder = decoders[0]
        self.prefix = f"{name}.layers" if name else "layers"
        self._inputs = [self._enter(ids) for ids in ids_ST.split(batch_size)]

    @property
    def blocks(self) -> nn.ModuleList:
        """The blocks, as they are now."""
        return self._decoder.layers

    def run(self, block: nn.Module, batch: int = 0) -> Tensor:
        """What the block makes of one batch."""
        h_BTD, rest = self._inputs[batch]
        with torch.no_grad():
            made: Tensor = block(h_BTD, *rest)
        return made

    def run_all(self, block: nn.Module) -> None:
        """Run every batch through the block, for those who watch it."""
        for batch in range(len(self._inputs)):
            self.run(block, batch)

    def advance(self, block: nn.Module) -> None:
        """Go on to what the next block reads, which is what this one, packed by now, gives."""
        for batch, (_, rest) in enumerate(self._inputs):
            self._inputs[batch] = self.run(block, batch), rest

    def _enter(self, ids: Tensor) -> tuple[Tensor, tuple[object, ...]]:
        """What the first block is called with."""
        caught: list[tuple[Tensor, tuple[object, ...]]] = []

        def catch(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            caught.append((inputs[0], inputs[1:]))
            raise _Arrived

        handle = self._decoder.layers[0].register_forward_pre_hook(catch)
        try:
            with torch.no_grad():
                self._decoder(ids.to(self._decoder.embed_tokens.weight.device), use_cache=False)
        except _Arrived:
            return caught[0]
        finally:
            handle.remove()
        raise AssertionError("a decoder runs its first block")


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model without dropout, and afterwards as it was."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
