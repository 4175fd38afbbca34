"""Detecting watermarks: is this text marked with this key?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from hf_modeling.generation.errors import PromptError
from hf_modeling.generation.processors.synthid import SynthIDTextWatermarkLogitsProcessor
from hf_modeling.generation.processors.watermark import WatermarkLogitsProcessor

# Axes: B texts, T tokens, N n-grams, D depth of the tournament.


@dataclass(frozen=True, kw_only=True, slots=True)
class WatermarkDetectorOutput:
    """Evidence for each text, (B,) each."""

    num_tokens_scored: Tensor
    num_green_tokens: Tensor
    green_fraction: Tensor
    z_score: Tensor
    """Standard deviations by which the count of green tokens is above that of unmarked text."""
    p_value: Tensor
    """Probability of such a z score, or a higher one, in unmarked text."""
    prediction: Tensor
    """Whether the z score is above the threshold."""
    confidence: Tensor


@final
class WatermarkDetector:
    """Counts green tokens. `processor` is the one that marked the text, or one made with the same options.

    Args:
        processor: the green-list watermark to look for.
        bos_token_id: a first token to leave out.
        ignore_repeated_ngrams: count every n-gram once, so that repetition is no evidence.
    """

    def __init__(
        self,
        processor: WatermarkLogitsProcessor,
        *,
        bos_token_id: int | None = None,
        ignore_repeated_ngrams: bool = False,
    ) -> None:
        self.processor = processor
        self.bos_token_id = bos_token_id
        self.ignore_repeated_ngrams = ignore_repeated_ngrams
        self._width = processor.context_width + (processor.seeding_scheme != "selfhash")

    def __call__(self, input_ids: Tensor, z_threshold: float = 3.0) -> WatermarkDetectorOutput:
        """Evidence in texts (B, T).

        Raises:
            PromptError: texts are too short, or only some begin with the first token.
        """
        begins_B = input_ids[:, 0] == (-1 if self.bos_token_id is None else self.bos_token_id)
        if bool(begins_B.any()) != bool(begins_B.all()):
            raise PromptError(
                "only some of the texts begin with bos_token_id", fix="tokenize all texts alike"
            )
        if bool(begins_B.all()):
            input_ids = input_ids[:, 1:]
        if input_ids.shape[1] < max(self._width, self.processor.context_width + 1):
            raise PromptError(
                f"texts of {input_ids.shape[1]} tokens, and {self.processor.context_width} are context only",
                fix=f"give texts of at least {self.processor.context_width + 1} tokens",
            )
        counts = torch.tensor([self._count(row) for row in input_ids.tolist()], dtype=torch.float64)
        scored, green = counts.unbind(dim=1)
        ratio = self.processor.greenlist_size / self.processor.vocab_size
        z = (green - ratio * scored) / (scored * ratio * (1 - ratio)).sqrt()
        p_value = 0.5 * torch.special.erfc(z / math.sqrt(2))
        return WatermarkDetectorOutput(
            num_tokens_scored=scored,
            num_green_tokens=green,
            green_fraction=green / scored,
            z_score=z,
            p_value=p_value,
            prediction=z > z_threshold,
            confidence=1 - p_value,
        )

    def _count(self, ids: list[int]) -> tuple[int, int]:
        """N-grams of a text, and how many of them end in a green token."""
        ngrams = [tuple(ids[i : i + self._width]) for i in range(len(ids) - self._width + 1)]
        green = {ngram: self._is_green(ngram) for ngram in set(ngrams)}
        if self.ignore_repeated_ngrams:
            return len(green), sum(green.values())
        return len(ngrams), sum(green[ngram] for ngram in ngrams)

    def _is_green(self, ngram: tuple[int, ...]) -> bool:
        seed = ngram if self.processor.seeding_scheme == "selfhash" else ngram[:-1]
        return bool((self.processor.green_tokens(torch.tensor(seed)) == ngram[-1]).any())


@final
class BayesianDetectorModel(nn.Module):
    """The probability that a text is marked, from the bits of its n-grams (SynthID).

    Args:
        watermarking_depth: D, rounds of the tournament.
        base_rate: share of marked texts before looking.
    """

    def __init__(self, watermarking_depth: int, base_rate: float = 0.5) -> None:
        super().__init__()
        self.beta = nn.Parameter(-2.5 + 0.001 * torch.randn(1, 1, watermarking_depth))
        self.delta = nn.Parameter(0.001 * torch.randn(1, 1, watermarking_depth, watermarking_depth))
        self.prior = nn.Parameter(torch.tensor([base_rate]))

    def forward(self, g_values_BND: Tensor, mask_BN: Tensor) -> Tensor:
        """Probability (B,) that each text is marked; only n-grams where the mask is set are evidence."""
        marked = self.likelihood(g_values_BND).clamp(min=1e-30).log()
        odds = ((marked - math.log(0.5)) * mask_BN[..., None]).sum(dim=(1, 2))
        prior = self.prior.clamp(1e-5, 1 - 1e-5)
        return torch.sigmoid(prior.log() - (1 - prior).log() + odds)

    def likelihood(self, g_values_BND: Tensor) -> Tensor:
        """Probability of each bit in marked text, (B, N, D)."""
        # A round's bit depends on the bits of the rounds before it.
        before = g_values_BND[..., None, :].expand(-1, -1, g_values_BND.shape[-1], -1).tril(-1)
        logits = (self.delta * before.to(self.delta.dtype)).sum(dim=-1) + self.beta
        two_unique = logits.sigmoid()
        return 0.5 * ((g_values_BND + 0.5) * two_unique + (1 - two_unique))

    def loss(self, g_values_BND: Tensor, mask_BN: Tensor, labels_B: Tensor, weight: float = 1.0) -> Tensor:
        """Binary cross-entropy against labels, and a penalty on large `delta`: what training minimises."""
        posterior = self(g_values_BND, mask_BN).clamp(1e-5, 1 - 1e-5)
        penalty: Tensor = (self.delta**2).sum() * weight
        return nn.functional.binary_cross_entropy(posterior, labels_B.to(posterior.dtype)) + penalty


@final
class SynthIDTextWatermarkDetector:
    """Probability (B,) that generated texts (B, T) carry this processor's watermark."""

    def __init__(
        self,
        detector_module: BayesianDetectorModel,
        logits_processor: SynthIDTextWatermarkLogitsProcessor,
        eos_token_id: int,
    ) -> None:
        self.detector_module = detector_module
        self.logits_processor = logits_processor
        self.eos_token_id = eos_token_id

    def __call__(self, tokenized_outputs: Tensor) -> Tensor:
        """Evidence stops at the first end token, and repeated contexts are none."""
        processor = self.logits_processor
        before_end = processor.compute_eos_token_mask(tokenized_outputs, self.eos_token_id)
        new_context = processor.compute_context_repetition_mask(tokenized_outputs)
        mask_BN = new_context & before_end[:, processor.ngram_len - 1 :]
        result: Tensor = self.detector_module(processor.compute_g_values(tokenized_outputs), mask_BN)
        return result
