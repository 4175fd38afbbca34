"""Optimizers by the names users type: PyTorch's, our own, and those of optional libraries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any, Final

import torch
from torch import nn
from torch.optim import SGD, Adagrad, AdamW, Optimizer, RMSprop

from hf_config.errors import suggest
from hf_hub_io.errors import MissingPackageError
from hf_train.optim.adafactor import Adafactor
from hf_train.optim.adam_variants import AdEMAMix, AnyPrecisionAdamW, StableAdamW
from hf_train.optim.base import Group, Parameters
from hf_train.optim.errors import OptimizerError
from hf_train.optim.groups import as_groups, hidden_matrices, linear_weights, split_groups
from hf_train.optim.layerwise import Layerwise
from hf_train.optim.lion import Lion
from hf_train.optim.low_rank import ApolloAdamW, GaLoreAdamW
from hf_train.optim.muon import Muon
from hf_train.optim.schedule_free import ScheduleFreeAdamW, ScheduleFreeRAdam, ScheduleFreeSGD

OptionValue = str | float | int | bool | None


@dataclass(frozen=True, kw_only=True)
class _Request:
    """What was asked for; options are taken out one by one, so that what is left over is unknown."""

    name: str
    groups: list[Group]
    lr: float
    weight_decay: float
    betas: tuple[float, float]
    eps: float
    warmup_steps: int
    model: nn.Module | None
    targets: str | Sequence[str] | None
    options: dict[str, OptionValue]
    asked: list[str] = field(default_factory=list)

    @property
    def adam(self) -> dict[str, Any]:
        return {"lr": self.lr, "betas": self.betas, "eps": self.eps, "weight_decay": self.weight_decay}

    def number(self, name: str, default: float) -> float:
        value = self._take(name, default)
        try:
            return float(value)  # type: ignore[arg-type]  # None and text are what the handler is for
        except (TypeError, ValueError):
            raise OptimizerError(f"optim_args: {name} is {value!r}, expected a number") from None

    def flag(self, name: str, default: bool) -> bool:
        value = self._take(name, default)
        match str(value).lower():
            case "true" | "1" | "yes":
                return True
            case "false" | "0" | "no":
                return False
        raise OptimizerError(f"optim_args: {name} is {value!r}, expected true or false")

    def word(self, name: str, default: str, allowed: Sequence[str] = ()) -> str:
        value = str(self._take(name, default))
        if allowed and value not in allowed:
            raise OptimizerError(f"optim_args: {name} is {value!r}, expected one of {', '.join(allowed)}")
        return value

    def numbers(self, **defaults: float) -> dict[str, Any]:
        return {name: self.number(name, default) for name, default in defaults.items()}

    def _take(self, name: str, default: OptionValue) -> OptionValue:
        self.asked.append(name)
        return self.options.pop(name, default)


Builder = Callable[[_Request], Optimizer]


def make_optimizer(
    name: str,
    params: Parameters,
    *,
    learning_rate: float = 5e-5,
    weight_decay: float = 0.0,
    betas: tuple[float, float] = (0.9, 0.999),
    epsilon: float = 1e-8,
    warmup_steps: int = 0,
    options: Mapping[str, OptionValue] | str | None = None,
    model: nn.Module | None = None,
    target_modules: str | Sequence[str] | None = None,
) -> Optimizer:
    """The optimizer `name` over `params`, tensors or groups; settings of a group win over those given here.

    Args:
        warmup_steps: of schedule-free optimizers, which warm up by themselves.
        options: what the peer calls `optim_args`, as a mapping or "name=value,name=value".
        model: needed by galore, apollo and muon, which treat some of its layers differently.
        target_modules: the layers that galore and apollo project, see `linear_weights`.

    Raises:
        OptimizerError: an unknown name or option, or a model or target that is missing.
        MissingPackageError: the optimizer is that of a library which is not installed.
    """
    if name in _REFUSED:
        raise OptimizerError(f"the optimizer {name!r} is not offered: {_REFUSED[name]}", fix=_INSTEAD[name])
    if name not in _BUILDERS:
        raise OptimizerError(
            f"no optimizer is called {name!r}{suggest(name, _BUILDERS)}",
            fix=f"use one of: {', '.join(OPTIMIZERS)}",
        )
    request = _Request(
        name=name,
        groups=as_groups(params),
        lr=learning_rate,
        weight_decay=weight_decay,
        betas=betas,
        eps=epsilon,
        warmup_steps=warmup_steps,
        model=model,
        targets=target_modules,
        options=parse_options(options),
    )
    optimizer = _BUILDERS[name](request)
    if request.options:
        raise OptimizerError(
            f"the optimizer {name!r} has no option {', '.join(map(repr, request.options))}",
            fix=f"its options (optim_args) are: {', '.join(request.asked) or 'none'}",
        )
    return optimizer


def parse_options(options: Mapping[str, OptionValue] | str | None) -> dict[str, OptionValue]:
    """Options as a mapping; text is "name=value,name=value". Raises OptimizerError at a part without `=`."""
    if not isinstance(options, str):
        return dict(options or {})
    parsed: dict[str, OptionValue] = {}
    for part in filter(None, (part.strip() for part in options.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise OptimizerError(f"optim_args: {part!r} is not name=value", fix='write "rank=64,scale=0.25"')
        parsed[key.strip()] = value.strip()
    return parsed


def _adamw(request: _Request, *, fused: bool) -> Optimizer:
    # Fused kernels need floating-point tensors that all stand on one kind of device.
    return AdamW(request.groups, **request.adam, fused=fused or None)


def _adafactor(request: _Request) -> Optimizer:
    decay = request.weight_decay
    return Adafactor(
        request.groups, request.lr, weight_decay=decay, scale_parameter=False, relative_step=False
    )


def _sgd(request: _Request) -> Optimizer:
    settings = request.numbers(momentum=0.0, dampening=0.0, weight_decay=request.weight_decay)
    return SGD(request.groups, request.lr, **settings, nesterov=request.flag("nesterov", False))


def _adagrad(request: _Request) -> Optimizer:
    settings = request.numbers(lr_decay=0.0, weight_decay=request.weight_decay, eps=1e-10)
    return Adagrad(request.groups, request.lr, **settings)


def _rmsprop(request: _Request) -> Optimizer:
    settings = request.numbers(momentum=0.0, alpha=0.99, eps=1e-8, weight_decay=request.weight_decay)
    return RMSprop(request.groups, request.lr, **settings, centered=request.flag("centered", False))


def _lion(request: _Request) -> Optimizer:
    return Lion(request.groups, request.lr, request.betas, request.weight_decay)


def _ademamix(request: _Request) -> Optimizer:
    return AdEMAMix(
        request.groups, request.lr, weight_decay=request.weight_decay, **_ademamix_options(request)
    )


def _ademamix_options(request: _Request) -> dict[str, Any]:
    betas = request.numbers(beta1=request.betas[0], beta2=request.betas[1], beta3=0.9999)
    settings: dict[str, Any] = {"betas": tuple(betas.values()), **request.numbers(alpha=5.0, eps=request.eps)}
    for name in ("t_alpha", "t_beta3"):
        steps = int(request.number(name, 0))
        settings[name] = steps or None
    return settings


def _stable_adamw(request: _Request) -> Optimizer:
    most = request.number("max_lr", 0.0) or None
    kahan = request.flag("kahan_sum", False) if "kahan_sum" in request.options else None
    decouple = request.flag("decouple_lr", False)
    return StableAdamW(request.groups, **request.adam, max_lr=most, kahan_sum=kahan, decouple_lr=decouple)


def _any_precision(request: _Request) -> Optimizer:
    names = (
        ("momentum_dtype", "float32"),
        ("variance_dtype", "float32"),
        ("compensation_buffer_dtype", "bfloat16"),
    )
    allowed = ("float32", "bfloat16", "float16", "float64")
    dtypes = {name: getattr(torch, request.word(name, default, allowed)) for name, default in names}
    kahan = request.flag("use_kahan_summation", False)
    return AnyPrecisionAdamW(request.groups, **request.adam, use_kahan_summation=kahan, **dtypes)


def _schedule_free(request: _Request, *, kind: str) -> Optimizer:
    mean = request.numbers(weight_lr_power=2.0, r=0.0)
    warmup = request.warmup_steps
    if kind == "sgd":
        momentum = request.number("momentum", 0.9)
        decay = request.weight_decay
        return ScheduleFreeSGD(request.groups, request.lr, momentum, decay, warmup_steps=warmup, **mean)
    if kind == "radam":
        return ScheduleFreeRAdam(request.groups, **request.adam, **mean)
    return ScheduleFreeAdamW(request.groups, **request.adam, warmup_steps=warmup, **mean)


def _muon(request: _Request) -> Optimizer:
    matrices = hidden_matrices(_model_of(request))
    groups = split_groups(request.groups, lambda param: param in matrices, {"muon": True})
    momentum, steps = request.number("momentum", 0.95), int(request.number("ns_steps", 5))
    nesterov = request.flag("nesterov", True)
    return Muon(groups, **request.adam, momentum=momentum, steps=steps, nesterov=nesterov)


def _galore(request: _Request, *, kind: str) -> Optimizer:
    subspace: Group = {
        "rank": int(request.number("rank", 128)),
        "update_proj_gap": int(request.number("update_proj_gap", 200)),
        "scale": request.number("scale", 0.25),
        "proj_type": request.word("proj_type", "std", ("std", "reverse_std", "left", "right", "full")),
    }
    groups = _low_rank_groups(request, subspace)
    if kind == "adafactor":
        decay = request.weight_decay
        return Adafactor(groups, request.lr, weight_decay=decay, scale_parameter=False, relative_step=False)
    return GaLoreAdamW(groups, **request.adam)


def _apollo(request: _Request) -> Optimizer:
    subspace: Group = {
        "rank": int(request.number("rank", 128)),
        "proj": request.word("proj", "random", ("random", "svd")),
        "scale_type": request.word("scale_type", "channel", ("channel", "tensor")),
        "update_proj_gap": int(request.number("update_proj_gap", 200)),
        "scale": request.number("scale", 1.0),
        "proj_type": request.word("proj_type", "std", ("std", "reverse_std", "left", "right")),
    }
    return ApolloAdamW(_low_rank_groups(request, subspace), **request.adam)


def _low_rank_groups(request: _Request, subspace: Group) -> list[Group]:
    if request.targets is None:
        raise OptimizerError(
            f"the optimizer {request.name!r} needs to know which layers to project",
            fix="set optim_target_modules, for example to 'all-linear'",
        )
    weights = linear_weights(_model_of(request), request.targets)
    return split_groups(request.groups, lambda param: param in weights, subspace)


def _model_of(request: _Request) -> nn.Module:
    if request.model is None:
        raise OptimizerError(f"the optimizer {request.name!r} needs the model", fix="pass model=")
    return request.model


def _layerwise(request: _Request, *, inner: Builder) -> Layerwise:
    groups = inner(replace(request, options=dict(request.options))).param_groups
    settings = dict(request.options)
    inner(request)  # takes the options out

    def make(group: Group) -> Optimizer:
        return inner(replace(request, groups=[group], options=dict(settings), asked=[]))

    return Layerwise([dict(group) for group in groups], make)


def _bitsandbytes(request: _Request, *, kind: str, bits: int, paged: bool = False) -> Optimizer:
    module = _library("bitsandbytes.optim", "bitsandbytes", f"the optimizer {request.name!r}")
    settings: dict[str, Any] = {"lr": request.lr, "weight_decay": request.weight_decay, "optim_bits": bits}
    if kind == "RMSprop":
        settings |= request.numbers(alpha=0.99, eps=1e-8, momentum=0.0)
    else:
        settings["is_paged"] = paged
        settings |= {"betas": request.betas}
    if kind == "AdamW":
        settings["eps"] = request.eps
    if kind == "AdEMAMix":
        settings |= _ademamix_options(request)
    if bits == 8 and request.model is not None:
        manager = module.GlobalOptimManager.get_instance()
        for layer in request.model.modules():
            if isinstance(
                layer, nn.Embedding
            ):  # rare tokens have rare gradients, which eight bits cannot follow
                manager.register_module_override(layer, "weight", {"optim_bits": 32})
    optimizer: Optimizer = getattr(module, kind)(request.groups, **settings)
    return optimizer


def _torchao(request: _Request, *, kind: str) -> Optimizer:
    module = _library("torchao.optim", "torchao", f"the optimizer {request.name!r}")
    block, rounding = int(request.number("block_size", 256)), request.flag("bf16_stochastic_round", False)
    make = getattr(module, kind)
    optimizer: Optimizer = make(
        request.groups, **request.adam, block_size=block, bf16_stochastic_round=rounding
    )
    return optimizer


def _grokadamw(request: _Request) -> Optimizer:
    module = _library("grokadamw", "grokadamw", f"the optimizer {request.name!r}")
    settings = request.numbers(
        alpha_init=0.98, lamb=2.0, gamma=0.1, grokking_signal_decay_rate=0.1, gradient_clipping=1.0
    )
    optimizer: Optimizer = module.GrokAdamW(request.groups, lr=request.lr, **settings)
    return optimizer


def _library(module: str, package: str, needed_by: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        raise MissingPackageError(package, needed_by) from error


_GALORE: Final[dict[str, Builder]] = {
    "galore_adamw": partial(_galore, kind="adamw"),
    "galore_adafactor": partial(_galore, kind="adafactor"),
    "apollo_adamw": _apollo,
}
_BNB = {"adamw": "AdamW", "lion": "Lion", "ademamix": "AdEMAMix"}
_BUILDERS: Final[dict[str, Builder]] = {
    "adamw_torch": partial(_adamw, fused=False),
    "adamw_torch_fused": partial(_adamw, fused=True),
    "adamw_anyprecision": _any_precision,
    "adamw_torch_8bit": partial(_torchao, kind="AdamW8bit"),
    "adamw_torch_4bit": partial(_torchao, kind="AdamW4bit"),
    "adamw_bnb_8bit": partial(_bitsandbytes, kind="AdamW", bits=8),
    "adamw_8bit": partial(_bitsandbytes, kind="AdamW", bits=8),
    "stable_adamw": _stable_adamw,
    "adafactor": _adafactor,
    "ademamix": _ademamix,
    "ademamix_8bit": partial(_bitsandbytes, kind="AdEMAMix", bits=8),
    "lion_32bit": _lion,
    "lion_8bit": partial(_bitsandbytes, kind="Lion", bits=8),
    "muon": _muon,
    "sgd": _sgd,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "rmsprop_bnb": partial(_bitsandbytes, kind="RMSprop", bits=32),
    "rmsprop_bnb_32bit": partial(_bitsandbytes, kind="RMSprop", bits=32),
    "rmsprop_bnb_8bit": partial(_bitsandbytes, kind="RMSprop", bits=8),
    "grokadamw": _grokadamw,
    **{f"schedule_free_{kind}": partial(_schedule_free, kind=kind) for kind in ("adamw", "radam", "sgd")},
    **{
        f"paged_{name}_{bits}bit": partial(_bitsandbytes, kind=kind, bits=bits, paged=True)
        for name, kind in _BNB.items()
        for bits in (8, 32)
    },
    **_GALORE,
    **{f"{name}_layerwise": partial(_layerwise, inner=builder) for name, builder in _GALORE.items()},
}
OPTIMIZERS: Final[tuple[str, ...]] = tuple(_BUILDERS)
_FUSED_BACKWARD = (
    "it needs a backward pass of its own, in which gradients can be neither accumulated nor clipped"
)
_REFUSED: Final = {
    "lomo": _FUSED_BACKWARD,
    "adalomo": _FUSED_BACKWARD,
    "galore_adamw_8bit": "its moments are quantized by a kernel for CUDA that its authors no longer maintain",
    "galore_adamw_8bit_layerwise": "its moments are quantized by a kernel that its authors no longer maintain",
    "adamw_torch_xla": "PyTorch/XLA has no path through this Trainer",
    "adamw_torch_npu_fused": "it exists only in PyTorch builds for Ascend processors",
}
_INSTEAD: Final = {
    "lomo": "use adafactor, or galore_adamw_layerwise, which frees each gradient at once as well",
    "adalomo": "use adafactor, or galore_adafactor_layerwise, which frees each gradient at once as well",
    "galore_adamw_8bit": "use galore_adamw, or adamw_bnb_8bit",
    "galore_adamw_8bit_layerwise": "use galore_adamw_layerwise, or adamw_bnb_8bit",
    "adamw_torch_xla": "use adamw_torch",
    "adamw_torch_npu_fused": "use adamw_torch",
}
