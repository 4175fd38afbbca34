"""`from_pretrained`, step by step: repository, config, headers, an empty model, weights, report."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch

from hf_config import GenerationConfig, PreTrainedConfig
from hf_config.generation import GENERATION_CONFIG_NAME
from hf_config.quantization import GgufConfig
from hf_hub_io.discover import PICKLE_NAME, discover
from hf_hub_io.jsonio import read_json_object
from hf_hub_io.repo import Repo
from hf_modeling.arguments import CONFIG_FIELDS, DTYPES, LoadArguments, refuse_unknown
from hf_modeling.device_map import DeviceMap, DeviceMapError, plan_devices
from hf_modeling.init import DEFAULT_STD, without_weights
from hf_modeling.parallel import ASKED_FOR, find_parallel_loader
from hf_modeling.quantizer import (
    Quantizer,
    QuantizerRequest,
    find_quantizer,
    settings_beside,
    sidecar_reader,
)
from hf_modeling.weights.errors import UnsupportedDTypeError
from hf_modeling.weights.fill import COMPUTE_DTYPES
from hf_modeling.weights.load import LoadOptions, load_weights
from hf_modeling.weights.source import Source, open_source

if TYPE_CHECKING:
    from hf_hub_io.checkpoint import Checkpoint
    from hf_modeling.model import PreTrainedModel

M = TypeVar("M", bound="PreTrainedModel")


def load_pretrained(cls: type[M], path: str | Path, arguments: LoadArguments) -> M:
    """A model of class `cls` in evaluation mode, with the weights of the checkpoint at `path`."""
    refuse_unknown(arguments)
    if any(arguments.get(name) is not None for name in ASKED_FOR):
        return find_parallel_loader()(cls, path, arguments)
    if str(path).endswith(".gguf"):
        path, arguments = gguf_apart(path, arguments)
    repo = open_repo(path, arguments)
    config = read_config(cls.family.config, path, repo, arguments)
    checkpoint = discover(
        repo,
        variant=arguments.get("variant"),
        weights_name=arguments.get("gguf_file")
        or (PICKLE_NAME if arguments.get("use_safetensors") is False else arguments.get("weights_name")),
        allow_pickle=arguments.get("allow_pickle", False),
    )
    source = open_source(checkpoint)
    dtype = choose_dtype(arguments.get("dtype"), config, source)
    if config.dtype != (name := str(dtype).removeprefix("torch.")):
        config = config.replace(dtype=name)
    where = f"{repo.id}@{repo.commit}" if repo.commit else repo.id
    quantizer = choose_quantizer(config, dtype, repo, checkpoint, source, arguments, where=where)
    if quantizer is not None:
        config = config.replace(quantization_config=quantizer.config)
    with without_weights():
        model = cls(config)
    table = model.weight_table()
    if quantizer is not None:
        source, table = quantizer.prepare(model, source, table)
    devices = choose_devices(model, dtype, arguments)
    options = load_options(config, dtype, devices, arguments)
    files = tuple(file.path for file in checkpoint.files)
    report = load_weights(model, source, table, options, is_base=model.is_base, where=where, files=files)
    if quantizer is not None:
        model.quantizer = quantizer
        quantizer.finish(model)
    model.device_map = devices if len(devices.parts) > 1 or report.on_disk else None
    model.load_report = replace(report, unknown_config_keys=config.unknown_keys)
    if (generation := repo.find(GENERATION_CONFIG_NAME)) is not None:
        model.generation_config = GenerationConfig.from_dict(read_json_object(generation))
    return model.eval()


def gguf_apart(path: str | Path, arguments: LoadArguments) -> tuple[str | Path, LoadArguments]:
    """The folder and the arguments that mean the same as `path`, if there is such a file."""
    if not Path(path).is_file():
        return path, arguments
    return Path(path).parent, {**arguments, "gguf_file": Path(path).name}


def open_repo(path: str | Path, arguments: LoadArguments) -> Repo:
    """The repository that the arguments describe. Raises as `Repo.open`."""
    return Repo.open(
        path,
        revision=arguments.get("revision"),
        cache_dir=arguments.get("cache_dir"),
        token=arguments.get("token"),
        subfolder=arguments.get("subfolder", ""),
        local_files_only=arguments.get("local_files_only", False),
    )


def read_config(
    kind: type[PreTrainedConfig], path: str | Path, repo: Repo, arguments: LoadArguments
) -> PreTrainedConfig:
    """The checkpoint's config, or the one the caller gives, with the fields that the arguments change."""
    config, gguf_file = arguments.get("config"), arguments.get("gguf_file")
    if config is None and gguf_file is not None:
        from hf_modeling.weights.gguf_source import read_gguf_config

        config = read_gguf_config(repo.file(gguf_file))
    elif config is None:
        token = arguments.get("token")
        config = kind.from_pretrained(
            path,
            revision=repo.commit,  # the commit of the weights, wherever the branch moves
            cache_dir=arguments.get("cache_dir"),
            token=token if isinstance(token, str) else None,
            subfolder=arguments.get("subfolder", ""),
            local_files_only=arguments.get("local_files_only", False),
        )
    changes = {name: value for name, value in arguments.items() if name in CONFIG_FIELDS}
    return config.replace(**changes) if changes else config


