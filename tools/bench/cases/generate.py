"""Generation: tiny and 135M-shaped Llamas, batches of equal and of mixed lengths, beams, shared prefixes."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tools.bench import Case, Workload, material

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from transformers import PreTrainedModel

Dtype = Literal["float32", "bfloat16"]

TINY = material.LLAMA_135M | {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 256,
    "tie_word_embeddings": False,
}
NEW = 64
MIXED = tuple((8 + 7 * (i % 8), 8 + 8 * ((5 * i) % 8)) for i in range(24))
"""Prompt length and wanted new tokens of each request of the mixed load; eight run at a time."""
AT_A_TIME = 8
PREFIX = 1024


def tiny(folder: Path) -> None:
    """Two layers of width 64: what is left is the cost of Python around them."""
    import torch
    from safetensors.torch import save_file

    config = {key: value for key, value in TINY.items() if isinstance(value, int)}
    generator = torch.Generator().manual_seed(0)
    shapes = material.llama_shapes(config) | {"lm_head.weight": (config["vocab_size"], config["hidden_size"])}
    tensors = {
        name: torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * 0.3
        for name, shape in shapes.items()
    }
    (folder / "config.json").write_text(json.dumps(TINY))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def half(folder: Path) -> None:
    """The 135M-shaped Llama in bfloat16 on disk, so that both sides map it."""
    material.write_llama(folder, 1, dtype="bfloat16")


def prompt(rows: int, length: int, vocabulary: int, seed: int = 0) -> "Tensor":
    """Fixed random ids."""
    import torch

    return torch.randint(1, vocabulary, (rows, length), generator=torch.Generator().manual_seed(seed))


def checked(tokens: "Tensor") -> dict[str, float]:
    """A number that tells one text from another, and how many tokens there are."""
    import torch

    positions = torch.arange(1, tokens.shape[1] + 1)
    return {"check": float((tokens * positions).sum()), "tokens": float(tokens.numel())}


def ours(folder: Path, rows: int, length: int, vocabulary: int, beams: int) -> Workload:
    from hf_modeling import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder)
    ids = prompt(rows, length, vocabulary)

    def generate() -> "torch.Tensor":
        return model.generate(ids, max_new_tokens=NEW, min_new_tokens=NEW, num_beams=beams, do_sample=False)

    return lambda: checked(generate()[:, length:])


def peer(folder: Path, rows: int, length: int, vocabulary: int, beams: int) -> Workload:
    import torch

    model = peer_model(folder)
    ids = prompt(rows, length, vocabulary)
    options = {"max_new_tokens": NEW, "min_new_tokens": NEW, "num_beams": beams, "do_sample": False}
    mask = torch.ones_like(ids)
    return lambda: checked(model.generate(ids, attention_mask=mask, pad_token_id=0, **options)[:, length:])


def peer_model(folder: Path) -> "PreTrainedModel":
    from transformers import AutoModelForCausalLM, logging

    logging.set_verbosity_error()
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder)
    return model


def case(
    name: str,
    *,
    prepare: Callable[[Path], None],
    goal: float,
    rows: int = 1,
    length: int = 16,
    vocabulary: int = 49152,
    beams: int = 1,
    tolerance: float = 0.0,
) -> Case:
    return Case(
        name=name,
        ours=partial(ours, rows=rows, length=length, vocabulary=vocabulary, beams=beams),
        peer=partial(peer, rows=rows, length=length, vocabulary=vocabulary, beams=beams),
        prepare=prepare,
        goal=goal,
        samples=5,
        tolerance=tolerance,
    )


def mixed_prompts() -> list[list[int]]:
    return [prompt(1, length, 49152, seed)[0].tolist() for seed, (length, _) in enumerate(MIXED)]


def summed(texts: Sequence[Sequence[int]]) -> dict[str, float]:
    return {
        "check": float(sum(token * (i + 1) for text in texts for i, token in enumerate(text))),
        "tokens": float(sum(map(len, texts))),
    }


def mixed_ours(folder: Path) -> Workload:
    """Continuous batching: who is done leaves, and nobody is padded."""
    from hf_modeling import AutoModelForCausalLM
    from hf_modeling.generation.serving import Limits, Request, generate_many

    model = AutoModelForCausalLM.from_pretrained(folder)
    requests = [
        Request(prompt=ids, options={"max_new_tokens": new, "eos_token_id": None})
        for ids, (_, new) in zip(mixed_prompts(), MIXED, strict=True)
    ]
    limits = Limits(max_requests=AT_A_TIME)
    return lambda: summed([answer.tokens for answer in generate_many(model, requests, limits=limits)])


def mixed_peer(folder: Path) -> Workload:
    """The peer's `generate`: batches in the order of arrival, padded on the left, as long as their longest."""
    import torch

    model, prompts = peer_model(folder), mixed_prompts()

    def batch(first: int) -> list[list[int]]:
        texts, wanted = (
            prompts[first : first + AT_A_TIME],
            [new for _, new in MIXED[first : first + AT_A_TIME]],
        )
        longest, new = max(map(len, texts)), max(wanted)
        ids = torch.tensor([[0] * (longest - len(text)) + text for text in texts])
        mask = torch.tensor([[0] * (longest - len(text)) + [1] * len(text) for text in texts])
        options = {"max_new_tokens": new, "min_new_tokens": new, "pad_token_id": 0, "do_sample": False}
        answers = model.generate(ids, attention_mask=mask, **options)[:, longest:].tolist()
        return [answer[:count] for answer, count in zip(answers, wanted, strict=True)]

    return lambda: summed([text for first in range(0, len(MIXED), AT_A_TIME) for text in batch(first)])


