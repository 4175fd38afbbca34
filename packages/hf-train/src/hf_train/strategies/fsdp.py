"""Fully sharded data parallel: each process holds a part of each weight, gradient and moment (torch FSDP2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Self, final

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from hf_hub_io.jsonio import JsonValue
from hf_modeling.layers.base import StepLayer
from hf_train.data.columns import inner_model
from hf_train.errors import ArgumentsError
from hf_train.strategies.launch import Launch, launch, start_processes

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments


@dataclass(frozen=True, kw_only=True, slots=True)
class FsdpOptions:
    """What is sharded, and when it is put together.

    layers: class names of the blocks that are put together one at a time; () for those the model itself names.
    reshard: give a block's weights up again after its forward pass.
    offload: keep shards in the memory of the CPU.
    dtype: in which weights are sent and products computed; None for that of the weights.
    """

    layers: tuple[str, ...] = ()
    reshard: bool = True
    offload: bool = False
    dtype: torch.dtype | None = None
    backend: str | None = None
    timeout: timedelta = timedelta(minutes=30)

    @classmethod
    def of(cls, config: Mapping[str, JsonValue], args: TrainingArguments) -> Self:
        """The options in an `fsdp_config`, with or without `fsdp_` before their names.

        Raises ArgumentsError for one that is unknown.
        """
        given = {name.removeprefix("fsdp_"): value for name, value in config.items()}
        layers = given.pop("transformer_layer_cls_to_wrap", None) or []
        names = layers.split(",") if isinstance(layers, str) else layers
        reshard, offload = given.pop("reshard_after_forward", True), given.pop("offload_params", False)
        # What FSDP2 does by itself, or what belongs to its predecessor.
        for known in ("version", "auto_wrap_policy", "use_orig_params", "sync_module_states", "state_dict_type",
                      "cpu_ram_efficient_loading", "forward_prefetch", "backward_prefetch", "min_num_params",
                      "activation_checkpointing", "limit_all_gathers"):  # fmt: skip
            given.pop(known, None)
        if given or not isinstance(names, list):
            raise ArgumentsError(
                f"fsdp_config has {next(iter(given), 'transformer_layer_cls_to_wrap')!r}, which is not known",
                fields=("fsdp_config",),
                fix="use transformer_layer_cls_to_wrap, reshard_after_forward and offload_params",
            )
        return cls(
            layers=tuple(str(name).strip() for name in names),
            reshard=_true(reshard),
            offload=_true(offload),
            dtype=torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None,
            backend=args.ddp_backend,
            timeout=args.ddp_timeout_delta,
        )

    @classmethod
    def of_zero(cls, config: Mapping[str, JsonValue], args: TrainingArguments) -> Self:
        """The options that shard as a DeepSpeed configuration's `zero_optimization` does.

        Stage 3 shards weights, gradients and optimizer; stages 1 and 2 keep weights together between forward and
        backward pass. Raises ArgumentsError for a stage that shards nothing.
        """
        zero = config.get("zero_optimization")
        settings = zero if isinstance(zero, dict) else {}
        stage = settings.get("stage", 0)
        if stage not in (1, 2, 3):
            raise ArgumentsError(
                f"the DeepSpeed configuration has ZeRO stage {stage}, which shards nothing",
                fields=("deepspeed",),
                fix="leave out deepspeed, or set zero_optimization.stage to 1, 2 or 3",
            )
        parts = [settings.get(name) for name in ("offload_param", "offload_optimizer")]
        offload = any(isinstance(part, dict) and part.get("device") in ("cpu", "nvme") for part in parts)
        names: dict[str, JsonValue] = {"reshard_after_forward": stage == 3, "offload_params": offload}
        return cls.of(names, args)


@final
class FullyShardedData:
    """Weights are put together block by block when they are needed, and gradients scattered as they are made."""

    def __init__(self, options: FsdpOptions | str = "", place: Launch | None = None) -> None:
        self.options = options if isinstance(options, FsdpOptions) else FsdpOptions(backend=options or None)
        self.launched = launch() if place is None else place
        if self.launched.world == 1 and not dist.is_initialized():
            raise ArgumentsError(
                "fsdp is set, and there is one process",
                fields=("fsdp",),
                fix="start with torchrun --nproc-per-node N, or leave out fsdp",
            )
        start_processes(self.options.backend, self.launched.device, self.options.timeout)
        self.device, self.rank, self.world = self.launched.device, dist.get_rank(), dist.get_world_size()
        self.leads = self.rank == 0

    def place(self, model: nn.Module) -> nn.Module:
        """The same model with sharded weights; all processes must have made the same ones."""
        policy = MixedPrecisionPolicy(param_dtype=self.options.dtype, reduce_dtype=torch.float32)
        offload = CPUOffloadPolicy() if self.options.offload else OffloadPolicy()
        mesh = init_device_mesh(self.device.type, (self.world,))
        model.to(self.device)

        def shard(module: nn.Module, reshard: bool) -> None:
            fully_shard(
                module, mesh=mesh, reshard_after_forward=reshard, mp_policy=policy, offload_policy=offload
            )

        for block in _blocks(model, self.options.layers):
            shard(block, self.options.reshard)
        shard(model, self.options.reshard)
        return model

    def unsynced(self, model: nn.Module) -> AbstractContextManager[None]:
        """A block whose gradients stay whole in each process until more are added."""
        return _unsynced(model)

    def total(self, value: Tensor) -> Tensor:
        """The sum over all processes."""
        value = value.to(self.device, copy=True)
        dist.all_reduce(value)
        return value

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all processes, joined in order of rank."""
        rows = rows.to(self.device).contiguous()
        parts = [torch.empty_like(rows) for _ in range(self.world)]
        dist.all_gather(parts, rows)
        return torch.cat(parts)

    def clip(self, parameters: Iterable[nn.Parameter], max_norm: float) -> Tensor:
        """Clip in place by the norm over all shards."""
        kept = [p for p in parameters if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in kept if p.grad is not None])
        whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
        if max_norm != float("inf"):
            nn.utils.clip_grads_with_norm_(kept, max_norm, norm)
        return whole

    def whole(self, model: nn.Module) -> AbstractContextManager[None]:
        """A block in which every process has whole weights."""
        return _whole(model)

    def optimizer_state(self, model: nn.Module, optimizer: Optimizer) -> Mapping[str, Any]:
        """The whole state by parameter name, in the leader; {} in other processes."""
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return get_optimizer_state_dict(model, optimizer, options=options)

    def load_optimizer_state(self, model: nn.Module, optimizer: Optimizer, state: Mapping[str, Any]) -> None:
        """Shard a whole state; every process has read it."""
        options = StateDictOptions(full_state_dict=True)
        set_optimizer_state_dict(model, optimizer, dict(state), options=options)

    def barrier(self) -> None:
        """Wait for the other processes."""
        dist.barrier()


