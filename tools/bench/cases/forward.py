"""One pass through a model on given token ids: no tokenizer, no cache."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench import Case, Workload, material
from tools.bench.case import Setup

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


def llama(rows: int, length: int) -> tuple[Setup, Setup]:
    """Both sides of the 135M-shaped Llama, logits of every position."""

    def ours(folder: Path) -> Workload:
        from hf_modeling import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder)
        return passing(lambda ids: model(ids, use_cache=False).logits, rows, length, 49152)

    def peer(folder: Path) -> Workload:
        from transformers import AutoModelForCausalLM

        model = AutoModelForCausalLM.from_pretrained(folder)
        return passing(lambda ids: model(ids, use_cache=False).logits, rows, length, 49152)

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


def case(name: str, sides: tuple[Setup, Setup], prepare: Callable[[Path], None] | None = None) -> Case:
    return Case(name=name, ours=sides[0], peer=sides[1], prepare=prepare, samples=9)


CASES = (
    case("forward-minilm-1x16", minilm(1, 16)),
    case("forward-minilm-32x64", minilm(32, 64)),
    case("forward-135m-1x16", llama(1, 16), material.llama_135m),
    case("forward-135m-4x128", llama(4, 128), material.llama_135m),
)
