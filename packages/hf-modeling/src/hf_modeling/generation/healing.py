"""Token healing: a prompt that ends inside of a word goes on as if it did not.

The last token is taken back, and the model chooses anew among all tokens that begin with its text.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping

import torch
from torch import Tensor

from hf_modeling.generation.model import LanguageModel

KEPT_BONUS = 1.0
"""Added to the logit of the token that was there, so that it stays unless another is clearly better."""


def heal(model: LanguageModel, ids: Tensor, mask: Tensor | None, vocabulary: Mapping[str, int]) -> Tensor:
    """Ids (B, T) with the last real token of every row chosen anew among its extensions.

    Rows of one token, and tokens that no other begins with, stay as they are.
    """
    by_text, by_id = sorted(vocabulary), {index: text for text, index in vocabulary.items()}
    healed = ids.clone()
    for row in range(ids.shape[0]):
        real = torch.arange(ids.shape[1]) if mask is None else mask[row].nonzero()[:, 0].cpu()
        last = int(real[-1])
        longer = _beginning_with(by_id.get(int(ids[row, last]), ""), by_text, vocabulary)
        longer = [index for index in longer if index < model.vocabulary_size]
        if len(real) < 2 or len(longer) < 2:
            continue
        before = ids[row, real[:-1].to(ids.device)][None]
        logits_V = model(before, use_cache=False, logits_to_keep=1).logits[0, -1].float()
        logits_V[ids[row, last]] += KEPT_BONUS
        choices = torch.tensor(longer, device=ids.device)
        healed[row, last] = choices[logits_V[choices].argmax()]
    return healed


def _beginning_with(prefix: str, by_text: list[str], vocabulary: Mapping[str, int]) -> list[int]:
    """Ids of the tokens whose text begins with this one."""
    if not prefix:
        return []
    found: list[int] = []
    for text in by_text[bisect_left(by_text, prefix) :]:
        if not text.startswith(prefix):
            break
        found.append(vocabulary[text])
    return found
