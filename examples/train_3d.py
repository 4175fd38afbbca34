"""Train a small Llama in three dimensions: matrices over tp, rows over dp_shard, sequences over cp.

    torchrun --nproc-per-node 8 examples/train_3d.py out --layout tp=2,dp_shard=2,cp=2 --steps 6
    torchrun --nproc-per-node 4 examples/train_3d.py out --layout dp_shard=4 --steps 12
    hft dcp-to-hf out exported

The second run goes on from the checkpoint of the first, on half the processes and another layout: its losses are
those that the first would have gone on to. The third line makes a folder that `from_pretrained` reads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from hf_config import LlamaConfig
from hf_modeling import LlamaForCausalLM
from hf_parallel import (
    BackgroundSaver,
    Batch,
    ParallelDims,
    ParallelOptions,
    ParallelSpec,
    ShardedSampler,
    load_checkpoint,
    parallelize,
    process_group,
    summarize,
    train_step,
)

ROWS = 8  # of a step, on any layout
TOKENS = 32
CONFIG = LlamaConfig(
    vocab_size=97,
    hidden_size=64,
    intermediate_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)


def sums(count: int = 64) -> Tensor:
    """Rows to learn from: each token is the sum of the two before it, modulo a prime."""
    rows = torch.randint(CONFIG.vocab_size, (count, TOKENS), generator=torch.Generator().manual_seed(0))
    for position in range(2, TOKENS):
        rows[:, position] = (rows[:, position - 1] + rows[:, position - 2]) % CONFIG.vocab_size
    return rows


def train(layout: ParallelSpec, out: Path, *, steps: int, save_every: int = 3) -> dict[int, float]:
    """Train to step `steps`, from the checkpoint in `out` if there is one; the losses by step."""
    dims = ParallelDims(layout, "cuda" if torch.cuda.is_available() else "cpu")
    options = ParallelOptions(sequence_parallel=layout.tp > 1, loss_parallel=layout.tp > 1)
    parallel = parallelize(LlamaForCausalLM, CONFIG, dims, options=options)
    parallel.train()
    optimizer = torch.optim.AdamW(parallel.parameters(), lr=3e-3, foreach=False)
    data, each = sums(), ROWS // dims.batch_ways
    sampler = ShardedSampler(len(data), rank=dims.batch_rank, ways=dims.batch_ways, rows=each)
    step = 0
    if out.exists():
        match load_checkpoint(parallel, out, optimizer):
            case {"step": int(step), "sampler": {"length": int(length), "seed": int(seed), **place}}:
                drawn = {name: int(str(place[name])) for name in ("epoch", "drawn")}
                sampler.load_state_dict({"length": length, "seed": seed, **drawn})
    leads = torch.distributed.get_rank() == 0
    if leads:
        print(summarize(parallel, rows_per_rank=each, tokens_per_row=TOKENS))
    losses: dict[int, float] = {}
    with BackgroundSaver(parallel, optimizer) as saver:
        while step < steps:
            for drawn_rows in sampler:
                rows = data[list(drawn_rows.indices)].to(dims.device)
                result = train_step(parallel, [drawn_rows.of(Batch.causal(rows))], max_norm=1.0)
                optimizer.step()
                optimizer.zero_grad()
                step += 1
                losses[step] = float(result.loss)
                if leads:
                    print(f"step {step}: loss {losses[step]:.4f}")
                if step % save_every == 0:
                    saver.save(out, state={"step": step, "sampler": {**sampler.state_dict()}})
                if step == steps:
                    break
    return losses


def main() -> None:
    """Join the processes that torchrun started, and train."""
    parser = argparse.ArgumentParser(description="Train a small Llama on several axes at once.")
    parser.add_argument("out", type=Path, help="where the checkpoint is, or will be")
    parser.add_argument(
        "--layout", type=ParallelSpec.parse, default=ParallelSpec(), help="tp=2,dp_shard=2,cp=2"
    )
    parser.add_argument("--steps", type=int, default=6, help="train up to this one")
    wanted = parser.parse_args()
    with process_group():
        train(wanted.layout, wanted.out, steps=wanted.steps)


if __name__ == "__main__":
    main()
