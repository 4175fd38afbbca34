"""`export_code`: the source of one model, whole, without this library.

The file holds the spec as a literal, the layers and build steps that it reaches, and the weight layout; it
loads the checkpoint's own files. What it leaves out is generality, not meaning: it is made of the very source
that runs here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from pprint import pformat
from typing import TYPE_CHECKING

import torch

from hf_modeling.classes import model_class
from hf_modeling.errors import SpecError
from hf_modeling.export.bundle import Bundle, parse
from hf_modeling.export.prune import Prune
from hf_modeling.export.templates import DECODER, ENCODER, LOAD, SEQ2SEQ, TIE, TIE_SEQ2SEQ
from hf_modeling.families import find_family
from hf_modeling.spec import Block, DecoderSpec, EncoderHeads, EncoderSpec, ModelSpec, Seq2SeqSpec
from hf_modeling.weights.ops import Same
from hf_modeling.weights.plan import Step, plan_save
from hf_modeling.weights.slots import find_slots

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig
    from hf_modeling.families.family import Task

Reading = tuple[tuple[str, ...], tuple[str, ...], object]
"""Names on disk, names in memory, and the op from one to the other."""

ROOTS = (
    ("hf_modeling.build", "start"),
    ("hf_modeling.build", "build_block"),
    ("hf_modeling.build", "build_norm"),
    ("hf_modeling.build", "build_stem"),
    ("hf_modeling.build", "build_tokens"),
    ("hf_modeling.build", "build_per_layer"),
    ("hf_modeling.build", "build_relative"),
    ("hf_modeling.heads.parts", "build_lm_head"),
    ("hf_modeling.heads.parts", "build_transform"),
    ("hf_modeling.layers.base", "Linear"),
    ("hf_modeling.layers.base", "META"),
    ("hf_modeling.layers.base", "states_of"),
    ("hf_modeling.cache", "DynamicCache"),
    ("hf_modeling.step", "begin"),
    ("hf_modeling.init", "allocate"),
)
BOTH_ROOTS = (
    ("hf_modeling.cache", "EncoderDecoderCache"),
    ("hf_modeling.source", "source_of"),
    ("hf_modeling.step", "Step"),
)
"""What encoder-decoders need beside the others."""
OPTIONAL = {
    "build_per_layer": "embed.per_layer",
    "build_relative": "relative",
    "build_transform": "head.transform",
}
ORDER = (
    "hf_hub_io",
    "hf_modeling.errors",
    "hf_modeling.spec.norm",
    "hf_modeling.spec.activation",
    "hf_modeling.spec.mask",
    "hf_modeling.spec.rope",
    "hf_modeling.spec.attention",
    "hf_modeling.spec.latent",
    "hf_modeling.spec.linear",
    "hf_modeling.spec.special",
    "hf_modeling.spec.local",
    "hf_modeling.spec.relative",
    "hf_modeling.spec.disentangled",
    "hf_modeling.spec.sparse",
    "hf_modeling.spec.cross",
    "hf_modeling.spec.mixer",
    "hf_modeling.spec.moe",
    "hf_modeling.spec.ffn",
    "hf_modeling.spec.block",
    "hf_modeling.spec",
    "hf_modeling.masks",
    "hf_modeling.source",
    "hf_modeling.cache.states",
    "hf_modeling.cache",
    "hf_modeling.weights.ops",
    "hf_modeling.init",
    "hf_modeling.recurrence",
    "hf_modeling.layers.base",
    "hf_modeling.layers.norm",
    "hf_modeling.layers.activation",
    "hf_modeling.layers.rope",
    "hf_modeling.layers.attend",
    "hf_modeling.layers.relative",
    "hf_modeling.layers",
    "hf_modeling.build",
    "hf_modeling.heads",
    "hf_modeling.step",
)
NORMS = frozenset({"RmsNorm", "LayerNorm"})
"""What build steps make with `replace`, changing a field."""
INSTEAD = {
    "Linear": '''class Linear(nn.Linear):
    """`nn.Linear` whose weights are loaded, not initialised."""

    def __init__(self, in_features: int, out_features: int, *, bias: bool = False) -> None:
        super().__init__(in_features, out_features, bias=bias, device=META)

    def reset_parameters(self) -> None:
        """Nothing."""''',
    "choose_attend": '''def choose_attend(
    eager: EagerAttend, rule: object, backend: None, *, sinks: bool = False, alibi: bool = False
) -> EagerAttend | SdpaAttend:
    """PyTorch's fused attention, or the written-out one where it lacks what these scores need."""
    return eager if eager.softcap is not None or sinks else SdpaAttend(scale=eager.scale)''',
    "together": '''def together(x: Tensor, *layers: nn.Module) -> tuple[Tensor, ...]:
    """What each of these layers makes of `x`."""
    return tuple(layer(x) for layer in layers)''',
}


def export_code(config: PreTrainedConfig) -> str:
    """The Python source of the language model that `config` describes, in one file.

    It needs PyTorch, and safetensors to load a folder: `load(folder)` gives a module that maps ids (B, T) to
    logits (B, T, V), of encoder-decoders ids (B, S) and the decoder's (B, T). Raises SpecError for a family
    without such a model.
    """
    family = find_family(config.model_type)
    tasks: tuple[Task, ...] = ("causal-lm", "masked-lm", "seq2seq-lm")
    task = next((one for one in tasks if one in family.classes), None)
    if task is None:
        raise SpecError(
            f"{config.model_type!r} has no language model, and only these are exported",
            fix="export a decoder, an encoder that fills gaps, or an encoder-decoder",
        )
    spec = _without_judges(family.spec(config))
    layout = list(_layout(config, task))
    values = list(_parts(spec))
    specs = _classes("hf_modeling.spec")
    made: frozenset[str] = frozenset()
    while True:
        # Some parts of a spec are made while building; what they lead to must stay, whatever their fields.
        known = [value for value in values if type(value).__name__ not in made]
        unused = specs - {type(value).__name__ for value in values} - made
        # First what runs, then what the types of that mention, without classes that never come into being.
        running = _bundle(spec, layout, Prune(unused, known), annotations=False)
        calls = running.calls
        found = (calls & specs) | (NORMS if "replace" in calls else frozenset())
        if found <= made:
            break
        made |= found
    idle = _classes("hf_modeling.layers") | _classes("hf_modeling.cache") | specs
    bundle = _bundle(spec, layout, Prune(unused | (idle - running.names), known), annotations=True)
    body = _model(spec) + "\n" + LOAD + (TIE_SEQ2SEQ if isinstance(spec, Seq2SeqSpec) else TIE)
    title = f'"""{family.classes[task]}: one model in one file, from PyTorch alone."""'
    pieces = (
        title,
        "from __future__ import annotations",
        bundle.text(),
        _literal(spec),
        _written(layout),
        body,
    )
    return "\n\n".join(pieces)


def _without_judges(spec: ModelSpec) -> ModelSpec:
    """The spec without heads that judge: the file holds the language model."""
    match spec:
        case EncoderSpec():
            return replace(spec, heads=EncoderHeads(), pooler=None)
        case Seq2SeqSpec():
            return replace(spec, encoder=replace(spec.encoder, heads=EncoderHeads(), pooler=None))
        case _:
            return spec


def _stacks(spec: ModelSpec) -> tuple[EncoderSpec | DecoderSpec, ...]:
    return (spec.encoder, spec.decoder) if isinstance(spec, Seq2SeqSpec) else (spec,)


def _model(spec: ModelSpec) -> str:
    """The class of the model, written for what the spec has."""
    if isinstance(spec, Seq2SeqSpec):
        biased = any(stack.relative is not None for stack in _stacks(spec))
        made = "None if spec.relative is None else build_relative(spec.relative, spec.width)"
        head = spec.decoder.head
        return SEQ2SEQ.format(
            relative=made if biased else "None",
            transform="None" if head.transform is None else "build_transform(head.transform, width)",
            logits_bias="LogitsBias(self.lm_head.out_features)" if spec.logits_bias else "None",
        )
    transform = "None" if spec.head.transform is None else "build_transform(SPEC.head.transform, width)"
    relative = "None" if spec.relative is None else "build_relative(SPEC.relative, SPEC.width)"
    if isinstance(spec, EncoderSpec):
        return ENCODER.format(transform=transform.replace("width)", "SPEC.width)"), relative=relative)
    embed = "build_per_layer(SPEC.embed.per_layer, SPEC.width, len(SPEC.blocks))"
    per_layer = "None" if spec.embed.per_layer is None else embed
    return DECODER.format(transform=transform, per_layer=per_layer)


def _bundle(spec: ModelSpec, layout: Sequence[Reading], prune: Prune, *, annotations: bool) -> Bundle:
    bundle = Bundle(prune, ORDER, INSTEAD, annotations)
    stacks = _stacks(spec)
    absent = {name for name, path in OPTIONAL.items() if all(_at(one, path) is None for one in stacks)}
    if isinstance(spec, EncoderSpec):
        absent |= {"DynamicCache", "states_of"}
    if isinstance(spec, Seq2SeqSpec) and spec.logits_bias:
        bundle.need("hf_modeling.heads.conditional_generation", "LogitsBias")
    for module, name in (*ROOTS, *(BOTH_ROOTS if isinstance(spec, Seq2SeqSpec) else ())):
        if name not in absent:
            bundle.need(module, name)
    for value in _parts(spec):
        bundle.need("hf_modeling.spec", type(value).__name__)
    for _, _, op in layout:
        for part in _parts(op):
            bundle.need("hf_modeling.weights.ops", type(part).__name__)
    return bundle


def _literal(spec: ModelSpec) -> str:
    """The spec as an expression; blocks that are alike are written once."""
    names: dict[Block, str] = {}
    for stack in _stacks(spec):
        for block in stack.blocks:
            names.setdefault(block, f"BLOCK_{len(names)}")
    lines = [f"{name} = {_source(block)}" for block, name in names.items()]
    whole = _source(_without_blocks(spec))
    for stack in _stacks(spec):  # in the order in which they are written
        order = ", ".join(names[block] for block in stack.blocks)
        whole = whole.replace("blocks=()", f"blocks=({order},)", 1)
    return "\n".join([*lines, "SPEC = " + whole])


def _without_blocks(spec: ModelSpec) -> ModelSpec:
    if isinstance(spec, Seq2SeqSpec):
        encoder, decoder = replace(spec.encoder, blocks=()), replace(spec.decoder, blocks=())
        return replace(spec, encoder=encoder, decoder=decoder)
    return replace(spec, blocks=())


def _source(value: object) -> str:
    return re.sub(r"\binf\b", 'float("inf")', pformat(value, width=110))


def _layout(config: PreTrainedConfig, task: Task) -> Iterator[Reading]:
    """What to read, what it becomes, and how, wherever a name or a layout differs."""
    with torch.device("meta"):
        model = model_class(find_family(config.model_type), task)(config)
    slots, ties = find_slots(model)
    shapes = {name: tuple(slot.tensor.shape) for name, slot in slots.items() if name not in ties}
    steps: list[Step] = list(plan_save(model.weight_table(), shapes))
    for step in steps:
        if step.inputs != step.outputs or not isinstance(step.rule.op, Same):
            yield step.outputs, step.inputs, step.rule.op


def _written(layout: Sequence[Reading]) -> str:
    """The layout as a table; the same line for each layer or expert stays a line each."""
    lines = [f"    ({tuple(disk)!r}, {tuple(memory)!r}, {op!r})," for disk, memory, op in layout]
    return (
        "# names on disk, names in memory, and the way from one to the other\nLAYOUT = [\n"
        + "\n".join(lines)
        + "\n]"
    )


def _parts(value: object) -> Iterator[object]:
    """A dataclass value and every dataclass value inside it."""
    if isinstance(value, tuple | list):
        for part in value:
            yield from _parts(part)
    elif is_dataclass(value) and not isinstance(value, type):
        yield value
        for one in fields(value):
            yield from _parts(getattr(value, one.name))


def _at(spec: object, path: str) -> object:
    for name in path.split("."):
        spec = getattr(spec, name)
    return spec


def _classes(package: str) -> frozenset[str]:
    """The names of all classes defined in a package's modules."""
    folder = Path(parse(package).file).parent
    modules = [parse(f"{package}.{file.stem}") for file in folder.glob("[!_]*.py")]
    return frozenset(
        name
        for module in modules
        for name, node in module.definitions.items()
        if isinstance(node, ast.ClassDef)
    )
