"""What generation needs of a model, and nothing more: the seam that tests put a fake behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from hf_modeling.cache import Cache
from hf_modeling.outputs import CausalLMOutputWithPast

if TYPE_CHECKING:
    from hf_config import GenerationConfig, PreTrainedConfig


class LanguageModel(Protocol):
    """A left-to-right language model: every `CausalLM`."""

    config: PreTrainedConfig
    generation_config: GenerationConfig | None
    training: bool

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    @property
    def vocabulary_size(self) -> int:
        """Tokens that it reads, from id 0."""
        ...

    def new_cache(self, *, slack: int = 0) -> Cache:
        """An empty cache; `slack` is how many tokens it must be able to take back."""
        ...

    def logits(self, h: Tensor) -> Tensor:
        """Logits of last hidden states."""
        ...

    def __call__(
        self,
        input_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_attentions: bool = False,
        output_hidden_states: bool = False,
        logits_to_keep: int = 0,
    ) -> CausalLMOutputWithPast: ...
