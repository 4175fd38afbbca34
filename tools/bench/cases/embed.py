"""Sentence embeddings with the real all-MiniLM-L6-v2: mean over tokens, normalised, as its authors use it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench import Case, Workload, material

if TYPE_CHECKING:
    from torch import Tensor

ONE = "The quick brown fox jumps over the lazy dog near the river bank."
Embed = Callable[[Sequence[str]], "Tensor"]


def embedding(embed: Embed, texts: Sequence[str]) -> Workload:
    """A workload that embeds `texts` into one tensor of shape (texts, 384)."""

    def workload() -> dict[str, float]:
        vectors = embed(texts)
        weights = vectors.new_tensor(range(1, vectors.shape[1] + 1)).sqrt()
        return {"check": float((vectors * weights).sum(-1).abs().mean())}

    return workload


def our_pipeline() -> Embed:
    """`pipeline` with the pooling the checkpoint's own `modules.json` asks for."""
    import torch

    from hf_pipelines import pipeline

    pipe = pipeline("feature-extraction", str(material.minilm()), pooling="auto")
    return lambda texts: torch.as_tensor(pipe(list(texts)))


def peer_pipeline() -> Embed:
    """The peer's pipeline one text at a time (its fastest setting on mixed lengths), then pooled."""
    import torch
    from transformers import pipeline

    pipe = pipeline("feature-extraction", model=str(material.minilm()), device="cpu")

    def embed(texts: Sequence[str]) -> "Tensor":
        found = pipe(list(texts), return_tensors=True, truncation=True)
        return torch.stack([torch.nn.functional.normalize(tokens[0].mean(0), dim=0) for tokens in found])

    return embed


def peer_by_hand() -> Embed:
    """The peer's tokenizer and model in batches of 32 sorted by length: the best one can write around it."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(material.minilm())
    model = AutoModel.from_pretrained(material.minilm()).eval()

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> "Tensor":
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        rows: dict[int, Tensor] = {}
        for start in range(0, len(order), 32):
            chosen = order[start : start + 32]
            batch = tokenizer([texts[i] for i in chosen], padding=True, truncation=True, return_tensors="pt")
            mask = batch["attention_mask"][..., None]
            hidden = model(**batch).last_hidden_state
            pooled = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)
            rows |= dict(zip(chosen, pooled, strict=True))
        return torch.stack([rows[index] for index in range(len(texts))])

    return embed


def case(name: str, count: int, peer: Callable[[], Embed], *, samples: int, goal: float | None) -> Case:
    """Embed one sentence, or `count` of mixed length, on our pipeline and on `peer`."""

    def texts() -> list[str]:
        return [ONE] if count == 1 else material.sentences(count)

    def our_side(folder: Path) -> Workload:
        return embedding(our_pipeline(), texts())

    def peer_side(folder: Path) -> Workload:
        return embedding(peer(), texts())

    return Case(name=name, ours=our_side, peer=peer_side, samples=samples, goal=goal)


CASES = (
    case("embed-1", 1, peer_pipeline, samples=31, goal=2),
    case("embed-1000", 1000, peer_pipeline, samples=3, goal=1.5),
    case("embed-1000-by-hand", 1000, peer_by_hand, samples=3, goal=None),
)
