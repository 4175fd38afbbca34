"""Sentence vectors from token vectors, as sentence-transformers checkpoints describe them.

Axes: B rows, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, assert_never, get_args

import torch
from torch import Tensor
from torch.nn import functional

from hf_hub_io import JsonValue, Repo, discover, parse_json
from hf_modeling.weights.source import open_source
from hf_pipelines.errors import PoolingError

Pooling: TypeAlias = Literal["cls", "mean", "max", "mean_sqrt_len", "weightedmean", "lasttoken"]

# sentence-transformers' field for each mode, in the order in which it joins several of them.
_FIELDS: Mapping[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Identity": lambda x: x,
    "Tanh": torch.tanh,
    "ReLU": torch.relu,
    "GELU": functional.gelu,
    "Sigmoid": torch.sigmoid,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dense:
    """A linear layer after pooling."""

    weight_OD: Tensor
    bias_O: Tensor | None
    activation: str

    def __call__(self, x_BD: Tensor) -> Tensor:
        weight_OD = self.weight_OD.to(device=x_BD.device, dtype=x_BD.dtype)
        bias_O = None if self.bias_O is None else self.bias_O.to(device=x_BD.device, dtype=x_BD.dtype)
        return _ACTIVATIONS[self.activation](functional.linear(x_BD, weight_OD, bias_O))


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceHead:
    """How token vectors become one vector: pooling modes side by side, then layers, then length 1."""

    modes: tuple[Pooling, ...]
    dense: tuple[Dense, ...] = ()
    normalize: bool = True
    max_tokens: int | None = None
    prompt: str = ""
    pool_prompt: bool = True

    def __call__(self, hidden_BTD: Tensor, mask_BT: Tensor | None) -> Tensor:
        """Sentence vectors [B, D] in float32; `mask_BT` is true where a token counts, None if all do."""
        hidden_BTD = hidden_BTD.float()
        x_BD = torch.cat([pool(hidden_BTD, mask_BT, mode) for mode in self.modes], dim=-1)
        for layer in self.dense:
            x_BD = layer(x_BD)
        return functional.normalize(x_BD, dim=-1) if self.normalize else x_BD


def pool(hidden_BTD: Tensor, mask_BT: Tensor | None, mode: Pooling) -> Tensor:
    """One vector per row [B, D] from the tokens where `mask_BT` is true; None: from all."""
    if mask_BT is None:
        if mode == "mean":
            return hidden_BTD.mean(1)
        mask_BT = torch.ones(hidden_BTD.shape[:2], dtype=torch.bool, device=hidden_BTD.device)
    weight_BT1 = mask_BT.unsqueeze(-1).to(hidden_BTD.dtype)
    match mode:
        case "cls":
            return _at(hidden_BTD, mask_BT.int().argmax(dim=1))
        case "lasttoken":
            return _at(hidden_BTD, mask_BT.shape[1] - 1 - mask_BT.flip(1).int().argmax(dim=1))
        case "max":
            return hidden_BTD.masked_fill(~mask_BT.unsqueeze(-1), -torch.inf).amax(dim=1)
        case "mean":
            return (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
        case "mean_sqrt_len":
            return (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1).sqrt()
        case "weightedmean":
            place_T = torch.arange(1, mask_BT.shape[1] + 1, device=mask_BT.device, dtype=hidden_BTD.dtype)
            weight_BT1 = weight_BT1 * place_T[:, None]
            return (hidden_BTD * weight_BT1).sum(1) / weight_BT1.sum(1)
        case _:
            assert_never(mode)


def _at(hidden_BTD: Tensor, index_B: Tensor) -> Tensor:
    return hidden_BTD[torch.arange(len(hidden_BTD), device=hidden_BTD.device), index_B]


def transformer_folder(repo: Repo) -> str:
    """The subfolder with the transformer of a sentence-transformers checkpoint; "" for any other one."""
    if repo.find("modules.json") is None:
        return ""
    for kind, path in _modules(repo):
        if kind == "Transformer":
            return path
    raise PoolingError(f"modules.json of {repo.id} has no Transformer module", fix="choose a text checkpoint")


def read_sentence_head(repo: Repo) -> SentenceHead | None:
    """What `modules.json` and the folders it names describe; None for a checkpoint without one.

    Raises PoolingError for a module or a setting that this package does not know.
    """
    if repo.find("modules.json") is None:
        return None
    modes: tuple[Pooling, ...] = ()
    pool_prompt = True
    dense: list[Dense] = []
    normalize = False
    max_tokens: int | None = None
    for kind, path in _modules(repo):
        match kind:
            case "Transformer":
                max_tokens = _max_tokens(repo, path)
            case "Pooling":
                modes, pool_prompt = _pooling(repo, f"{path}/config.json")
            case "Dense":
                dense.append(_dense(repo, path))
            case "Normalize":
                normalize = True
            case "Dropout":
                pass  # does nothing outside training
            case _:
                raise PoolingError(
                    f"modules.json of {repo.id} names a {kind!r} module, which is not supported here",
                    fix="pass pooling='mean' (or another mode) to use the transformer alone",
                )
    if not modes:
        raise PoolingError(
            f"modules.json of {repo.id} has no Pooling module", fix="pass pooling='mean' or another mode"
        )
    return SentenceHead(
        modes=modes,
        dense=tuple(dense),
        normalize=normalize,
        max_tokens=max_tokens,
        prompt=_default_prompt(repo),
        pool_prompt=pool_prompt,
    )


def _modules(repo: Repo) -> list[tuple[str, str]]:
    """(class name, folder) of every module, in order."""
    file = repo.file("modules.json")
    modules = parse_json(file.read_bytes(), source=str(file))
    if not isinstance(modules, list):
        raise PoolingError(f"{file} is not a list of modules", fix="delete it and fetch it again")
    found: list[tuple[str, str]] = []
    for module in modules:
        kind, path = (
            (module.get("type"), module.get("path", "")) if isinstance(module, dict) else (None, None)
        )
        if not isinstance(kind, str) or not isinstance(path, str):
            raise PoolingError(
                f"{file} has a module without a type and a path: {module!r}", fix=f"correct {file}"
            )
        found.append((kind.rpartition(".")[2], path))
    return found


def _pooling(repo: Repo, name: str) -> tuple[tuple[Pooling, ...], bool]:
    config = repo.read_json(name)
    chosen: list[Pooling] = [mode for field, mode in _FIELDS.items() if config.get(field) is True]
    named = config.get("pooling_mode")
    if isinstance(named, str):
        chosen = [_known_mode(part, repo, name) for part in named.split("+")]
    unknown = [
        key
        for key, value in config.items()
        if key.startswith("pooling_mode_") and value and key not in _FIELDS
    ]
    if unknown or not chosen:
        wrong = f"asks for {', '.join(unknown)}" if unknown else "turns on no pooling mode"
        raise PoolingError(f"{name} of {repo.id} {wrong}", fix=f"known modes: {', '.join(get_args(Pooling))}")
    return tuple(chosen), config.get("include_prompt", True) is not False


def _known_mode(mode: str, repo: Repo, name: str) -> Pooling:
    for known in _FIELDS.values():
        if mode == known:
            return known
    raise PoolingError(
        f"{name} of {repo.id} asks for pooling {mode!r}", fix=f"known modes: {', '.join(get_args(Pooling))}"
    )


def _max_tokens(repo: Repo, folder: str) -> int | None:
    name = f"{folder}/sentence_bert_config.json" if folder else "sentence_bert_config.json"
    if repo.find(name) is None:
        return None
    value = repo.read_json(name).get("max_seq_length")
    return value if isinstance(value, int) else None


def _default_prompt(repo: Repo) -> str:
    name = "config_sentence_transformers.json"
    if repo.find(name) is None:
        return ""
    config = repo.read_json(name)
    prompts, default = config.get("prompts"), config.get("default_prompt_name")
    if default is None:
        return ""
    text: JsonValue = prompts.get(default) if isinstance(prompts, dict) and isinstance(default, str) else None
    if not isinstance(text, str):
        raise PoolingError(
            f"{name} of {repo.id} has no prompt named {default!r}", fix="pass prompt='...' or prompt=''"
        )
    return text


def _dense(repo: Repo, folder: str) -> Dense:
    config = repo.read_json(f"{folder}/config.json")
    activation = str(config.get("activation_function", "Identity")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise PoolingError(
            f"{folder}/config.json of {repo.id} asks for activation {activation!r}",
            fix=f"known activations: {', '.join(_ACTIVATIONS)}",
        )
    source = open_source(discover(replace(repo, subfolder=f"{repo.subfolder}/{folder}".lstrip("/"))))
    if "linear.weight" not in source.shapes:
        raise PoolingError(f"{folder}/model.safetensors of {repo.id} has no tensor linear.weight")
    bias_O = source.read("linear.bias") if "linear.bias" in source.shapes else None
    return Dense(weight_OD=source.read("linear.weight"), bias_O=bias_O, activation=activation)
