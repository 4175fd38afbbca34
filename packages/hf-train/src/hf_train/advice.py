"""What a run will need, before it begins, and the few settings that would pay here.

The estimate is arithmetic on the model's configuration; the numbers per layer were measured on the blocks of
hf-modeling (bytes kept for the backward pass) and hold for decoders and encoders with gated MLPs to a tenth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import torch
from torch import nn

if TYPE_CHECKING:
    from hf_train.arguments import TrainingArguments

GIB: Final = 2**30
STATE_BYTES: Final = {
    "adafactor": 0.1,
    "sgd": 0.0,
    "lion": 4.0,
    "rmsprop": 4.0,
    "adagrad": 4.0,
    "muon": 4.0,
    "ademamix": 12.0,
    "galore": 1.0,
    "apollo": 1.0,
}
"""Bytes of optimizer state for a float32 parameter, by the beginning of the optimizer's name; otherwise Adam's 8."""
_ROOM: Final = 0.9
"""Share of a device's memory that a run may fill: the rest goes to kernels and to gaps between tensors."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """What the estimate needs of a model: layers, widths (hidden, of the MLP, of all keys), vocabulary."""

    layers: int
    hidden: int
    mlp: int
    keys: int
    vocabulary: int
    parameters: int
    trainable: int
    weight_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """Bytes of each part of a training step on one device."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All parts, which are there together at the end of the forward pass."""
        return self.weights + self.gradients + self.optimizer + self.activations + self.logits

    def __str__(self) -> str:
        parts = ("weights", "gradients", "optimizer", "activations", "logits")
        shown = ", ".join(f"{name} {_size(getattr(self, name))}" for name in parts)
        return f"about {_size(self.total)} a device: {shown}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Advice:
    """A setting worth changing, what it saves, and why it pays here."""

    setting: str
    saves: int
    reason: str

    def __str__(self) -> str:
        saved = f", saves about {_size(self.saves)}" if self.saves > 0 else ""
        return f"{self.setting}{saved}: {self.reason}"


def shape_of(model: nn.Module) -> Shape:
    """The shape of a model that has a configuration; widths it does not name count as 0."""
    config = getattr(model, "config", None)

    def number(*names: str) -> int:
        return next((value for name in names if isinstance(value := getattr(config, name, None), int)), 0)

    hidden, heads = number("hidden_size", "n_embd", "d_model"), number("num_attention_heads", "n_head")
    kv_heads = number("num_key_value_heads") or heads
    trained = [param for param in model.parameters() if param.requires_grad]
    return Shape(
        layers=number("num_hidden_layers", "n_layer", "num_layers"),
        hidden=hidden,
        mlp=number("intermediate_size", "n_inner", "d_ff") or 4 * hidden,
        keys=hidden * kv_heads // heads if heads else hidden,
        vocabulary=number("vocab_size"),
        parameters=sum(param.numel() for param in model.parameters()),
        trainable=sum(param.numel() for param in trained),
        weight_bytes=sum(param.numel() * param.element_size() for param in model.parameters()),
    )


def estimate(shape: Shape, args: TrainingArguments, length: int) -> Estimate:
    """The memory of a step with rows of `length` tokens.

    Per token and layer, with h hidden, f MLP and k key widths: 32h + 16f + 8k bytes in float32, 30h + 8f + 4k in
    mixed precision; with recomputed activations the input of each layer, and one layer in full.
    """
    tokens = args.per_device_train_batch_size * length
    mixed = args.bf16 or args.fp16
    full = _layer_bytes(shape, mixed=mixed)
    every = int(_options(args).get("every_n_layers", 1)) if args.activation_checkpointing else 0
    if every:
        recomputed = shape.layers // every
        per_token = recomputed * (2 if mixed else 4) * shape.hidden + (shape.layers - recomputed + 1) * full
    else:
        per_token = shape.layers * full
    # Logits in the compute type, in float32 for the loss, and their gradient.
    chunk = min(tokens, 1024) if args.use_liger_kernel else tokens
    logits = chunk * shape.vocabulary * (10 if mixed else 12)
    return Estimate(
        weights=shape.weight_bytes + (2 * shape.trainable if mixed else 0),
        gradients=4 * shape.trainable,
        optimizer=int(_state_bytes(args.optim) * shape.trainable),
        activations=tokens * per_token,
        logits=logits,
    )


def _layer_bytes(shape: Shape, *, mixed: bool) -> int:
    h, f, k = (30, 8, 4) if mixed else (32, 16, 8)
    return h * shape.hidden + f * shape.mlp + k * shape.keys


