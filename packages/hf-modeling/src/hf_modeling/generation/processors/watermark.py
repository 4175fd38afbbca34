"""Green-list watermark: after each context a pseudo-random part of the vocabulary is made likelier.

Kirchenbauer et al., arXiv 2301.10226 (lefthash) and 2306.04634 (selfhash). The random streams are those of
the peer, so text marked by one is detected by the other.
"""

from __future__ import annotations

from functools import cached_property
from typing import Literal, final

import torch
from torch import Tensor

from hf_modeling.generation.errors import OptionError
from hf_modeling.generation.processors.base import positive_int, require

# Axes: B sequences, T tokens so far, V vocabulary.

HASH_TABLE = 1_000_003
"""Size of the random permutation that selfhash mixes tokens with."""
SELFHASH_CANDIDATES = 40
"""Selfhash tries this many of the likeliest tokens as the next one."""

SeedingScheme = Literal["lefthash", "selfhash"]


@final
class WatermarkLogitsProcessor:
    """Adds `bias` to the logits of green tokens.

    Args:
        vocab_size: the model's vocabulary.
        device: where the random stream lives; streams differ between kinds of device.
        greenlist_ratio: share of the vocabulary that is green.
        bias: added to green logits.
        hashing_key: the secret; detection needs the same.
        seeding_scheme: `lefthash` seeds by the last token, `selfhash` by the context and the token itself.
        context_width: how many tokens seed.
    """

    def __init__(
        self,
        vocab_size: int,
        device: torch.device | str = "cpu",
        greenlist_ratio: float = 0.25,
        bias: float = 2.0,
        hashing_key: int = 15485863,
        seeding_scheme: SeedingScheme = "lefthash",
        context_width: int = 1,
    ) -> None:
        if seeding_scheme not in ("lefthash", "selfhash"):
            raise OptionError("seeding_scheme", seeding_scheme, "'lefthash' or 'selfhash'")
        require(0 < greenlist_ratio < 1, "greenlist_ratio", greenlist_ratio, "between 0 and 1, both excluded")
        self.vocab_size = positive_int("vocab_size", vocab_size)
        self.context_width = positive_int("context_width", context_width)
        self.device = torch.device(device)
        self.greenlist_size = int(vocab_size * greenlist_ratio)
        self.bias = bias
        self.hashing_key = hashing_key
        self.seeding_scheme = seeding_scheme

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if input_ids.shape[-1] < self.context_width:
            return scores
        marked = scores.clone()
        for row, ids_T in enumerate(input_ids):
            if self.seeding_scheme == "selfhash":
                green = self._self_green(ids_T, scores[row])
            else:
                green = self.green_tokens(ids_T)
            marked[row, green] += self.bias
        return marked

    def green_tokens(self, ids_T: Tensor) -> Tensor:
        """The green tokens after these; under selfhash the last of them is the candidate itself."""
        generator = torch.Generator(device=self.device).manual_seed(self._seed(ids_T))
        return torch.randperm(self.vocab_size, generator=generator, device=self.device)[: self.greenlist_size]

    def _seed(self, ids_T: Tensor) -> int:
        last = int(ids_T[-1])
        if self.seeding_scheme == "lefthash":
            return self.hashing_key * last % (2**64 - 1)
        mixed = self._table[ids_T[-self.context_width :] % HASH_TABLE] + 1
        # Products wrap around at 64 bits, on purpose.
        seeds = self.hashing_key * mixed * (self._table[last % HASH_TABLE] + 1)
        return int(seeds.min()) % (2**64 - 1)

    def _self_green(self, ids_T: Tensor, scores_V: Tensor) -> Tensor:
        """Likely tokens that are green under the seed that they themselves would make."""
        candidates = scores_V.topk(min(SELFHASH_CANDIDATES, scores_V.shape[-1])).indices
        chosen = [
            int(token)
            for token in candidates
            if bool((self.green_tokens(torch.cat([ids_T, token[None]])) == token).any())
        ]
        return torch.tensor(chosen, dtype=torch.long, device=scores_V.device)

    @cached_property
    def _table(self) -> Tensor:
        generator = torch.Generator(device=self.device).manual_seed(self.hashing_key)
        return torch.randperm(HASH_TABLE, generator=generator, device=self.device)
