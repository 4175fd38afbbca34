"""Tiny encoder-decoders written by the peer, and inputs for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from integration_tests.families.seq2seq_rows import Seq2SeqRow
from integration_tests.peer import peer

FIRST_ORDINARY_ID = 12  # ids below mark something in some row


@dataclass(frozen=True)
class Seq2SeqOracle:
    """A peer model with random weights, and the folder it was saved to."""

    model: Any  # the peer has no types for these
    folder: Path

    def reloaded(self, folder: Path) -> Any:
        """The peer's model as it reads it from `folder`."""
        return type(self.model).from_pretrained(folder, attn_implementation="eager").eval()


def build_seq2seq(row: Seq2SeqRow, seed: int, folder: Path, ending: str = "seq2seq-lm") -> Seq2SeqOracle:
    """The peer's model for `row`, every weight random (norms and biases too), saved in `folder`.

    ending: how the class's name ends, or "seq2seq-lm" for the one that generates.
    """
    transformers = peer()
    config = transformers.AutoConfig.for_model(row.model_type, **row.drawn(seed))
    if ending == "seq2seq-lm":
        model = transformers.AutoModelForSeq2SeqLM.from_config(config, attn_implementation="eager").eval()
    else:
        stem = type(config).__name__.removesuffix("Config")
        model = getattr(transformers, stem + ending)(config).eval()
        model.set_attn_implementation("eager")
    fill_seq2seq(model, seed=seed, constants=row.constants)
    model.save_pretrained(folder)
    return Seq2SeqOracle(model, folder)


def fill_seq2seq(model: nn.Module, *, seed: int = 0, constants: tuple[str, ...] = ()) -> None:
    """Give every weight a random value; those of norms are about one, so that no layer drowns what came before."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if tensor.is_floating_point() and not name.endswith(constants):
                is_scale = tensor.ndim == 1 and name.endswith("weight")
                tensor.normal_(1.0 if is_scale else 0.0, 0.3)


@dataclass(frozen=True)
class Texts:
    """A padded batch: ids and mask of the encoder, ids of the decoder."""

    ids: Tensor
    mask: Tensor
    decoder_ids: Tensor

    def inputs(self) -> Mapping[str, Tensor]:
        return {
            "input_ids": self.ids,
            "attention_mask": self.mask,
            "decoder_input_ids": self.decoder_ids,
        }


def random_texts(row: Seq2SeqRow, *, rows: int = 2, vocabulary: int = 80, seed: int = 5) -> Texts:
    """Texts of different lengths, padded on the right, as the peer wants them."""
    generator = torch.Generator().manual_seed(seed)
    config = row.drawn(0)
    pad = config["pad_token_id"]
    assert isinstance(pad, int)

    def drawn(length: int) -> Tensor:
        return torch.randint(FIRST_ORDINARY_ID, vocabulary - 2, (rows, length), generator=generator)

    ids, mask = drawn(row.longest), torch.ones(rows, row.longest, dtype=torch.long)
    for number in range(1, rows):
        cut = row.longest - 3 * number
        ids[number, cut:], mask[number, cut:] = pad, 0
    return Texts(ids, mask, drawn(9))


def padded_left(texts: Texts) -> tuple[Tensor, Tensor]:
    """The same texts with their padding on the other side."""
    order = texts.mask.argsort(dim=1, stable=True)
    return texts.ids.gather(1, order), texts.mask.gather(1, order)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference over the scale (largest magnitude) of what was expected."""
    difference = (actual.double() - expected.double()).abs().max()
    return float((difference / expected.double().abs().max()).detach())
