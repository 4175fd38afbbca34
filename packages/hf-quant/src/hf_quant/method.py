"""A method: everything this package knows about one `quant_method` beside the arithmetic of its codecs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import torch

from hf_config.quantization import QuantizationConfig
from hf_hub_io.jsonio import JsonValue
from hf_modeling.weights.source import Source
from hf_quant.codec import Codec, Shape, Stored
from hf_quant.skip import Skip


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A linear layer's weight in a checkpoint.

    module: the layer's name on disk, or for stacked experts the parameter's.
    memory: the names in memory of the weights that it becomes; more than one where the checkpoint joins them.
    stored: what the checkpoint holds of it, by what follows the module's name (`"weight_scale"`).
    shape: `[..., N, K]` where the checkpoint holds plain numbers; where it is packed, what the model leads one
        to expect there, empty if that cannot be told.
    kind: the layer's class as settings name it.
    dtype: the model's element type, in which formats that do not say otherwise keep scales.
    """

    module: str
    memory: tuple[str, ...] = ()
    stored: Mapping[str, Stored] = field(default_factory=dict)
    shape: Shape = ()
    kind: str = "Linear"
    dtype: torch.dtype = torch.float32


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """What a checkpoint holds beside packed tensors: the text in its headers, other files, names of plain tensors."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    plain: tuple[str, ...] = ()
    read: Callable[[str], bytes | None] = lambda name: None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """What to write beside the tensors: header text, other files, and the config where it says more than before."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    config: Mapping[str, JsonValue] | None = None


Codecs = Mapping[str, Codec]
"""The codec of each packed weight, by `Place.module`."""


@final
@dataclass(frozen=True, kw_only=True)
class Method:
    """One `quant_method`. The functions take an instance of `config`, and are typed loosely for that.

    suffixes: every suffix of its codecs' parts, by which packed layers are recognised in a checkpoint.
    packed: the codec that stores a layer found in a checkpoint, None if it is plain after all; its required
        parts may still be missing.
    create: the codec for a layer that is to be packed, None to leave it plain. None instead of a function:
        weights are only made with data.
    calibrated: the same for weights whose roundings are chosen with data, where the method has such.
    skip: which layers the settings leave alone.
    on_load: whether checkpoints with these settings hold plain numbers, which are packed whenever they are loaded.
    strict: whether settings say that a layer must be packed, so that finding it plain is an error; None where
        settings do not say so much.
    completed: the settings as a config.json has them once weights were made by them.
    stacked: every `Part.stacked` of its codecs.
    saved: what saving writes beside tensors, from settings, codecs and what the checkpoint had.
    source: lets a checkpoint offer other tensors than its reader does (blocks of a GGUF file).
    embeddings: whether tables of embeddings are packed when a model is quantized.
    """

    name: str
    config: type[QuantizationConfig]
    suffixes: frozenset[str]
    packed: Callable[[Any, Place, Beside], Codec | None]
    create: Callable[[Any, Place], Codec | None] | None = None
    calibrated: Callable[[Any, Place], Codec | None] | None = None
    skip: Callable[[Any], Skip] = lambda config: Skip()
    on_load: Callable[[Any], bool] = lambda config: False
    strict: Callable[[Any, Place], bool] | None = None
    completed: Callable[[Any], QuantizationConfig] = lambda config: config
    stacked: frozenset[str] = frozenset()
    saved: Callable[[Any, Codecs, Beside], Saved] = lambda config, codecs, beside: Saved()
    source: Callable[[Source, Beside], Source] | None = None
    embeddings: bool = False
