"""Answers of a T5-small-shaped encoder-decoder: greedy, by beams, one text and a batch of mixed lengths."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench import Case, Workload

if TYPE_CHECKING:
    from torch import Tensor

T5_SMALL = {
    "architectures": ["T5ForConditionalGeneration"],
    "model_type": "t5",
    "d_model": 512,
    "d_kv": 64,
    "d_ff": 2048,
    "num_layers": 6,
    "num_decoder_layers": 6,
    "num_heads": 8,
    "vocab_size": 32128,
    "feed_forward_proj": "relu",
    "relative_attention_num_buckets": 32,
    "decoder_start_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "is_encoder_decoder": True,
    "torch_dtype": "float32",
}
WIDTH, INNER, HEADS, LAYERS, WORDS = 512, 2048, 8, 6, 32128
NEW = 48


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Tensor names and shapes of a T5 checkpoint with tied embeddings."""
    yield "shared.weight", (WORDS, WIDTH)
    for stack, mixers in (("encoder", ("SelfAttention",)), ("decoder", ("SelfAttention", "EncDecAttention"))):
        for layer in range(LAYERS):
            start = f"{stack}.block.{layer}.layer."
            for part, mixer in enumerate(mixers):
                for name in "qkvo":
                    yield f"{start}{part}.{mixer}.{name}.weight", (WIDTH, WIDTH)
                yield f"{start}{part}.layer_norm.weight", (WIDTH,)
            yield f"{start}{len(mixers)}.DenseReluDense.wi.weight", (INNER, WIDTH)
            yield f"{start}{len(mixers)}.DenseReluDense.wo.weight", (WIDTH, INNER)
            yield f"{start}{len(mixers)}.layer_norm.weight", (WIDTH,)
        yield f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight", (32, HEADS)
        yield f"{stack}.final_layer_norm.weight", (WIDTH,)


def write(folder: Path) -> None:
    """Weights small enough for scores that are not scaled, so that answers are not all one token."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * 0.05
        for name, shape in shapes()
    }
    tensors["shared.weight"] *= 20  # embeddings of T5 have a deviation of one
    (folder / "config.json").write_text(json.dumps(T5_SMALL))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def texts(rows: int, length: int, *, mixed: bool) -> tuple["Tensor", "Tensor"]:
    """Fixed random ids and their mask; mixed lengths go from a quarter of `length` up."""
    import torch

    ids = torch.randint(2, WORDS, (rows, length), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    for row in range(1, rows if mixed else 0):
        kept = length // 4 + (row * 5) % (3 * length // 4)
        ids[row, kept:], mask[row, kept:] = 0, 0
    return ids, mask


def checked(tokens: "Tensor") -> dict[str, float]:
    """A number that tells one text from another, and how many tokens there are."""
    import torch

    positions = torch.arange(1, tokens.shape[1] + 1)
    return {"check": float((tokens * positions).sum()), "tokens": float(tokens.numel())}


def ours(folder: Path, rows: int, length: int, beams: int, mixed: bool) -> Workload:
    from hf_modeling import AutoModelForSeq2SeqLM

    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    ids, mask = texts(rows, length, mixed=mixed)
    return lambda: checked(
        model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=NEW,
            min_new_tokens=NEW,
            num_beams=beams,
            do_sample=False,
        )
    )


def peer(folder: Path, rows: int, length: int, beams: int, mixed: bool) -> Workload:
    from transformers import AutoModelForSeq2SeqLM, logging

    logging.set_verbosity_error()
    model = AutoModelForSeq2SeqLM.from_pretrained(folder)
    ids, mask = texts(rows, length, mixed=mixed)
    options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "num_beams": beams, "do_sample": False}
    return lambda: checked(model.generate(ids, attention_mask=mask, **options))


def case(name: str, *, rows: int, length: int, beams: int = 1, mixed: bool = False) -> Case:
    return Case(
        name=name,
        ours=partial(ours, rows=rows, length=length, beams=beams, mixed=mixed),
        peer=partial(peer, rows=rows, length=length, beams=beams, mixed=mixed),
        prepare=write,
        goal=1.5,
        samples=5,
    )


CASES = (
    case("seq2seq-t5-small-greedy", rows=1, length=64),
    case("seq2seq-t5-small-beams4", rows=1, length=64, beams=4),
    case("seq2seq-t5-small-beams4-long", rows=1, length=512, beams=4),
    case("seq2seq-t5-small-batch8-mixed", rows=8, length=96, mixed=True),
)
