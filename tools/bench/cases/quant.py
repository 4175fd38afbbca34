"""Four-bit weights on a CPU: making them while loading, and one token after the other with them.

The peer runs bitsandbytes, whose NF4 both sides make; the last row compares integers in groups with the peer's
plain bfloat16, which they are made from.
"""

from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from tools.bench import Case, Workload, material

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn

ROWS = 16
"""Tokens that a step follows; a step itself takes one."""


def half_135m(folder: Path) -> None:
    """The 135M-shaped Llama in bfloat16."""
    material.write_llama(folder, 1, dtype="bfloat16")


def nf4_here(folder: Path) -> "nn.Module":
    """Packed while it is read."""
    from hf_config.quantization import BitsAndBytesConfig
    from hf_modeling import LlamaForCausalLM

    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype="bfloat16"
    )
    return LlamaForCausalLM.from_pretrained(folder, quantization_config=config)


def nf4_there(folder: Path) -> "nn.Module":
    """The same by the peer."""
    import torch
    from transformers import BitsAndBytesConfig, LlamaForCausalLM, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    model: nn.Module = LlamaForCausalLM.from_pretrained(
        folder, quantization_config=config, dtype=torch.bfloat16
    ).eval()
    return model


def groups_here(folder: Path) -> "nn.Module":
    """Integers of four bits in groups of 64, in torch's product."""
    from hf_config.quantization import MetalConfig
    from hf_modeling import LlamaForCausalLM

    return LlamaForCausalLM.from_pretrained(folder, quantization_config=MetalConfig(bits=4, group_size=64))


def plain_there(folder: Path) -> "nn.Module":
    """The peer's plain bfloat16."""
    import torch
    from transformers import LlamaForCausalLM, logging

    logging.disable_progress_bar()
    model: nn.Module = LlamaForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
    return model


def loading(load: "Callable[[Path], nn.Module]", folder: Path) -> Workload:
    """Times loading; checks that as many layers came out as went in."""

    def workload() -> dict[str, float]:
        start = perf_counter()
        model = load(folder)
        seconds = perf_counter() - start
        layers = sum(name.endswith("_proj") for name, _ in model.named_modules())
        return {"check": float(layers), "seconds": seconds}

    return workload


def stepping(load: "Callable[[Path], nn.Module]", folder: Path) -> Workload:
    """Times single tokens after a short prompt."""
    import torch

    model = load(folder)
    prompt = torch.randint(1, 49152, (1, ROWS), generator=torch.Generator().manual_seed(0))

    def step(ids: "Tensor", cache: object) -> "tuple[Tensor, object]":
        made = model(input_ids=ids, past_key_values=cache, use_cache=True)
        return made.logits[:, -1:].argmax(-1), made.past_key_values

    def workload() -> dict[str, float]:
        with torch.inference_mode():
            token, cache = step(prompt, None)
            start = perf_counter()
            for _ in range(ROWS):
                token, cache = step(token, cache)
            return {"check": float(ROWS), "seconds": perf_counter() - start, "tokens": float(ROWS)}

    return workload


CASES = (
    Case(
        name="quantize-nf4-135m",
        ours=lambda folder: loading(nf4_here, folder),
        peer=lambda folder: loading(nf4_there, folder),
        prepare=half_135m,
        goal=3,
        fresh=True,
    ),
    Case(
        name="decode-nf4-135m-1",
        ours=lambda folder: stepping(nf4_here, folder),
        peer=lambda folder: stepping(nf4_there, folder),
        prepare=half_135m,
        samples=5,
        goal=1,
    ),
    Case(
        name="decode-int4-135m-1",
        ours=lambda folder: stepping(groups_here, folder),
        peer=lambda folder: stepping(plain_there, folder),
        prepare=half_135m,
        samples=5,
        goal=1,
    ),
)
