"""`PreTrainedModel`: what every model class shares, whatever its family and head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, ClassVar, Self, Unpack

import torch
from torch import nn

from hf_hub_io.directory import AtomicDirectory
from hf_hub_io.errors import PickleRefusedError
from hf_modeling.arguments import LoadArguments
from hf_modeling.build import set_backend
from hf_modeling.embeddings import input_embeddings, output_embeddings, replace_input, resize, tie
from hf_modeling.init import DEFAULT_STD, allocate, initialize, wanted_device
from hf_modeling.layers.base import StepLayer
from hf_modeling.pretrained import load_pretrained
from hf_modeling.weights.report import LoadReport
from hf_modeling.weights.save import write_weights
from hf_modeling.weights.table import WeightTable, respelled

if TYPE_CHECKING:
    from hf_config import GenerationConfig, PreTrainedConfig
    from hf_hub_io.push import PushResult
    from hf_hub_io.shards import ShardPlan
    from hf_modeling.device_map import DeviceMap
    from hf_modeling.families.family import Family, Task
    from hf_modeling.parallel import Share
    from hf_modeling.quantizer import Quantizer, Receipt


class PreTrainedModel(nn.Module):
    """A model of one family with one head, made from its config.

    A skeleton (`CausalLM`, `MaskedLM`, ...) derives from this class and builds its parts, on meta, in
    `__init__`, which ends with `self.materialize()`; a family class (`LlamaForCausalLM`) derives from a
    skeleton and carries nothing but `family`. So `LlamaForCausalLM(config)` is a randomly initialised model,
    and in a `without_weights` block, where loading makes it, it costs no memory. Buffers that no checkpoint
    holds (`persistent=False`) are constants: they are built with an explicit `device="cpu"`, so that they are
    real even then.
    """

    family: ClassVar[Family]
    """The facts of the family; set on family classes."""
    task: ClassVar[Task] = "base"
    """Which of the family's tasks this model serves."""
    tokens: ClassVar[str] = "embed_tokens"
    """Where the base model, this one or the one inside, keeps its table of token embeddings."""

    config: PreTrainedConfig
    load_report: LoadReport | None = None
    """What loading did; None for a model that was not loaded."""
    generation_config: GenerationConfig | None = None
    """Options of `generate` that the checkpoint brought along; None when it brought none."""
    device_map: DeviceMap | None = None
    """Where the parts of the model live, if not all on one device."""
    quantizer: Quantizer | None = None
    """What knows how packed weights lie on disk; None for a model without any."""
    share: Share | None = None
    """What saves the whole model, where this is one process's share of it."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.config = config

    def materialize(self) -> None:
        """Give every parameter memory and random values on the ambient device, unless that is meta."""
        device = wanted_device()
        if device.type != "meta":
            made = allocate(self, device)
            initialize(made, std=getattr(self.config, "initializer_range", DEFAULT_STD))

    @classmethod
    def from_pretrained(cls, path: str | Path, **arguments: Unpack[LoadArguments]) -> Self:
        """The model in a local folder or a Hub repository such as `"org/name"`, in evaluation mode.

        Strict: every tensor of the checkpoint is used or left out by a named rule, every weight of the model
        is filled, or a typed error says which is not; nothing is returned half loaded. Weights on the CPU
        that need no conversion stay in the file's own pages, copy-on-write. `load_report` says what was done.

        A checkpoint without the head this class has (`LlamaForSequenceClassification` from a base or causal
        model) needs `allow_missing=("score.*",)`: the head then starts from random values. A head that this
        class does not have is left out.

        Raises ConfigError, RepoError, WeightsError and their kinds; TypeError for an unknown argument.
        """
        return load_pretrained(cls, path, arguments)

    @classmethod
    def from_config(cls, config: PreTrainedConfig, *, dtype: torch.dtype | None = None) -> Self:
        """A randomly initialised model, in training mode."""
        model = cls(config)
        return model if dtype is None else model.to(dtype)

    def save_pretrained(
        self,
        directory: str | Path,
        *,
        max_shard_size: str | int = "5GB",
        variant: str | None = None,
        safe_serialization: bool = True,
    ) -> ShardPlan:
        """Write config.json and the weights, under the family's own names, so that any reader finds them.

        The folder changes in one step: whoever reads it sees the old checkpoint or the new one. Weights are
        bit for bit those in memory. Returns which file holds which tensor. Raises PickleRefusedError when
        asked for pickle files, OSError.
        """
        if not safe_serialization:
            raise PickleRefusedError(
                "pickle weight files are not written", fix="leave out safe_serialization=False"
            )
        if self.share is not None:
            return self.share.save(directory, max_shard_size=max_shard_size)
        name = f"model.{variant}.safetensors" if variant else "model.safetensors"
        stem = name.removesuffix(".safetensors")
        old = (name, f"{name}.index.json", f"{stem}-[0-9]*-of-[0-9]*.safetensors")
        dtype = str(self.dtype).removeprefix("torch.")
        config = self.config.replace(architectures=(type(self).__name__,), dtype=dtype)
        metadata: Mapping[str, str] = {}
        sidecars: Mapping[str, bytes] = {}
        if self.quantizer is not None:
            config = config.replace(quantization_config=self.quantizer.config)
            metadata, sidecars = self.quantizer.metadata, self.quantizer.sidecars
        with AtomicDirectory(directory, replaces=old) as stage:
            config.save_pretrained(stage)
            for file, content in sidecars.items():
                (stage / file).write_bytes(content)
            if self.generation_config is not None:
                self.generation_config.save_pretrained(stage)
            return write_weights(
                self,
                self.weight_table(),
                stage,
                is_base=self.is_base,
                max_shard_size=max_shard_size,
                weights_name=name,
                metadata=metadata,
            )

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload model",
        token: str | bool | None = None,
        max_shard_size: str | int = "5GB",
    ) -> PushResult:
        """Save the model aside and upload it as one commit. Raises as `hf_hub_io.push.push_to_hub`."""
        from hf_hub_io.push import push_to_hub

        with TemporaryDirectory() as folder:
            self.save_pretrained(folder, max_shard_size=max_shard_size)
            return push_to_hub(
                folder,
                repo_id,
                private=private,
                revision=revision,
                create_pr=create_pr,
                commit_message=commit_message,
                token=token,
            )

    def weight_table(self) -> WeightTable:
        """How this model's checkpoint lies on disk: the family's table, with what the family always leaves out."""
        table = self.family.weights(self.config)
        if self.family.ignored:
            table = replace(table, rules=(*self.family.ignored, *table.rules))
        begins = self.family.begins.get(self.task)
        table = respelled(table, begins) if begins else table
        return table if self.quantizer is None else self.quantizer.table(table)

    @property
    def quantization_report(self) -> Receipt | None:
        """What became of every weight of a quantized model: print it; None for a model that is not."""
        return None if self.quantizer is None else self.quantizer.report

    def dequantize(self, dtype: torch.dtype | None = None) -> Self:
        """Turn packed weights into plain ones of `dtype` (the model's own by default), in place.

        From then on the model is saved and trained like any other.
        """
        if self.quantizer is not None:
            self.quantizer.dequantize(self, dtype or self.dtype)
            self.quantizer = None
            self.config = self.config.replace(quantization_config=None)
        return self

    @property
    def is_base(self) -> bool:
        """Whether there is no head, and so no `model.` before names."""
        return self.task in ("base", "text-encoding")

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the first floating-point parameter."""
        return next(p.dtype for p in self.parameters() if p.is_floating_point())

    @property
    def device(self) -> torch.device:
        """Where the model runs."""
        return next(self.parameters()).device if self.device_map is None else self.device_map.runs_on

    def num_parameters(self, *, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the model holds; tied weights count once."""
        left_out = input_embeddings(self)._parameters.get("weight") if exclude_embeddings else None
        counted = (p for p in self.parameters() if p is not left_out)
        return sum(p.numel() for p in counted if p.requires_grad or not only_trainable)

    def get_input_embeddings(self) -> nn.Module:
        """The module that turns token ids into vectors; its `weight` is (vocabulary, width)."""
        return input_embeddings(self)

    def set_input_embeddings(self, module: nn.Module) -> None:
        """Put another module in its place; whatever shared its weight shares the new one's."""
        replace_input(self, module)

    def get_output_embeddings(self) -> nn.Module | None:
        """The module that turns hidden states into logits over the vocabulary; None if there is none."""
        return output_embeddings(self)

    def tie_weights(self) -> None:
        """Let the output use the input's weight again, after one was replaced, if the config ties them."""
        tie(self)

    def resize_token_embeddings(
        self, new_num_tokens: int, *, pad_to_multiple_of: int = 1, mean_resizing: bool = True
    ) -> nn.Module:
        """Grow or cut the vocabulary, in the input, the output and the config; returns the input embeddings.

        New rows are the mean of the old ones, which gives new tokens average logits at first, or random
        values with `mean_resizing=False`.
        """
        rows = -(-new_num_tokens // pad_to_multiple_of) * pad_to_multiple_of
        resize(self, rows, mean=mean_resizing, std=getattr(self.config, "initializer_range", DEFAULT_STD))
        self.config = self.config.replace(vocab_size=rows)
        return self.get_input_embeddings()

    def set_attn_implementation(self, attn_implementation: str | None) -> None:
        """Compute attention with "eager" or "sdpa" from now on; None takes the fastest that fits each layer.

        Raises BackendUnsupportedError for an unknown one, or one that lacks what this model's scores need.
        """
        set_backend(self, attn_implementation)
        self.config = self.config.replace(attn_implementation=attn_implementation)

    def gradient_checkpointing_enable(self, every_n_layers: int = 1) -> None:
        """Recompute activations of each n-th block in the backward pass instead of keeping them."""
        self._set_checkpointing(every_n_layers)

    def gradient_checkpointing_disable(self) -> None:
        """Keep activations for the backward pass."""
        self._set_checkpointing(0)

    def _set_checkpointing(self, every: int) -> None:
        for module in self.modules():
            if isinstance(module, PreTrainedModel):
                layers = module._modules.get("layers")
                for number, layer in enumerate(layers.children() if layers is not None else ()):
                    if isinstance(layer, StepLayer):
                        layer.recompute = every > 0 and number % every == 0

    def get_memory_footprint(self) -> int:
        """Bytes of parameters and buffers."""
        return sum(t.nbytes for t in (*self.parameters(), *self.buffers()))
