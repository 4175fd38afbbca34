"""`generate` gives the peer's tokens: greedy, padded, constrained by options, with beams."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hf_modeling.generation import FinishReason
from hf_modeling.heads.causal_lm import CausalLM

pytestmark = pytest.mark.parity


def prompts(batch: int, length: int, seed: int = 0) -> Tensor:
    return torch.randint(4, 96, (batch, length), generator=torch.Generator().manual_seed(seed))


def padded(side: str) -> tuple[Tensor, Tensor]:
    ids, mask = prompts(3, 9), torch.ones(3, 9, dtype=torch.long)
    for row, gap in enumerate((0, 4, 7)):
        cut = slice(0, gap) if side == "left" else slice(9 - gap, 9)
        ids[row, cut], mask[row, cut] = 1, 0
    return ids, mask


GREEDY: dict[str, dict[str, Any]] = {
    "greedy": {},
    "two ends": {"eos_token_id": [3, 40, 41]},
    "no cache": {"use_cache": False},
    "static cache": {"cache_implementation": "static"},
    "chunked prefill": {"prefill_chunk_size": 3},
    "repetition": {"repetition_penalty": 1.4},
    "ngrams": {"no_repeat_ngram_size": 2},
    "encoder ngrams": {"encoder_no_repeat_ngram_size": 2},
    "bad words": {"bad_words_ids": [[17], [20, 21]]},
    "bias": {"sequence_bias": {(17,): -4.0, (20,): 3.0}},
    "min new tokens": {"min_new_tokens": 8, "eos_token_id": list(range(3, 60))},
    "min length": {"min_length": 14, "eos_token_id": list(range(3, 60))},
    "suppressed": {"suppress_tokens": list(range(10, 40)), "begin_suppress_tokens": [50, 51]},
    "forced end": {"forced_eos_token_id": 3},
    "decay": {"exponential_decay_length_penalty": (3, 1.3)},
    "watermark": {"watermarking_config": {"bias": 3.0}},
    "guidance": {"guidance_scale": 1.5},
}


@pytest.mark.parametrize("case", GREEDY)
def test_greedy(case: str, ours: CausalLM, theirs: Any) -> None:
    ids = prompts(3, 8)
    options = {"max_new_tokens": 24, "do_sample": False, **GREEDY[case]}
    peer_options = dict(options)
    if "watermarking_config" in options:
        from transformers import WatermarkingConfig

        peer_options["watermarking_config"] = WatermarkingConfig(**options["watermarking_config"])
    want = theirs.generate(ids, attention_mask=torch.ones_like(ids), **peer_options)
    got = ours.generate(ids, **options)
    assert got.tolist() == want.tolist()


@pytest.mark.parametrize("case", ["greedy", "repetition", "min new tokens", "static cache", "no cache"])
def test_greedy_with_left_padding(case: str, ours: CausalLM, theirs: Any) -> None:
    ids, mask = padded("left")
    options = {"max_new_tokens": 24, "do_sample": False, **GREEDY[case]}
    want = theirs.generate(ids, attention_mask=mask, **options)
    assert ours.generate(ids, attention_mask=mask, **options).tolist() == want.tolist()


def test_right_padding_gives_the_same_answers(ours: CausalLM) -> None:
    answers = []
    for side in ("left", "right"):
        ids, mask = padded(side)
        generator = torch.Generator().manual_seed(5)
        ids[mask.bool()] = torch.randint(4, 96, (int(mask.sum()),), generator=generator)
        answers.append(ours.generate(ids, attention_mask=mask, max_new_tokens=16)[:, 9:].tolist())
    assert answers[0] == answers[1]


def test_a_mask_is_worked_out_from_padding_tokens(ours: CausalLM) -> None:
    ids, mask = padded("left")
    with_mask = ours.generate(ids, attention_mask=mask, max_new_tokens=8)
    assert torch.equal(ours.generate(ids, max_new_tokens=8), with_mask)


BEAMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "early": {"early_stopping": True},
    "never": {"early_stopping": "never"},
    "longer is better": {"length_penalty": 2.0},
    "shorter is better": {"length_penalty": -1.0, "early_stopping": "never"},
    "several": {"num_return_sequences": 3},
    "two ends": {"eos_token_id": [3, 17, 40]},
    "ngrams": {"no_repeat_ngram_size": 2, "renormalize_logits": True},
    "no cache": {"use_cache": False},
}


@pytest.mark.parametrize("beams", [2, 4])
@pytest.mark.parametrize("case", BEAMS)
def test_beams(case: str, beams: int, ours: CausalLM, theirs: Any) -> None:
    options = {
        "max_new_tokens": 14,
        "num_beams": beams,
        "do_sample": False,
        "output_scores": True,
        "output_logits": True,
        "return_dict_in_generate": True,
        "eos_token_id": list(range(3, 12)),
        **BEAMS[case],
    }
    options["num_return_sequences"] = min(options.get("num_return_sequences", 1), beams)
    for ids, mask in ((prompts(3, 7), torch.ones(3, 7, dtype=torch.long)), padded("left")):
        want = theirs.generate(ids, attention_mask=mask, **options)
        got = ours.generate(ids, attention_mask=mask, **options)
        assert got.sequences.tolist() == want.sequences.tolist()
        torch.testing.assert_close(got.sequences_scores, want.sequences_scores, rtol=1e-4, atol=1e-5)
        assert got.beam_indices.tolist() == want.beam_indices.tolist()
        assert len(got.scores) == len(want.scores)
        for a, b in zip((*got.scores, *got.logits), (*want.scores, *want.logits), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_everything_that_can_be_returned(ours: CausalLM, theirs: Any) -> None:
    ids = prompts(2, 5)
    options: dict[str, Any] = {
        "max_new_tokens": 6,
        "do_sample": False,
        "output_scores": True,
        "output_logits": True,
        "output_attentions": True,
        "output_hidden_states": True,
        "return_dict_in_generate": True,
        "repetition_penalty": 1.2,
    }
    want = theirs.generate(ids, attention_mask=torch.ones_like(ids), **options)
    got = ours.generate(ids, **options)
    assert got.sequences.tolist() == want.sequences.tolist()
    for name in ("scores", "logits"):
        for a, b in zip(getattr(got, name), getattr(want, name), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    for name in ("attentions", "hidden_states"):
        for step, (mine, peers) in enumerate(zip(getattr(got, name), getattr(want, name), strict=True)):
            for a, b in zip(mine, peers, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4, msg=f"{name} of step {step}")
    assert set(got.finish_reasons) == {FinishReason.LENGTH}


def test_sampling_keeps_to_what_the_peer_would_draw_from(ours: CausalLM, theirs: Any) -> None:
    ids = prompts(1, 6)
    options: dict[str, Any] = {
        "max_new_tokens": 1,
        "do_sample": True,
        "temperature": 0.8,
        "top_k": 12,
        "top_p": 0.9,
        "typical_p": 0.95,
        "output_scores": True,
        "return_dict_in_generate": True,
    }
    want = theirs.generate(ids, attention_mask=torch.ones_like(ids), **options).scores[0]
    torch.testing.assert_close(ours.generate(ids, **options).scores[0], want, rtol=1e-5, atol=1e-5)
