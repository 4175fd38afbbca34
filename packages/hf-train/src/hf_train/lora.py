"""Low-rank adapters (LoRA, arXiv 2106.09685) on our models, plain or quantized, in files that peft reads.

A plan says which layers get one; carrying it out puts `LoraLinear` where they were. D in, F out, R rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hf_hub_io import atomic_write_json
from hf_hub_io.adapter import ADAPTER_CONFIG_NAME
from hf_modeling.embeddings import output_embeddings
from hf_modeling.model import PreTrainedModel
from hf_modeling.weights.plan import plan_save
from hf_modeling.weights.table import MEMORY_PREFIX
from hf_train.errors import ResumeError, TrainingModelError

if TYPE_CHECKING:
    from hf_hub_io.jsonio import JsonValue

ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"
_PREFIX: Final = "base_model.model."
_TASKS: Final = {
    "causal-lm": "CAUSAL_LM",
    "seq2seq-lm": "SEQ_2_SEQ_LM",
    "sequence-classification": "SEQ_CLS",
    "token-classification": "TOKEN_CLS",
    "question-answering": "QUESTION_ANS",
}
"""What peft calls our tasks."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """Which layers get an adapter, and of what size. Products are scaled by alpha / rank.

    targets: last parts of layers' names, or "all-linear" for all but the output.
    whole: last parts of names of modules that are trained as they are, such as a new head.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: tuple[str, ...] | str = ("q_proj", "v_proj")
    whole: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraReport:
    """The layers that got an adapter, how many numbers are trained, and how many there are."""

    layers: tuple[str, ...]
    trained: int
    total: int


@final
class LoraLinear(nn.Module):
    """base(x) + scale * B A dropout(x), with the base frozen; B begins as zero, so that nothing changes at first."""

    def __init__(self, base: nn.Module, in_features: int, out_features: int, lora: Lora) -> None:
        super().__init__()
        device = next((t.device for t in (*base.parameters(), *base.buffers())), torch.device("cpu"))
        self.base, self.scale, self.dropout = base, lora.alpha / lora.rank, lora.dropout
        self.lora_A = nn.Parameter(torch.empty(lora.rank, in_features, device=device))
        self.lora_B = nn.Parameter(torch.zeros(out_features, lora.rank, device=device))
        nn.init.kaiming_uniform_(self.lora_A, a=sqrt(5))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.base(x)
        low = F.linear(F.dropout(x.to(self.lora_A.dtype), self.dropout, self.training), self.lora_A)
        return y + (self.scale * F.linear(low, self.lora_B)).to(y.dtype)


def plan_lora(model: nn.Module, lora: Lora) -> tuple[str, ...]:
    """Names of the layers that `lora` means: linear ones, plain or quantized.

    Raises TrainingModelError if it means none.
    """
    head = output_embeddings(model) if isinstance(model, PreTrainedModel) else None
    linear = [name for name, module in model.named_modules() if _features(module) and module is not head]
    if lora.targets == "all-linear":
        chosen = linear
    else:
        wanted = {lora.targets} if isinstance(lora.targets, str) else set(lora.targets)
        chosen = [name for name in linear if name.rpartition(".")[2] in wanted]
    if not chosen:
        kinds = sorted({name.rpartition(".")[2] for name in linear})
        raise TrainingModelError(
            f"no linear layer of {type(model).__name__} is called {lora.targets!r}",
            fix=f"there are {', '.join(kinds)}; 'all-linear' takes all of them",
        )
    return tuple(chosen)


def add_lora(model: nn.Module, lora: Lora) -> LoraReport:
    """Freeze the model and give the layers of `plan_lora` an adapter each, which alone is trained then."""
    layers = plan_lora(model, lora)
    model.requires_grad_(False)
    for name in layers:
        parent, _, last = name.rpartition(".")
        base = model.get_submodule(name)
        features = _features(base)
        assert features is not None, "the plan holds linear layers"
        model.get_submodule(parent).register_module(last, LoraLinear(base, *features, lora))
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in lora.whole:
            module.requires_grad_(True)
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return LoraReport(layers=layers, trained=trained, total=sum(p.numel() for p in model.parameters()))


