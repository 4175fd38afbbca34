"""Greedy decoding with the 135M-shaped Llama: 16 tokens in, 32 new tokens out."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench import Case, Workload, material
from tools.bench.case import Setup

if TYPE_CHECKING:
    from torch import Tensor

PROMPT, NEW = 16, 32


def decoding(generate: "Callable[[Tensor], Tensor]", rows: int) -> Workload:
    """A workload that continues `rows` fixed random prompts by `NEW` tokens."""
    import torch

    ids = torch.randint(1, 49152, (rows, PROMPT), generator=torch.Generator().manual_seed(0))

    def workload() -> dict[str, float]:
        tokens = generate(ids)[:, PROMPT:]
        positions = torch.arange(1, tokens.shape[1] + 1)
        return {"check": float((tokens * positions).sum()), "tokens": float(tokens.numel())}

    return workload


def sides(rows: int) -> tuple[Setup, Setup]:
    """Both sides, for a batch of `rows`."""

    def ours(folder: Path) -> Workload:
        from hf_modeling import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder)
        return decoding(
            lambda ids: model.generate(ids, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False), rows
        )

    def peer(folder: Path) -> Workload:
        from transformers import AutoModelForCausalLM, logging

        logging.set_verbosity_error()
        model = AutoModelForCausalLM.from_pretrained(folder)
        return decoding(
            lambda ids: model.generate(ids, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False), rows
        )

    return ours, peer


def case(name: str, rows: int) -> Case:
    ours, peer = sides(rows)
    return Case(
        name=name, ours=ours, peer=peer, prepare=material.llama_135m, samples=5, goal=1.3, tolerance=0
    )


CASES = (case("decode-135m-1", 1), case("decode-135m-8", 8))