def _blocks(model: nn.Module, names: tuple[str, ...]) -> list[nn.Module]:
    """The modules whose weights are put together as one. Raises ArgumentsError if none has such a name."""
    inner = inner_model(model)
    wanted = set(names) or set(getattr(inner, "_no_split_modules", None) or ())
    lists = [module for module in inner.modules() if isinstance(module, nn.ModuleList)]
    blocks = [
        layer
        for layers in lists
        for layer in layers
        if type(layer).__name__ in wanted or (not wanted and isinstance(layer, StepLayer))
    ]
    if names and not blocks:
        classes = sorted({type(layer).__name__ for layers in lists for layer in layers})
        raise ArgumentsError(
            f"no block of the model is a {', '.join(names)}",
            fields=("fsdp_config",),
            fix=f"transformer_layer_cls_to_wrap can be {', '.join(classes) or 'left out'}",
        )
    return blocks


def _true(value: JsonValue) -> bool:
    return value.lower() == "true" if isinstance(value, str) else bool(value)


@contextmanager
def _unsynced(model: nn.Module) -> Iterator[None]:
    assert isinstance(model, FSDPModule)
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


@contextmanager
def _whole(model: nn.Module) -> Iterator[None]:
    sharded = [module for module in model.modules() if isinstance(module, FSDPModule)]
    for module in sharded:
        module.unshard()
    try:
        yield
    finally:
        for module in sharded:
            module.reshard()
