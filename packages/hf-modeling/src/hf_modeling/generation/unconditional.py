"""The second run that classifier-free guidance needs: the same text after another prompt, or after none."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from hf_modeling.cache import Cache
from hf_modeling.generation.errors import PromptError
from hf_modeling.generation.model import LanguageModel


@final
class UnconditionalText:
    """Logits (B, V) of the text so far after the negative prompt; remembers what it saw.

    Args:
        model: the model that is guided.
        batch: rows of the guided run.
        prompt_length: tokens of the guided run's own prompt.
        negative_ids: the prompt to pull away from (B or 1, N); None takes the last token of the own prompt.
        negative_mask: 1 for its real tokens.
        use_cache: whether to remember.
    """

    def __init__(
        self,
        model: LanguageModel,
        *,
        batch: int,
        prompt_length: int,
        negative_ids: Tensor | None,
        negative_mask: Tensor | None,
        use_cache: bool,
    ) -> None:
        if negative_ids is not None and negative_ids.shape[0] not in (1, batch):
            raise PromptError(
                f"negative_prompt_ids have {negative_ids.shape[0]} rows, and {batch} sequences are generated",
                fix=f"give one row, or {batch}",
            )
        self._model, self._prompt_length, self._use_cache = model, prompt_length, use_cache
        self._ids = None if negative_ids is None else negative_ids.expand(batch, -1)
        self._mask = None if negative_mask is None else negative_mask.expand(batch, -1)
        self._cache: Cache | None = None
        self._seen = 0

    def __call__(self, input_ids: Tensor) -> Tensor:
        negative = (
            input_ids[:, self._prompt_length - 1 : self._prompt_length] if self._ids is None else self._ids
        )
        text = torch.cat([negative, input_ids[:, self._prompt_length :]], dim=1)
        mask = self._mask
        if mask is not None:
            mask = torch.nn.functional.pad(mask, (0, text.shape[1] - mask.shape[1]), value=1)
        if not self._use_cache:
            return (
                self._model(text, attention_mask=mask, use_cache=False, logits_to_keep=1)
                .logits[:, -1]
                .float()
            )
        if self._cache is None:
            self._cache = self._model.new_cache()
        output = self._model(
            text[:, self._seen :],
            attention_mask=mask if self._seen == 0 else None,
            past_key_values=self._cache,
            logits_to_keep=1,
        )
        self._seen = text.shape[1]
        return output.logits[:, -1].float()
