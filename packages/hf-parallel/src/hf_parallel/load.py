"""A checkpoint onto a layout: every rank reads the bytes of its share, and no others."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import TypeVar, Unpack

import torch

from hf_config import GenerationConfig
from hf_config.generation import GENERATION_CONFIG_NAME
from hf_hub_io.discover import PICKLE_NAME, discover
from hf_hub_io.jsonio import read_json_object
from hf_modeling.arguments import LoadArguments, refuse_unknown
from hf_modeling.device_map import DeviceMap
from hf_modeling.model import PreTrainedModel
from hf_modeling.pretrained import choose_dtype, gguf_apart, load_options, open_repo, read_config
from hf_modeling.weights.load import refuse
from hf_modeling.weights.plan import LoadPlan, plan_load
from hf_modeling.weights.report import LoadReport
from hf_modeling.weights.source import open_source
from hf_modeling.weights.table import MEMORY_PREFIX
from hf_parallel.agreement import agree
from hf_parallel.errors import LayoutMismatchError, Problem
from hf_parallel.mesh import ParallelDims
from hf_parallel.options import ParallelOptions
from hf_parallel.parallel import Parallel, parallelize
from hf_parallel.plan import Plan, make_plan, outline
from hf_parallel.validate import check_plan
from hf_parallel.weights import CheckpointWeights

M = TypeVar("M", bound=PreTrainedModel)


def load_parallel(
    cls: type[M],
    path: str | Path,
    dims: ParallelDims,
    *,
    options: ParallelOptions = ParallelOptions(),
    shard: bool = True,
    **arguments: Unpack[LoadArguments],
) -> Parallel[M]:
    """This rank's share of the checkpoint at `path`, in evaluation mode; every rank of `dims` calls it alike.

    As strict as `from_pretrained`, whose arguments it takes. The layout is checked against the config before
    any weight is read. Without `shard`, data parallel ranks hold plain copies, for inference. Weights that
    `allow_missing` lets be missing are refused: a share has no random start.

    Raises:
        LayoutMismatchError: a model that does not fall into the layout's shares, or a quantized checkpoint.
        RanksDisagreeError: ranks that were given different configs, layouts or files.
        And what `from_pretrained` raises.
    """
    start = perf_counter()
    refuse_unknown(arguments)
    _refuse_devices(arguments)
    if str(path).endswith(".gguf"):
        path, arguments = gguf_apart(path, arguments)
    repo = open_repo(path, arguments)
    config = read_config(cls.family.config, path, repo, arguments)
    if config.quantization_config is not None:
        raise _quantized(config.quantization_config.quant_method)
    plan = make_plan(cls, config, dims.spec, replicate=options.replicate)
    check_plan(cls, plan, options)
    checkpoint = discover(
        repo,
        variant=arguments.get("variant"),
        weights_name=arguments.get("gguf_file")
        or (PICKLE_NAME if arguments.get("use_safetensors") is False else arguments.get("weights_name")),
        allow_pickle=arguments.get("allow_pickle", False),
    )
    source = open_source(checkpoint)
    where = f"{repo.id}@{repo.commit}" if repo.commit else repo.id
    agree("config, layout or checkpoint", _fingerprint(config.to_json_string(), dims, options, source.shapes))
    dtype = choose_dtype(arguments.get("dtype"), config, source)
    config = config.replace(dtype=str(dtype).removeprefix("torch."))
    model = outline(cls, config, plan.whole)
    table, prefix = model.weight_table(), MEMORY_PREFIX if model.is_base else ""
    allowed = load_options(config, dtype, DeviceMap(parts={"": dims.device}, runs_on=dims.device), arguments)
    steps = plan_load(
        table,
        source.shapes,
        {prefix + name: shape for name, shape in plan.shapes.items()},
        ties={prefix + name: prefix + owner for name, owner in plan.ties.items()},
        skip=lambda name: any(Path(name).match(pattern) for pattern in allowed.allow_unexpected),
        where=where,
    )
    refuse(steps, allowed, prefix=prefix, where=where)
    _refuse_missing(steps)
    weights = CheckpointWeights(source, steps, prefix, plan.ties)
    made = parallelize(
        cls, config, dims, options=options, weights=weights, dtype=dtype, fp32=table.fp32, shard=shard
    )
    report = _report(
        made, steps, plan, where, tuple(f.path for f in checkpoint.files), config.unknown_keys, start
    )
    for part in made.parts:
        part.load_report = report
        if (generation := repo.find(GENERATION_CONFIG_NAME)) is not None:
            part.generation_config = GenerationConfig.from_dict(read_json_object(generation))
        part.eval()
    return made


def _fingerprint(config: str, dims: ParallelDims, options: ParallelOptions, shapes: object) -> str:
    return json.dumps([config, str(dims.spec), repr(options), repr(shapes)])


def _report(
    made: Parallel[M],
    steps: LoadPlan,
    plan: Plan,
    where: str,
    files: tuple[Path, ...],
    unknown: tuple[str, ...],
    start: float,
) -> LoadReport:
    sizes: dict[torch.dtype, int] = {}
    for part in made.parts:
        for tensor in part.parameters():
            sizes[tensor.dtype] = sizes.get(tensor.dtype, 0) + tensor.nbytes
    return LoadReport(
        source=where,
        files=files,
        consumed=sum(len(step.inputs) for step in steps.steps),
        ignored={
            **steps.dropped,
            **{n: "a tied weight's copy" for step in steps.repeats for n in step.inputs},
        },
        unexpected=tuple(steps.unexpected),
        initialized=(),
        tied=plan.ties,
        bytes_by_dtype=sizes,
        bytes_mapped=0,
        seconds=perf_counter() - start,
        unknown_config_keys=unknown,
    )


def _refuse_devices(arguments: LoadArguments) -> None:
    for name in ("device", "device_map"):
        if arguments.get(name) is not None:
            raise LayoutMismatchError(
                f"{name} and a layout both say where weights go",
                [Problem(where="from_pretrained", rule=f"{name} is given", instead="leave it out")],
                fix=f"leave {name} out: ParallelDims(layout, device_type) says where a rank computes",
            )


def _refuse_missing(steps: LoadPlan) -> None:
    if steps.missing:
        names = ", ".join(list(steps.missing)[:5])
        raise LayoutMismatchError(
            f"{len(steps.missing)} weights are missing, and a share has no random start: {names}",
            [Problem(where=name, rule="not in the checkpoint", instead="fill it") for name in steps.missing],
            fix="load the model on one process with allow_missing, save it, and load that",
        )


def _quantized(method: str) -> LayoutMismatchError:
    return LayoutMismatchError(
        f"the checkpoint is quantized with {method!r}, whose packed blocks cannot be cut",
        [
            Problem(
                where="quantization_config", rule="packed weights have no rows", instead="unpack them first"
            )
        ],
        fix="load it on one process with dequantization, save it, and load that",
    )
