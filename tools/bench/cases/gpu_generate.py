"""Generation on a GPU with a 1B-shaped Llama in bfloat16: one sequence compiled, sixty-four served together.

Weights are random and made on the device, each side's own, so texts are not compared.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tools.bench import Case, Workload

if TYPE_CHECKING:
    import torch

SHAPE = {
    "vocab_size": 128256,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "bos_token_id": 1,
    "eos_token_id": None,
    "pad_token_id": 0,
}
"""The sizes of Llama-3.2-1B."""
PROMPT, NEW, REQUESTS = 128, 128, 64
LENGTHS = tuple((16 + 8 * (i % 16), 32 + 4 * ((7 * i) % 25)) for i in range(REQUESTS))
"""Prompt length and new tokens of each request of the served batch."""


def prompt(rows: int, length: int, seed: int = 0) -> "torch.Tensor":
    """Fixed random ids on the device."""
    import torch

    ids = torch.randint(1, 128000, (rows, length), generator=torch.Generator().manual_seed(seed))
    return ids.to("cuda")


def bandwidth() -> float:
    """Bytes a second that copying a gigabyte inside the device's memory reaches, reads and writes counted."""
    import torch

    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    target.copy_(source)
    start.record()
    for _ in range(10):
        target.copy_(source)
    stop.record()
    torch.cuda.synchronize()
    return 10 * 2 * source.numel() / (float(start.elapsed_time(stop)) / 1e3)


def our_model() -> "torch.nn.Module":
    import torch

    from hf_config import AutoConfig
    from hf_modeling.models import LlamaForCausalLM

    torch.manual_seed(0)
    with torch.device("cuda"):
        model: torch.nn.Module = LlamaForCausalLM(AutoConfig.for_model("llama", **SHAPE))
    return model.to(torch.bfloat16).eval()


def peer_model() -> "torch.nn.Module":
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, logging

    logging.set_verbosity_error()
    torch.manual_seed(0)
    with torch.device("cuda"):
        model: torch.nn.Module = LlamaForCausalLM(LlamaConfig(**SHAPE))
    return model.to(torch.bfloat16).eval()


def weight_bytes(model: "torch.nn.Module") -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


def decoding(model: "torch.nn.Module", compiled: bool, speed: float) -> Workload:
    """`NEW` tokens after one prompt, timed on the device."""
    import time

    import torch

    ids = prompt(1, PROMPT)
    options = {"max_new_tokens": NEW, "do_sample": False} | ({"compile": True} if compiled else {})

    def workload() -> dict[str, float]:
        torch.cuda.synchronize()
        start = time.perf_counter()
        model.generate(ids, **options)  # type: ignore[operator]  # either library's
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "of bandwidth": weight_bytes(model) * NEW / seconds / speed}

    workload()
    return workload


def one_ours(folder: Path, compiled: bool) -> Workload:
    return decoding(our_model(), compiled, bandwidth())


def one_peer(folder: Path) -> Workload:
    return decoding(peer_model(), False, bandwidth())


def many_ours(folder: Path) -> Workload:
    """Continuous batching."""
    from hf_modeling.generation.serving import Limits, Request, generate_many

    model = our_model()
    requests = [
        Request(prompt=prompt(1, length, seed)[0].tolist(), options={"max_new_tokens": new})
        for seed, (length, new) in enumerate(LENGTHS)
    ]
    limits = Limits(max_tokens=4096, max_requests=REQUESTS)

    def workload() -> dict[str, float]:
        answers = generate_many(model, requests, limits=limits)  # type: ignore[arg-type]  # a CausalLM
        return {"tokens": float(sum(len(answer.tokens) for answer in answers))}

    workload()
    return workload


def many_peer(folder: Path) -> Workload:
    """One batch, padded on the left, as long as the longest."""
    import torch

    model = peer_model()
    longest, new = max(length for length, _ in LENGTHS), max(n for _, n in LENGTHS)
    ids = torch.zeros(REQUESTS, longest, dtype=torch.long, device="cuda")
    mask = torch.zeros_like(ids)
    for row, (length, _) in enumerate(LENGTHS):
        ids[row, longest - length :] = prompt(1, length, row)[0]
        mask[row, longest - length :] = 1

    def workload() -> dict[str, float]:
        model.generate(ids, attention_mask=mask, max_new_tokens=new, do_sample=False)  # type: ignore[operator]
        torch.cuda.synchronize()
        return {"tokens": float(sum(n for _, n in LENGTHS))}

    workload()
    return workload


def many_peer_continuous(folder: Path) -> Workload:
    """The peer's own continuous batching."""
    from transformers import GenerationConfig

    model = peer_model()
    requests = [prompt(1, length, seed)[0].tolist() for seed, (length, _) in enumerate(LENGTHS)]
    config = GenerationConfig(max_new_tokens=max(n for _, n in LENGTHS), do_sample=False, eos_token_id=-1)

    def workload() -> dict[str, float]:
        model.generate_batch(requests, generation_config=config)  # type: ignore[operator]
        return {"tokens": float(sum(n for _, n in LENGTHS))}

    workload()
    return workload


CASES = (
    Case(
        name="gpu-decode-1b-eager", ours=partial(one_ours, compiled=False), peer=one_peer, samples=5, gpu=True
    ),
    Case(
        name="gpu-decode-1b",
        ours=partial(one_ours, compiled=True),
        peer=one_peer,
        goal=4.0,
        samples=5,
        gpu=True,
    ),
    Case(name="gpu-serve-1b-64", ours=many_ours, peer=many_peer, goal=3.0, samples=3, gpu=True),
    Case(name="gpu-serve-1b-64-continuous", ours=many_ours, peer=many_peer_continuous, samples=3, gpu=True),
)