def adapters_of(model: nn.Module) -> dict[str, LoraLinear]:
    """The adapters in a model, by the names of their layers."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


def save_lora(model: PreTrainedModel, folder: Path) -> None:
    """Write adapter_config.json and the adapter's weights, named as the layers are in the family's checkpoints.

    Raises TrainingModelError for a layer that checkpoints hold as a part of another tensor.
    """
    from safetensors.torch import save_file

    found = adapters_of(model)
    first = next(iter(found.values()))
    names = {name: _on_disk(model, name, layer) for name, layer in found.items()}
    tensors: dict[str, Tensor] = {}
    for name, layer in found.items():
        tensors[f"{_PREFIX}{names[name]}.lora_A.weight"] = layer.lora_A.detach().contiguous()
        tensors[f"{_PREFIX}{names[name]}.lora_B.weight"] = layer.lora_B.detach().contiguous()
    inside = {f"{name}." for name in found}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and not any(name.startswith(start) for start in inside):
            tensors[f"{_PREFIX}{name}"] = parameter.detach().contiguous()
    rank = first.lora_A.shape[0]
    config: dict[str, JsonValue] = {
        "peft_type": "LORA",
        "task_type": _TASKS.get(model.task),
        "base_model_name_or_path": None,
        "r": rank,
        "lora_alpha": first.scale * rank,
        "lora_dropout": first.dropout,
        "target_modules": [*sorted({name.rpartition(".")[2] for name in names.values()})],
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_json(folder / ADAPTER_CONFIG_NAME, config)
    save_file(tensors, folder / ADAPTER_WEIGHTS, metadata={"format": "pt"})


@torch.no_grad()
def load_lora(model: PreTrainedModel, folder: Path) -> None:
    """Give the adapters of a model the weights that `save_lora` wrote. Raises ResumeError if they do not fit."""
    from safetensors.torch import load_file

    saved = load_file(folder / ADAPTER_WEIGHTS)
    wanted: dict[str, Tensor] = {}
    for name, layer in adapters_of(model).items():
        place = f"{_PREFIX}{_on_disk(model, name, layer)}"
        wanted |= {f"{place}.lora_A.weight": layer.lora_A, f"{place}.lora_B.weight": layer.lora_B}
    others: Mapping[str, Tensor] = dict(model.named_parameters())
    wanted |= {name: others[name.removeprefix(_PREFIX)] for name in saved.keys() - wanted.keys()
               if name.removeprefix(_PREFIX) in others}  # fmt: skip
    for name in saved.keys() ^ wanted.keys():
        raise ResumeError(
            f"{folder}: the adapter differs from the model's, in {name}", fix="use its own `Lora`"
        )
    for name, weight in wanted.items():
        weight.copy_(saved[name])


def _features(module: nn.Module) -> tuple[int, int] | None:
    """How wide the input and output of a linear layer are, plain or quantized; None for what is no such layer."""
    found = getattr(module, "in_features", None), getattr(module, "out_features", None)
    if isinstance(found[0], int) and isinstance(found[1], int) and not isinstance(module, LoraLinear):
        return found[0], found[1]
    return None


def _on_disk(model: PreTrainedModel, name: str, layer: LoraLinear) -> str:
    """The name that checkpoints of the family give the layer."""
    base = model.task == "base"
    memory = f"{MEMORY_PREFIX}{name}.weight" if base else f"{name}.weight"
    shape = (layer.lora_B.shape[0], layer.lora_A.shape[1])
    table = model.weight_table()
    probe = torch.arange(shape[0] * shape[1]).view(shape)
    for step in plan_save(table, {memory: shape}):
        made = step.save([probe])
        if len(made) == 1 and torch.equal(next(iter(made.values())), probe):
            disk = next(iter(made)).removesuffix(".weight")
            return disk.removeprefix(table.prefix) if base else disk
    raise TrainingModelError(
        f"checkpoints of {type(model).__name__} hold {name} in another form, to which an adapter cannot be named",
        fix="adapt it with peft, on the transformers library's model",
    )
