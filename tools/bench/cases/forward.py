"""One pass through a model on given token ids: no tokenizer, and no cache but in the row of single steps."""

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from tools.bench import Case, Workload, material
from tools.bench.case import Setup
from tools.bench.cases.generate import tiny

if TYPE_CHECKING:
    from torch import Tensor


def passing(forward: "Callable[[Tensor], Tensor]", rows: int, length: int, vocabulary: int) -> Workload:
    """A workload that runs `forward` on `rows` sequences of `length` fixed random ids."""
    import torch

    ids = torch.randint(vocabulary, (rows, length), generator=torch.Generator().manual_seed(0))

    @torch.inference_mode()
    def workload() -> dict[str, float]:
        return {"check": float(forward(ids).abs().mean())}

    return workload


def llama(rows: int, length: int, vocabulary: int = 49152) -> tuple[Setup, Setup]:
    """Both sides of a causal language model, logits of every position."""

    def ours(folder: Path) -> Workload:
        from hf_modeling import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder)
        return passing(lambda ids: model(ids, use_cache=False).logits, rows, length, vocabulary)

    def peer(folder: Path) -> Workload:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder)
        return passing(lambda ids: model(ids, use_cache=False).logits, rows, length, vocabulary)

    return ours, peer


def minilm(rows: int, length: int) -> tuple[Setup, Setup]:
    """Both sides of the real MiniLM, the last hidden state."""

    def ours(folder: Path) -> Workload:
        from hf_modeling import AutoModel

        model = AutoModel.from_pretrained(material.minilm())
        return passing(lambda ids: model(ids).last_hidden_state, rows, length, 30522)

    def peer(folder: Path) -> Workload:
        from transformers import AutoModel

        model = AutoModel.from_pretrained(material.minilm())
        return passing(lambda ids: model(ids).last_hidden_state, rows, length, 30522)

    return ours, peer


STEPS = 100
"""Single tokens that one sample of `forward-tiny-step` runs."""


class Output(Protocol):
    """What a model of either side returns."""

    logits: "Tensor"
    past_key_values: object


def stepping(model: Callable[..., Output]) -> Workload:
    """A workload that runs a prompt of 16, then single tokens with its cache; seconds for each of these."""
    import torch

    ids = torch.randint(256, (1, 16), generator=torch.Generator().manual_seed(0))
    token = torch.tensor([[7]])

    @torch.inference_mode()
    def workload() -> dict[str, float]:
        output = model(ids, use_cache=True)
        start = perf_counter()
        for _ in range(STEPS):
            output = model(token, past_key_values=output.past_key_values, use_cache=True)
        seconds = (perf_counter() - start) / STEPS
        return {"check": float(output.logits.abs().mean()), "seconds": seconds}

    return workload


def tiny_steps() -> tuple[Setup, Setup]:
    """Both sides of the tiny Llama of the generation rows: Python around the products is what is timed."""

    def ours(folder: Path) -> Workload:
        from hf_modeling import AutoModelForCausalLM

        return stepping(AutoModelForCausalLM.from_pretrained(folder))

    def peer(folder: Path) -> Workload:
        from transformers import AutoModelForCausalLM

        return stepping(AutoModelForCausalLM.from_pretrained(folder))

    return ours, peer


MIXTRAL = material.LLAMA_135M | {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1024,
    "num_local_experts": 16,
    "num_experts_per_tok": 2,
    "tie_word_embeddings": False,
    "sliding_window": None,
}
"""A Mixtral of 16 experts of which each token takes 2."""


def mixtral(folder: Path) -> None:
    """Write the Mixtral with random weights, in the names of its hub checkpoints."""
    import torch
    from safetensors.torch import save_file

    numbers = {key: value for key, value in MIXTRAL.items() if isinstance(value, int)}
    width, inner, experts = (
        numbers[key] for key in ("hidden_size", "intermediate_size", "num_local_experts")
    )
    shapes = {name: s for name, s in material.llama_shapes(numbers).items() if ".mlp." not in name}
    shapes["lm_head.weight"] = shapes["model.embed_tokens.weight"]
    for layer in range(numbers["num_hidden_layers"]):
        sparse = f"model.layers.{layer}.block_sparse_moe"
        shapes[f"{sparse}.gate.weight"] = (experts, width)
        for expert in range(experts):
            for name, shape in (("w1", (inner, width)), ("w2", (width, inner)), ("w3", (inner, width))):
                shapes[f"{sparse}.experts.{expert}.{name}.weight"] = shape
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.ones(shape) if len(shape) == 1 else torch.randn(shape, generator=generator) * 0.05
        for name, shape in shapes.items()
    }
    (folder / "config.json").write_text(json.dumps(MIXTRAL))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def case(
    name: str,
    sides: tuple[Setup, Setup],
    prepare: Callable[[Path], None] | None = None,
    goal: float | None = None,
) -> Case:
    return Case(name=name, ours=sides[0], peer=sides[1], prepare=prepare, samples=9, goal=goal)


CASES = (
    case("forward-minilm-1x16", minilm(1, 16)),
    case("forward-minilm-32x64", minilm(32, 64)),
    case("forward-135m-1x16", llama(1, 16), material.llama_135m),
    case("forward-135m-4x128", llama(4, 128), material.llama_135m),
    case("forward-135m-1x512", llama(1, 512), material.llama_135m, goal=1),
    case("forward-tiny-step", tiny_steps(), tiny, goal=1.67),
    case("forward-moe-1x1", llama(1, 1, vocabulary=1024), mixtral, goal=1.2),
    case("forward-moe-1x128", llama(1, 128, vocabulary=1024), mixtral, goal=1.2),
    case("forward-moe-8x64", llama(8, 64, vocabulary=1024), mixtral, goal=1.2),
)
