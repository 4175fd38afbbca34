"""SynthID-style watermark: tournament sampling guided by pseudo-random bits of each n-gram.

Dathathri et al., "Scalable watermarking for identifying large language model outputs", Nature 634 (2024).
The hash and the table are those of the peer, so text marked by one is detected by the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from hf_modeling.generation.processors.base import positive_int, require

# Axes: B sequences, T tokens so far, V vocabulary, D keys (depth of the tournament), L n-gram, N windows.

MULTIPLIER, INCREMENT = 6364136223846793005, 1
"""A 64-bit linear congruential step, the hash's only ingredient."""


@final
class SynthIDTextWatermarkLogitsProcessor:
    """Log-probabilities moved towards tokens whose n-gram has its bits set, round after round.

    A context that the sequence already had is left unmarked, so that repetition does not show the key.

    Args:
        ngram_len: tokens that are hashed, the candidate included.
        keys: one secret per round.
        sampling_table_size: bits that the hash selects from.
        sampling_table_seed: seed of those bits.
        context_history_size: how many past contexts count as known.
        device: where tables live.
        skip_first_ngram_calls: leave the first `ngram_len - 1` tokens unmarked.
        debug_mode: mark a uniform distribution instead of the model's.
        prompt_length: tokens that precede the generated ones; the prompt is never part of a context.
    """

    def __init__(
        self,
        ngram_len: int,
        keys: Sequence[int],
        sampling_table_size: int = 2**16,
        sampling_table_seed: int = 0,
        context_history_size: int = 1024,
        device: torch.device | str = "cpu",
        skip_first_ngram_calls: bool = False,
        debug_mode: bool = False,
        prompt_length: int = 0,
    ) -> None:
        require(sampling_table_size <= 2**24, "sampling_table_size", sampling_table_size, "at most 2**24")
        self.ngram_len = positive_int("ngram_len", ngram_len, least=2)
        self.context_history_size = positive_int("context_history_size", context_history_size)
        self.prompt_length = positive_int("prompt_length", prompt_length, least=0)
        self.device = torch.device(device)
        self.keys_D = torch.tensor(list(keys), device=device)
        generator = torch.Generator(device=device).manual_seed(sampling_table_seed)
        self.table = torch.randint(0, 2, (sampling_table_size,), generator=generator, device=device)
        self.skip_first_ngram_calls = skip_first_ngram_calls
        self.debug_mode = debug_mode

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if self.debug_mode:
            scores = torch.ones_like(scores)
        generated = input_ids[:, self.prompt_length :]
        if self.skip_first_ngram_calls and generated.shape[1] + 1 < self.ngram_len:
            return scores
        # Contexts are rebuilt from the ids, so that beams, rejected drafts and batches need no state.
        hashes_BN = self._context_hashes(generated)
        vocabulary = torch.arange(scores.shape[-1], device=self.device)
        bits_BVD = self._bits(_mix(hashes_BN[:, -1:], vocabulary))
        known_B = self._known(hashes_BN)
        return torch.where(known_B[:, None], scores, _tournament(scores, bits_BVD))

    def compute_g_values(self, input_ids: Tensor) -> Tensor:
        """Bits (B, T - L + 1, D) of every n-gram of these ids."""
        return self._bits(_hash(input_ids.unfold(1, self.ngram_len, 1)))

    def compute_context_repetition_mask(self, input_ids: Tensor) -> Tensor:
        """Where (B, T - L + 1) the context of an n-gram is new, so that its bits are evidence."""
        contexts_BNC = input_ids[:, :-1].unfold(1, self.ngram_len - 1, 1)
        hashes_BN = _hash(contexts_BNC)
        history = torch.zeros(
            hashes_BN.shape[0], self.context_history_size, dtype=torch.long, device=self.device
        )
        padded = torch.cat([history, hashes_BN], dim=1).unfold(1, self.context_history_size, 1)[:, :-1]
        return ~(padded == hashes_BN[..., None]).any(dim=-1)

    def compute_eos_token_mask(self, input_ids: Tensor, eos_token_id: int) -> Tensor:
        """Where (B, T) a token stands before the first end token."""
        return (input_ids == eos_token_id).cumsum(dim=1) == 0

    def expected_mean_g_value(self, vocab_size: int, coinflip_prob: float = 0.5) -> float:
        """Mean bit of marked text under a uniform model of this vocabulary, after the first round."""
        return coinflip_prob + coinflip_prob * (1 - coinflip_prob) * (1 - 1 / vocab_size)

    def _context_hashes(self, generated: Tensor) -> Tensor:
        """Hash of the L-1 tokens before each position, the next included, (B, T + 1); zeros first."""
        width = self.ngram_len - 1
        zeros = torch.zeros(generated.shape[0], width, dtype=torch.long, device=self.device)
        contexts_BNC = torch.cat([zeros, generated], dim=1).unfold(1, width, 1)
        if self.skip_first_ngram_calls:
            contexts_BNC = contexts_BNC[:, width:]  # skipped calls leave no history
        return _hash(contexts_BNC[:, -self.context_history_size - 1 :])

    def _known(self, hashes_BN: Tensor) -> Tensor:
        """Which sequences (B,) had their current context before."""
        past, current = hashes_BN[:, :-1], hashes_BN[:, -1:]
        known = (past == current).any(dim=-1)
        if past.shape[1] < self.context_history_size:  # a history starts as zeros
            known |= current[:, 0] == 0
        return known

    def _bits(self, hashes: Tensor) -> Tensor:
        """The bit that each key selects for each hash, one axis D more."""
        return self.table[_mix(hashes[..., None], self.keys_D) % self.table.shape[0]]


def _mix(state: Tensor, data: Tensor) -> Tensor:
    """One step of the hash; products wrap around at 64 bits."""
    return (state + data) * MULTIPLIER + INCREMENT


def _hash(ngrams: Tensor) -> Tensor:
    """Hash over the last axis."""
    state = torch.ones(ngrams.shape[:-1], dtype=torch.long, device=ngrams.device)
    for token in ngrams.unbind(dim=-1):
        state = _mix(state, token)
    return state


def _tournament(scores: Tensor, bits_BVD: Tensor) -> Tensor:
    """Log-probabilities after one two-way tournament per key."""
    probabilities = scores.softmax(dim=-1)
    for bits_BV in bits_BVD.unbind(dim=-1):
        won = (bits_BV * probabilities).sum(dim=-1, keepdim=True)
        probabilities = probabilities * (1 + bits_BV - won)
    logits = probabilities.log()
    return torch.where(logits.isfinite(), logits, torch.finfo(logits.dtype).min)