def _state_bytes(name: str) -> float:
    if name.endswith("_8bit") or "bnb_8bit" in name:
        return 2.1
    if name.endswith("_4bit"):
        return 1.1
    return next(
        (size for prefix, size in STATE_BYTES.items() if name.removeprefix("paged_").startswith(prefix)), 8.0
    )


def _options(args: TrainingArguments) -> dict[str, int]:
    options = args.activation_checkpointing_kwargs
    found = {} if options is None or isinstance(options, str) else dict(options)
    return {name: value for name, value in found.items() if isinstance(value, int)}


def device_memory(device: torch.device) -> int | None:
    """Bytes of memory of an accelerator, None for the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return None


def advise(
    shape: Shape,
    args: TrainingArguments,
    lengths: Sequence[int],
    *,
    memory: int | None = None,
    bf16_is_fast: bool = False,
) -> tuple[Advice, ...]:
    """At most five settings that would pay, those that save most first.

    Args:
        lengths: tokens of the rows, or of a sample of them.
        memory: bytes of the device; with it, advice on fitting is given only where the run would not fit.
        bf16_is_fast: whether the device computes faster in bfloat16.
    """
    length = max(lengths, default=1)
    needed = estimate(shape, args, length)
    tight = memory is not None and needed.total > _ROOM * memory
    found = [*_speed(args, lengths, bf16_is_fast=bf16_is_fast)]
    if memory is None or tight:
        found += _savings(shape, args, length, needed)
    if tight and args.per_device_train_batch_size > 1:
        found.append(_smaller_steps(shape, args, length, needed))
    worthwhile = [one for one in found if one.saves == 0 or one.saves > 0.05 * needed.total]
    return tuple(sorted(worthwhile, key=lambda one: -one.saves)[:5])


def _speed(args: TrainingArguments, lengths: Sequence[int], *, bf16_is_fast: bool) -> list[Advice]:
    found = []
    if bf16_is_fast and not args.bf16 and not args.fp16:
        reason = "this device multiplies bfloat16 at two to sixteen times the speed of float32"
        found.append(Advice(setting="bf16=True", saves=0, reason=reason))
    real = sum(lengths) / (len(lengths) * max(lengths)) if lengths and max(lengths) else 1.0
    if real < 0.7:
        reason = (
            f"rows fill {real:.0%} of the longest; packed or grouped by length, little of a step is padding"
        )
        setting = "data.pack=true (causal language models) or train_sampling_strategy='group_by_length'"
        found.append(Advice(setting=setting, saves=0, reason=reason))
    return found


def _savings(shape: Shape, args: TrainingArguments, length: int, needed: Estimate) -> list[Advice]:
    found = []
    if not args.activation_checkpointing and shape.layers > 1:
        kept = (2 if args.bf16 or args.fp16 else 4) * shape.hidden * shape.layers
        after = (
            args.per_device_train_batch_size
            * length
            * (kept + _layer_bytes(shape, mixed=args.bf16 or args.fp16))
        )
        found.append(
            Advice(
                setting="activation_checkpointing=True",
                saves=needed.activations - after,
                reason="activations are computed again in the backward pass, for about a third more time",
            )
        )
    state = _state_bytes(args.optim)
    if state >= 8:
        found.append(
            Advice(
                setting="optim='adamw_bnb_8bit'",
                saves=int((state - 2.1) * shape.trainable),
                reason="moments in eight bits; results are those of AdamW for most models",
            )
        )
    if not args.use_liger_kernel and shape.vocabulary > 10_000:
        tokens = args.per_device_train_batch_size * length
        saves = needed.logits - min(tokens, 1024) * needed.logits // max(tokens, 1)
        reason = "the loss is computed in pieces, so all logits never exist at once; same numbers"
        found.append(Advice(setting="use_liger_kernel=True", saves=saves, reason=reason))
    return found


def _smaller_steps(shape: Shape, args: TrainingArguments, length: int, needed: Estimate) -> Advice:
    half = args.per_device_train_batch_size // 2
    accumulated = args.gradient_accumulation_steps * 2
    return Advice(
        setting=f"per_device_train_batch_size={half}, gradient_accumulation_steps={accumulated}",
        saves=(needed.activations + needed.logits) // 2,
        reason="the same gradient from twice as many batches of half the size",
    )


def _size(count: float) -> str:
    return f"{count / GIB:.1f} GiB" if count >= 0.1 * GIB else f"{count / 2**20:.0f} MiB"