def choose_quantizer(
    config: PreTrainedConfig,
    dtype: torch.dtype,
    repo: Repo,
    checkpoint: Checkpoint,
    source: Source,
    arguments: LoadArguments,
    *,
    where: str,
) -> Quantizer | None:
    """What reads packed weights or packs plain ones; None if they are plain and stay so.

    Raises QuantizerMissingError, and as the quantizer does for settings that contradict each other.
    """
    stored = config.quantization_config or settings_beside(repo, source)
    asked = arguments.get("quantization_config")
    if isinstance(asked, GgufConfig) and arguments.get("gguf_file") is not None:
        stored = asked  # the file says itself how it is packed
        if asked.dequantize:
            return None
    if stored is None and asked is None:
        return None
    request = QuantizerRequest(
        stored=stored,
        asked=asked,
        dtype=dtype,
        where=where,
        metadata=checkpoint.metadata,
        sidecar=sidecar_reader(repo),
    )
    return find_quantizer(request)


def choose_dtype(asked: torch.dtype | str | None, config: PreTrainedConfig, source: Source) -> torch.dtype:
    """The element type to load in: as asked, else the config's, else the commonest in the files.

    Raises UnsupportedDTypeError.
    """
    if asked is None or asked == "auto":
        asked = DTYPES.get(config.dtype or "")
        if asked is None:
            counts = Counter(dtype for dtype in source.dtypes.values() if dtype in COMPUTE_DTYPES)
            asked = counts.most_common(1)[0][0] if counts else torch.float32
    dtype = DTYPES.get(asked.removeprefix("torch.")) if isinstance(asked, str) else asked
    if dtype not in COMPUTE_DTYPES:
        raise UnsupportedDTypeError(
            f"a model cannot calculate in dtype {asked!r}", fix=f'use "auto" or one of {", ".join(DTYPES)}'
        )
    return dtype


def choose_devices(model: PreTrainedModel, dtype: torch.dtype, arguments: LoadArguments) -> DeviceMap:
    """Where each part of the model lives: one device, or as `device_map` says. Raises DeviceMapError."""
    wanted, device = arguments.get("device_map"), arguments.get("device")
    if wanted is None:
        home = torch.get_default_device() if device is None else torch.device(device)
        return DeviceMap(parts={"": home}, runs_on=home)
    if device is not None:
        raise DeviceMapError(
            f"device={device!r} and device_map={wanted!r} both say where weights go", fix="give one of them"
        )
    return plan_devices(model, wanted, dtype=dtype, max_memory=arguments.get("max_memory"))


def load_options(
    config: PreTrainedConfig, dtype: torch.dtype, devices: DeviceMap, arguments: LoadArguments
) -> LoadOptions:
    """How strict the arguments are, and the config's numbers that errors and random weights need."""
    return LoadOptions(
        dtype=dtype,
        devices=devices,
        allow_missing=arguments.get("allow_missing", ()),
        allow_unexpected=arguments.get("allow_unexpected", ()),
        check_finite=arguments.get("check_finite", False),
        sizes={name: n for name, n in vars(config).items() if type(n) is int and n > 1},
        std=getattr(config, "initializer_range", DEFAULT_STD),
    )
