"""A family of toys, for tests of loading, saving and whatever handles models without running them.

Its checkpoint has what real ones have: a prefix, transposed and fused projections, one tensor per expert, a
buffer that stays in float32, tensors to leave out, and a head that may be tied.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from hf_config import PreTrainedConfig
from hf_config.record import record
from hf_hub_io.header import read_header
from hf_modeling.errors import SpecError
from hf_modeling.families.family import Family, Task
from hf_modeling.model import PreTrainedModel
from hf_modeling.spec import ModelSpec
from hf_modeling.weights import Split, Stack, Transpose, WeightTable, chain, drop, renames, rule

EXPERTS, WIDTH, VOCAB = 3, 8, 24


@record
class ToyConfig(PreTrainedConfig):
    """As much of a config as loading looks at."""

    model_type: ClassVar[str] = "toy"

    vocab_size: int = VOCAB
    hidden_size: int = WIDTH
    num_hidden_layers: int = 2
    tie_word_embeddings: bool = False
    initializer_range: float = 0.5


def toy_table(config: ToyConfig) -> WeightTable:
    """The toy's layout on disk, in the manner of GPT-2."""
    disk, memory = "transformer.h.{layer}.", "model.layers.{layer}."
    return WeightTable(
        prefix="transformer.",
        rules=(
            *renames({"wte.weight": "embed_tokens.weight"}, disk="transformer.", memory="model."),
            rule(
                disk + "attn.{s}",
                (memory + "q_proj.{s}", memory + "k_proj.{s}", memory + "v_proj.{s}"),
                chain(Transpose(), Split((WIDTH, WIDTH, WIDTH))),
            ),
            rule(
                (disk + "experts.{expert}.w1.weight", disk + "experts.{expert}.w3.weight"),
                memory + "experts.gate_up_proj",
                Stack(2),
            ),
            rule(disk + "gate_bias", memory + "correction_bias"),
        ),
        fp32=("model.layers.{layer}.correction_bias",),
    )


def _no_spec(config: ToyConfig) -> ModelSpec:
    raise SpecError("a toy is built by hand", fix="use a real family")


class ToyExperts(nn.Module):
    """Experts that know how they start."""

    def __init__(self) -> None:
        super().__init__()
        self.gate_up_proj = nn.Parameter(torch.empty(EXPERTS, 2 * WIDTH, WIDTH))

    def init_weights(self, std: float) -> None:
        nn.init.normal_(self.gate_up_proj, std=std)


class ToyBlock(nn.Module):
    """What lies in one layer; it cannot be run."""

    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(WIDTH, WIDTH) for _ in range(3))
        self.experts = ToyExperts()
        self.register_buffer("correction_bias", torch.zeros(EXPERTS))
        self.register_buffer("scale", torch.ones(1, device="cpu"), persistent=False)


class ToyStack(nn.Module):
    """Embeddings and layers."""

    def __init__(self, config: ToyConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(ToyBlock() for _ in range(config.num_hidden_layers))


FAMILY = Family(
    model_type="toy",
    config=ToyConfig,
    spec=_no_spec,
    weights=toy_table,
    classes={"base": "Toy", "causal-lm": "ToyForCausalLM", "sequence-classification": "ToyClassifier"},
    ignored=(drop("transformer.h.{layer}.mask", why="the causal mask"),),
)


class Toy(PreTrainedModel):
    """The base model."""

    family = FAMILY

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
            stack = ToyStack(config)
        self.embed_tokens, self.layers = stack.embed_tokens, stack.layers
        self.materialize()


class ToyForCausalLM(PreTrainedModel):
    """With a head over the vocabulary, tied if the config says so."""

    family = FAMILY
    task: ClassVar[Task] = "causal-lm"

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
            self.model = ToyStack(config)
            self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        if config.tie_word_embeddings:
            self.lm_head.weight = self.model.embed_tokens.weight
        self.materialize()


class ToyClassifier(PreTrainedModel):
    """With a head over the config's labels."""

    family = FAMILY
    task: ClassVar[Task] = "sequence-classification"

    def __init__(self, config: ToyConfig) -> None:
        super().__init__(config)
        with torch.device("meta"):
            self.model = ToyStack(config)
            self.score = nn.Linear(config.hidden_size, config.num_labels, bias=False)
        self.materialize()


def read_tensors(folder: Path, name: str = "model.safetensors") -> dict[str, Tensor]:
    """Every tensor of a float32 safetensors file, read without the loader."""
    data = (folder / name).read_bytes()
    header = read_header(folder / name)
    return {
        tensor.name: torch.frombuffer(bytearray(data[tensor.start : tensor.end]), dtype=torch.float32).view(
            tensor.shape
        )
        for tensor in header.tensors.values()
    }


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], name: str = "model.safetensors") -> None:
    """A safetensors file, written without the saver."""
    names = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float8_e4m3fn: "F8_E4M3", torch.int8: "I8"}
    header, offset = {}, 0
    for key, tensor in tensors.items():
        end = offset + tensor.nbytes
        header[key] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header).encode()
    body = b"".join(bytes(t.contiguous().view(torch.uint8).flatten().tolist()) for t in tensors.values())
    (folder / name).write_bytes(struct.pack("<Q", len(text)) + text + body)


def edit_tensors(folder: Path, changes: Mapping[str, Tensor | None]) -> None:
    """Change, add, or with None remove tensors of a saved float32 model."""
    tensors = {**read_tensors(folder), **changes}
    write_tensors(folder, {name: tensor for name, tensor in tensors.items() if tensor is not None})


def assert_same(first: nn.Module, second: nn.Module) -> None:
    """Same names, dtypes and bits."""
    one, two = first.state_dict(), second.state_dict()
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) and one[name].dtype == two[name].dtype for name in one)