def prefix_ours(folder: Path) -> Workload:
    """First token after a long prompt that shares its beginning with an earlier one."""
    from hf_modeling import AutoModelForCausalLM
    from hf_modeling.generation.serving import Engine, Request

    engine = Engine(AutoModelForCausalLM.from_pretrained(folder))
    beginning = prompt(1, PREFIX, 49152)[0].tolist()

    def first_token() -> int:
        engine.add(Request(prompt=[*beginning, 7, 8, 9], options={"max_new_tokens": 1}))
        return next(event.token or 0 for event in engine.run())

    first_token()
    return lambda: {"check": float(first_token())}


def prefix_peer(folder: Path) -> Workload:
    """The peer computes the prompt again each time."""
    import torch

    model = peer_model(folder)
    ids = torch.cat([prompt(1, PREFIX, 49152), torch.tensor([[7, 8, 9]])], dim=1)
    options = {"max_new_tokens": 1, "pad_token_id": 0, "do_sample": False}
    mask = torch.ones_like(ids)
    return lambda: {"check": float(model.generate(ids, attention_mask=mask, **options)[0, -1])}


CASES = (
    case("generate-tiny-1", prepare=tiny, vocabulary=256, goal=4.0),
    case("generate-tiny-8", prepare=tiny, vocabulary=256, rows=8, goal=3.0),
    # Random weights in bfloat16 have near ties, which rounding decides: the texts are not compared.
    case("generate-135m-bf16-1", prepare=half, goal=1.8, tolerance=1e9),
    case("generate-135m-bf16-8", prepare=half, rows=8, goal=2.2, tolerance=1e9),
    case("generate-135m-beams-4", prepare=material.llama_135m, beams=4, goal=1.5),
    Case(
        name="generate-135m-mixed-8",
        ours=mixed_ours,
        peer=mixed_peer,
        prepare=material.llama_135m,
        goal=3.0,
        samples=3,
        tolerance=0,
    ),
    Case(
        name="generate-135m-prefix-1k",
        ours=prefix_ours,
        peer=prefix_peer,
        prepare=material.llama_135m,
        goal=5.0,
        samples=3,
        tolerance=0,
    ),
)
