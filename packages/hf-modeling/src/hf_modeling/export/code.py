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
from hf_modeling.families import find_family
from hf_modeling.spec import Block, DecoderSpec
from hf_modeling.weights.ops import Same
from hf_modeling.weights.plan import Step, plan_save
from hf_modeling.weights.slots import find_slots

if TYPE_CHECKING:
    from hf_config import PreTrainedConfig

Reading = tuple[tuple[str, ...], tuple[str, ...], object]
"""Names on disk, names in memory, and the op from one to the other."""

ROOTS = (
    ("hf_modeling.build", "start"),
    ("hf_modeling.build", "build_block"),
    ("hf_modeling.build", "build_norm"),
    ("hf_modeling.build", "build_stem"),
    ("hf_modeling.build", "build_tokens"),
    ("hf_modeling.build", "build_per_layer"),
    ("hf_modeling.heads.parts", "build_lm_head"),
    ("hf_modeling.heads.parts", "build_transform"),
    ("hf_modeling.layers.base", "Linear"),
    ("hf_modeling.layers.base", "META"),
    ("hf_modeling.layers.base", "states_of"),
    ("hf_modeling.cache", "DynamicCache"),
    ("hf_modeling.step", "begin"),
    ("hf_modeling.init", "allocate"),
)
OPTIONAL = {"build_per_layer": "embed.per_layer", "build_transform": "head.transform"}
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
    "hf_modeling.spec.mixer",
    "hf_modeling.spec.moe",
    "hf_modeling.spec.ffn",
    "hf_modeling.spec.block",
    "hf_modeling.spec",
    "hf_modeling.masks",
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
MODEL = '''
class Model(nn.Module):
    """The decoder and its vocabulary head, built from `SPEC`."""

    def __init__(self) -> None:
        super().__init__()
        building = start(SPEC)
        base = self.model = nn.Module()
        base.embed_tokens = build_tokens(SPEC.embed, SPEC.width)
        base.stem = build_stem(SPEC.embed, SPEC.width)
        base.embed_per_layer = {per_layer}
        base.layers = nn.ModuleList(build_block(block, i, building) for i, block in enumerate(SPEC.blocks))
        base.norm = build_norm(SPEC.norm, SPEC.width)
        base.project_out = None if SPEC.output_dim is None else Linear(SPEC.width, SPEC.output_dim)
        width = SPEC.output_dim or SPEC.width
        self.lm_transform = {transform}
        inner = width if SPEC.head.transform is None else SPEC.head.transform.dim or width
        self.lm_head = build_lm_head(SPEC.head, inner, base.embed_tokens)

    def new_cache(self) -> DynamicCache:
        """An empty cache to pass to every call of one sequence."""
        return DynamicCache(tuple(states_of(layer) for layer in self.model.layers))

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, cache: DynamicCache | None = None
    ) -> Tensor:
        """Logits (B, T, V) of token ids (B, T); the mask is 1 for real tokens, on either side."""
        base = self.model
        step = begin(
            batch=input_ids.shape[0],
            new=input_ids.shape[1],
            device=input_ids.device,
            cache=cache,
            attention_mask=attention_mask,
        )
        h = base.embed_tokens(input_ids)
        if base.stem is not None:
            h = base.stem(h, None, step)
        if base.embed_per_layer is not None:
            step.per_layer_BTLP = base.embed_per_layer(input_ids, h)
        for layer in base.layers:
            h = layer(h, step)
        if cache is not None:
            cache.advance(step.new, step.valid_BS, step.next_position_B1)
        h = base.norm(h)
        if base.project_out is not None:
            h = base.project_out(h)
        if self.lm_transform is not None:
            h = self.lm_transform(h)
        logits = self.lm_head(h) * SPEC.head.scale
        cap = SPEC.head.softcap
        return logits if cap is None else torch.tanh(logits / cap) * cap


def load(folder: str) -> Model:
    """The model with the weights of a checkpoint folder, in evaluation mode."""
    from pathlib import Path

    from safetensors.torch import load_file

    disk: dict[str, Tensor] = {{}}
    for file in sorted(Path(folder).glob("*.safetensors")):
        disk |= load_file(file)
    model = Model()
    allocate(model, torch.device("cpu"))
    state: dict[str, Tensor] = {{}}
    for sources, targets, op in LAYOUT:
        if all(name in disk for name in sources):
            made = op.forward([disk.pop(name) for name in sources])
            state |= dict(zip(targets, made, strict=True))
    missing, unexpected = model.load_state_dict(state | {{k: v for k, v in disk.items()}}, strict=False, assign=True)
    tied = {{"lm_head.weight"}} if SPEC.head.tied else set()
    assert set(missing) <= tied, f"missing weights: {{missing}}"
    if SPEC.head.tied:
        model.lm_head.weight = model.model.embed_tokens.weight
    return model.eval()
'''


def export_code(config: PreTrainedConfig) -> str:
    """The Python source of the causal language model that `config` describes, in one file.

    It needs PyTorch, and safetensors to load a folder: `load(folder)` gives a module that maps ids (B, T) to
    logits (B, T, V). Raises SpecError for a family that is no decoder.
    """
    family = find_family(config.model_type)
    spec = family.spec(config)
    if not isinstance(spec, DecoderSpec):
        raise SpecError(
            f"{config.model_type!r} is not a decoder, and only decoders are exported",
            fix="export a causal language model",
        )
    layout = list(_layout(config))
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
    body = MODEL.format(
        per_layer="None"
        if spec.embed.per_layer is None
        else "build_per_layer(SPEC.embed.per_layer, SPEC.width, len(SPEC.blocks))",
        transform="None" if spec.head.transform is None else "build_transform(SPEC.head.transform, width)",
    )
    title = f'"""{family.classes["causal-lm"]}: one model in one file, from PyTorch alone."""'
    pieces = (
        title,
        "from __future__ import annotations",
        bundle.text(),
        _literal(spec),
        _written(layout),
        body,
    )
    return "\n\n".join(pieces)


def _bundle(spec: DecoderSpec, layout: Sequence[Reading], prune: Prune, *, annotations: bool) -> Bundle:
    bundle = Bundle(prune, ORDER, INSTEAD, annotations)
    absent = {name for name, path in OPTIONAL.items() if _at(spec, path) is None}
    for module, name in ROOTS:
        if name not in absent:
            bundle.need(module, name)
    for value in _parts(spec):
        bundle.need("hf_modeling.spec", type(value).__name__)
    for _, _, op in layout:
        for part in _parts(op):
            bundle.need("hf_modeling.weights.ops", type(part).__name__)
    return bundle


def _literal(spec: DecoderSpec) -> str:
    """The spec as an expression; blocks that are alike are written once."""
    names: dict[Block, str] = {}
    for block in spec.blocks:
        names.setdefault(block, f"BLOCK_{len(names)}")
    lines = [f"{name} = {_source(block)}" for block, name in names.items()]
    whole = _source(replace(spec, blocks=()))
    order = ", ".join(names[block] for block in spec.blocks)
    return "\n".join([*lines, "SPEC = " + whole.replace("blocks=()", f"blocks=({order},)")])


def _source(value: object) -> str:
    return re.sub(r"\binf\b", 'float("inf")', pformat(value, width=110))


def _layout(config: PreTrainedConfig) -> Iterator[Reading]:
    """What to read, what it becomes, and how, wherever a name or a layout differs."""
    with torch.device("meta"):
        model = model_class(find_family(config.model_type), "causal-lm")(config)
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
