"""The model made ready: checked, compiled, told to recompute, moved and wrapped."""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from hf_hub_io.errors import MissingPackageError
from hf_modeling.model import PreTrainedModel
from hf_train.arguments.values import options
from hf_train.data.columns import inner_model
from hf_train.errors import ArgumentsError, TrainingModelError

if TYPE_CHECKING:
    from hf_modeling.families.family import Family
    from hf_train.arguments import TrainingArguments

_OVER_VOCABULARY: Final = ("ForCausalLM", "LMHeadModel", "ForMaskedLM", "ForConditionalGeneration")
_OVER_CLASSES: Final = ("ForTokenClassification", "ForSequenceClassification")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy where it is in use, and torch on all devices."""
    random.seed(seed)
    torch.manual_seed(seed)
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(seed % 2**32)


def check_trainable(model: nn.Module) -> None:
    """Raise TrainingModelError for a model that has no loss, or whose weights cannot move."""
    inner = inner_model(model)
    if isinstance(inner, PreTrainedModel) and inner.task == "base":
        family: Family | None = getattr(inner, "family", None)
        heads = {} if family is None else {t: name for t, name in family.classes.items() if t != "base"}
        classes = ", ".join(heads.values()) or "LlamaForCausalLM, for example"
        raise TrainingModelError(
            f"{type(inner).__name__} gives hidden states and no loss",
            fix=f"use a class with a head: {classes}",
        )
    if not any(p.requires_grad for p in model.parameters()):
        quantized = getattr(getattr(inner, "config", None), "quantization_config", None) is not None
        raise TrainingModelError(
            f"{type(inner).__name__} has no parameter that requires a gradient"
            + (": its weights are quantized" if quantized else ""),
            fix="add an adapter: hf_train.lora.add_lora, or peft.get_peft_model"
            if quantized
            else "set requires_grad_(True) on what is to be trained",
        )


def label_limit(model: nn.Module) -> int | None:
    """How many outputs the model's labels choose from; None where labels are something else, or not known."""
    inner = inner_model(model)
    name, config = type(inner).__name__, getattr(inner, "config", None)
    if isinstance(inner, PreTrainedModel) and name.endswith(_OVER_VOCABULARY):
        head = inner.get_output_embeddings()
        weight = getattr(head, "weight", None)
        return int(weight.shape[0]) if isinstance(weight, torch.Tensor) else None
    if name.endswith(_OVER_VOCABULARY):
        size = getattr(config, "vocab_size", None)
        return size if isinstance(size, int) else None
    if name.endswith(_OVER_CLASSES) and getattr(config, "problem_type", None) in (
        None,
        "single_label_classification",
    ):
        labels = getattr(config, "num_labels", None)
        return labels if isinstance(labels, int) and labels > 1 else None
    return None


def recompute_activations(model: nn.Module, args: TrainingArguments) -> None:
    """Let the model recompute activations in its backward pass, as `activation_checkpointing` says.

    Raises ArgumentsError for a model that cannot, or options that it has no use for.
    """
    if not args.activation_checkpointing:
        return
    wanted = options(args.activation_checkpointing_kwargs, "activation_checkpointing_kwargs")
    every = wanted.pop("every_n_layers", 1)
    wanted.pop("offload", None)
    wanted.pop("use_reentrant", None)
    if not isinstance(every, int) or every < 1 or wanted:
        wrong = f"every_n_layers={every!r}" if not wanted else next(iter(wanted))
        raise ArgumentsError(
            f"activation_checkpointing_kwargs has {wrong}",
            fields=("activation_checkpointing_kwargs",),
            fix="every_n_layers takes a number from 1, offload true or false",
        )
    inner = inner_model(model)
    if isinstance(inner, PreTrainedModel):
        inner.gradient_checkpointing_enable(every_n_layers=every)
    else:
        enable = getattr(inner, "gradient_checkpointing_enable", None)
        if enable is None:
            raise ArgumentsError(
                f"activation_checkpointing is set, and {type(inner).__name__} has no way to recompute activations",
                fields=("activation_checkpointing",),
                fix="leave it out, or give the model a gradient_checkpointing_enable method",
            )
        enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if inner is not model:
        # Adapters freeze the embeddings; without this nothing that is recomputed would have a gradient to pass on.
        require = getattr(inner, "enable_input_require_grads", None)
        if require is not None:
            require()


def offloading(args: TrainingArguments) -> bool:
    """Whether what the backward pass needs is kept in the memory of the CPU."""
    wanted = options(args.activation_checkpointing_kwargs, "activation_checkpointing_kwargs")
    return args.activation_checkpointing and bool(wanted.get("offload"))


def compile_model(model: nn.Module, args: TrainingArguments) -> None:
    """Compile the model's blocks in place, each once and the same for all; a foreign model as a whole."""
    if not args.torch_compile:
        return
    inner = inner_model(model)
    layers = getattr(getattr(inner, "model", inner), "layers", None)
    parts = (
        list(layers) if isinstance(inner, PreTrainedModel) and isinstance(layers, nn.ModuleList) else [inner]
    )
    for part in parts:
        part.compile(backend=args.torch_compile_backend or "inductor", mode=args.torch_compile_mode)


def use_liger(model: nn.Module, args: TrainingArguments) -> None:
    """Let a model of the transformers library on a GPU use the liger-kernel library.

    Our models have a loss that never holds all logits, wherever they run, and need nothing more.
    Raises MissingPackageError if the library is needed and not installed.
    """
    inner = inner_model(model)
    if not args.use_liger_kernel or isinstance(inner, PreTrainedModel):
        return
    device = next(inner.parameters()).device
    if device.type == "cpu" and args.device.type == "cpu":
        return
    try:
        library: Any = import_module("liger_kernel.transformers")
    except ImportError:
        raise MissingPackageError("liger-kernel", "use_liger_kernel with a model of transformers") from None
    library._apply_liger_kernel_to_instance(
        model=inner, **options(args.liger_kernel_config, "liger_kernel_config")
    )


@contextmanager
def without_cache(model: nn.Module, use_cache: bool) -> Iterator[None]:
    """A block in which a foreign model's config says whether it keeps keys and values; put back after it."""
    config = getattr(inner_model(model), "config", None)
    before = getattr(config, "use_cache", None)
    if config is None or before is None or isinstance(inner_model(model), PreTrainedModel):
        yield
        return
    config.use_cache = use_cache
    try:
        yield
    finally:
        config.use_cache = before


def call_model_init(model_init: Callable[..., nn.Module], trial: object) -> nn.Module:
    """The model that `model_init` makes, told about the trial if it takes an argument.

    Raises ArgumentsError for a function that takes several, TrainingModelError if it makes none.
    """
    parameters = inspect.signature(model_init).parameters.values()
    count = sum(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters
    )
    if count > 1:
        raise ArgumentsError(
            f"model_init takes {count} arguments",
            fields=("model_init",),
            fix="let it take none, or the trial",
        )
    model = model_init(trial) if count else model_init()
    if not isinstance(model, nn.Module):
        raise TrainingModelError(f"model_init returned a {type(model).__name__}, not a model")
    return model
