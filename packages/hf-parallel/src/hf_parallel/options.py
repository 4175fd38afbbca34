"""What can be chosen beside the layout: how activations, gradients and weights are treated on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ContextKind = Literal["gather", "ring", "ulysses"]
Schedule = Literal["gpipe", "1f1b", "interleaved", "looped_bfs", "interleaved_zb", "zbv", "dualpipe_v"]
Recompute = Literal["none", "selective", "full"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ParallelOptions:
    """How a model is run on a layout. The defaults change no number beyond rounding.

    Attributes:
        sequence_parallel: between split parts, each rank of `tp` keeps its share of the sequence.
        loss_parallel: each rank of `tp` keeps the logits of its rows of the vocabulary, for the loss alone.
        context: how ranks of `cp` see each other's keys: all gathered, passed around a ring, or by exchanging
            heads for positions (Ulysses).
        balance: ranks of `cp` get chunks from both ends of the sequence, so that causal work is even.
        schedule: the order of micro-batches in a pipeline.
        microbatches: into how many parts a pipeline cuts a batch; 0: as many as there are stages.
        stages_per_rank: stages that each rank of a pipeline holds, for the schedules that loop.
        param_dtype: element type of weights and activations while computing; None: that of the weights.
        reduce_dtype: element type in which gradients are added up; None: that of the weights.
        reshard: give gathered weights up after each forward pass; "auto" does so except in pipelines.
        offload: keep shards of weights, gradients and optimizer states in main memory.
        recompute: activations computed again in the backward pass: none, matrix products kept, or all.
        compile: compile each block, with `compiler`, a backend of torch.compile.
        balance_experts: add each micro-batch's load-balancing loss, with the coefficient of the model's config.
        replicate: patterns of parts of the model that every rank of `tp` computes whole.
    """

    sequence_parallel: bool = False
    loss_parallel: bool = False
    context: ContextKind = "ring"
    balance: bool = True
    schedule: Schedule = "1f1b"
    microbatches: int = 0
    stages_per_rank: int = 1
    param_dtype: Precision | None = None
    reduce_dtype: Precision | None = None
    reshard: bool | Literal["auto"] = "auto"
    offload: bool = False
    recompute: Recompute = "none"
    compile: bool = False
    compiler: str = "inductor"
    balance_experts: bool = False
    replicate: tuple[str, ...] = ()
