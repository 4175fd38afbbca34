"""Watermark detectors see what the peer's see, and separate marked text from unmarked."""

from __future__ import annotations

import pytest
import torch

from hf_modeling.generation.errors import PromptError
from hf_modeling.generation.processors import SynthIDTextWatermarkLogitsProcessor, WatermarkLogitsProcessor
from hf_modeling.generation.watermark_detection import (
    BayesianDetectorModel,
    SynthIDTextWatermarkDetector,
    WatermarkDetector,
)

peer = pytest.importorskip("transformers.generation.watermarking")
pytestmark = pytest.mark.parity

VOCABULARY = 64


def text(processor: object, length: int, seed: int, prompt: int = 3) -> torch.Tensor:
    """Sampled from a uniform model, marked by `processor` if there is one."""
    torch.manual_seed(seed)
    ids = torch.randint(0, VOCABULARY, (2, prompt))
    while ids.shape[1] < length:
        scores = torch.randn(2, VOCABULARY)
        if callable(processor):
            scores = processor(ids, scores)
        ids = torch.cat([ids, torch.multinomial(scores.softmax(-1), 1)], dim=1)
    return ids


@pytest.mark.parametrize("repeated", [False, True])
@pytest.mark.parametrize("scheme", ["lefthash", "selfhash"])
def test_green_lists(scheme: str, repeated: bool) -> None:
    from transformers import LlamaConfig, WatermarkingConfig

    options = {"greenlist_ratio": 0.25, "bias": 4.0, "seeding_scheme": scheme, "context_width": 1}
    processor = WatermarkLogitsProcessor(VOCABULARY, **options)  # type: ignore[arg-type]  # spelled as a mapping
    config = LlamaConfig(vocab_size=VOCABULARY, bos_token_id=1)
    theirs = peer.WatermarkDetector(config, "cpu", WatermarkingConfig(**options), repeated)
    mine = WatermarkDetector(processor, bos_token_id=1, ignore_repeated_ngrams=repeated)
    marked, unmarked = text(processor, 60, 1), text(None, 60, 2)
    for ids in (marked, unmarked, torch.cat([torch.ones(2, 1, dtype=torch.long), marked], dim=1)):
        want, got = theirs(ids, return_dict=True), mine(ids)
        for name in ("num_tokens_scored", "num_green_tokens", "z_score", "p_value", "confidence"):
            want_value = torch.as_tensor(getattr(want, name)).double()
            torch.testing.assert_close(getattr(got, name), want_value, rtol=1e-6, atol=1e-9)
        assert got.prediction.tolist() == want.prediction.tolist()
    assert mine(marked).prediction.all()
    assert not mine(unmarked).prediction.any()


def test_texts_have_to_be_comparable() -> None:
    detector = WatermarkDetector(WatermarkLogitsProcessor(VOCABULARY), bos_token_id=1)
    with pytest.raises(PromptError, match="only some"):
        detector(torch.tensor([[1, 2, 3], [2, 2, 3]]))
    with pytest.raises(PromptError, match="at least 2"):
        detector(torch.tensor([[2]]))


def test_synthid() -> None:
    keys = [654, 400, 836, 123, 340, 443, 597, 160]
    processor = SynthIDTextWatermarkLogitsProcessor(4, keys, prompt_length=3)
    ids = text(processor, 80, 5)[:, 3:]
    config = peer.BayesianDetectorConfig(watermarking_depth=len(keys), base_rate=0.5)
    theirs, mine = peer.BayesianDetectorModel(config), BayesianDetectorModel(len(keys))
    with torch.no_grad():
        for parameter in mine.parameters():
            parameter.add_(torch.rand(parameter.shape) * 0.1)
        theirs.likelihood_model_watermarked.beta.copy_(mine.beta)
        theirs.likelihood_model_watermarked.delta.copy_(mine.delta)
        theirs.prior.copy_(mine.prior)
        bits = processor.compute_g_values(ids)
        mask = processor.compute_context_repetition_mask(ids)
        torch.testing.assert_close(mine(bits, mask), theirs(bits, mask)[0])
        labels = torch.tensor([1.0, 0.0])
        torch.testing.assert_close(mine.loss(bits, mask, labels), theirs(bits, mask, labels)[1])
        detector = SynthIDTextWatermarkDetector(mine, processor, eos_token_id=VOCABULARY + 1)
        torch.testing.assert_close(detector(ids), theirs(bits, mask)[0])


def test_synthid_bits_tell_marked_from_unmarked() -> None:
    processor = SynthIDTextWatermarkLogitsProcessor(4, list(range(100, 130)), prompt_length=3)
    marked = processor.compute_g_values(text(processor, 150, 7)[:, 3:]).double().mean()
    unmarked = processor.compute_g_values(text(None, 150, 7)[:, 3:]).double().mean()
    assert marked > unmarked + 0.02
    assert abs(float(unmarked) - 0.5) < 0.02
