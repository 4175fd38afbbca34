"""Every logits processor gives the peer's numbers on random logits, edge cases included."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hf_modeling.generation import processors as ours

peer = pytest.importorskip("transformers.generation.logits_process")
pytestmark = pytest.mark.parity

VOCABULARY, BATCH, LENGTH = 53, 4, 11
Make = Callable[..., Callable[[Tensor, Tensor], Tensor]]


def logits(seed: int, kind: str) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(BATCH, VOCABULARY, generator=generator) * 3
    if kind == "masked":
        return scores.masked_fill(torch.rand(scores.shape, generator=generator) < 0.6, float("-inf"))
    if kind == "peaked":
        return scores.index_fill(1, torch.tensor([5]), 80.0)
    return scores


def ids(seed: int, length: int = LENGTH) -> Tensor:
    # Few distinct tokens, so that n-grams and sequences do repeat.
    return torch.randint(0, 5, (BATCH, length), generator=torch.Generator().manual_seed(seed))


EOS = [3, 7]
SOURCE = torch.randint(0, 5, (BATCH // 2, 9), generator=torch.Generator().manual_seed(99))
BIAS = {(2,): 1.5, (4,): -2.0, (1, 2): 3.0, (2, 2): -1.0, (1, 2, 3): 4.0, (0, 1, 2, 3): 0.5}

CASES: dict[str, tuple[str, tuple[object, ...]]] = {
    "temperature": ("TemperatureLogitsWarper", (0.7,)),
    "top_k": ("TopKLogitsWarper", (5,)),
    "top_k over vocabulary": ("TopKLogitsWarper", (500,)),
    "top_k kept": ("TopKLogitsWarper", (1, float("-inf"), 3)),
    "top_p": ("TopPLogitsWarper", (0.8,)),
    "top_p 0": ("TopPLogitsWarper", (0.0,)),
    "top_p 1": ("TopPLogitsWarper", (1.0,)),
    "top_p kept": ("TopPLogitsWarper", (0.1, -50.0, 4)),
    "top_h": ("TopHLogitsWarper", (0.4,)),
    "min_p": ("MinPLogitsWarper", (0.1,)),
    "min_p kept": ("MinPLogitsWarper", (0.9, float("-inf"), 3)),
    "typical": ("TypicalLogitsWarper", (0.5,)),
    "typical kept": ("TypicalLogitsWarper", (0.2, float("-inf"), 3)),
    "epsilon": ("EpsilonLogitsWarper", (0.03,)),
    "epsilon high": ("EpsilonLogitsWarper", (0.999, float("-inf"), 2)),
    "eta": ("EtaLogitsWarper", (0.1,)),
    "eta kept": ("EtaLogitsWarper", (0.9, float("-inf"), 3)),
    "repetition": ("RepetitionPenaltyLogitsProcessor", (1.3,)),
    "repetition reward": ("RepetitionPenaltyLogitsProcessor", (0.7, 4)),
    "repetition rows": ("RepetitionPenaltyLogitsProcessor", (1.3, torch.tensor([0, 3, 11, 5]))),
    "encoder repetition": ("EncoderRepetitionPenaltyLogitsProcessor", (1.4, SOURCE)),
    "unigrams": ("NoRepeatNGramLogitsProcessor", (1,)),
    "trigrams": ("NoRepeatNGramLogitsProcessor", (3,)),
    "long ngrams": ("NoRepeatNGramLogitsProcessor", (50,)),
    "encoder bigrams": ("EncoderNoRepeatNGramLogitsProcessor", (2, SOURCE)),
    "encoder trigrams": ("EncoderNoRepeatNGramLogitsProcessor", (3, SOURCE)),
    "encoder long": ("EncoderNoRepeatNGramLogitsProcessor", (30, SOURCE)),
    "sequence bias": ("SequenceBiasLogitsProcessor", (BIAS,)),
    "sequence bias list": ("SequenceBiasLogitsProcessor", ([[[2], 1.0], [[1, 3], -5.0]],)),
    "bad words": ("NoBadWordsLogitsProcessor", ([[1], [2, 3], [3]], EOS)),
    "bad words no eos": ("NoBadWordsLogitsProcessor", ([[7]], None)),
    "min length": ("MinLengthLogitsProcessor", (LENGTH + 1, EOS)),
    "min length reached": ("MinLengthLogitsProcessor", (LENGTH, 7)),
    "min new tokens": ("MinNewTokensLengthLogitsProcessor", (5, 7, EOS)),
    "min new tokens reached": ("MinNewTokensLengthLogitsProcessor", (5, 6, EOS)),
    "forced eos": ("ForcedEOSTokenLogitsProcessor", (LENGTH + 1, EOS)),
    "forced eos early": ("ForcedEOSTokenLogitsProcessor", (LENGTH + 2, EOS)),
    "inf nan": ("InfNanRemoveLogitsProcessor", ()),
    "decay": ("ExponentialDecayLengthPenalty", ((2, 1.2), EOS, 5)),
    "decay later": ("ExponentialDecayLengthPenalty", ((9, 1.2), EOS, 5)),
    "normalise": ("LogitNormalization", ()),
    "suppress": ("SuppressTokensLogitsProcessor", ([0, 9],)),
    "suppress at begin": ("SuppressTokensAtBeginLogitsProcessor", ([0, 9], LENGTH)),
    "suppress later": ("SuppressTokensAtBeginLogitsProcessor", ([0, 9], LENGTH - 1)),
    "alternating": ("AlternatingCodebooksLogitsProcessor", (3, 20, 10)),
    "alternating second": ("AlternatingCodebooksLogitsProcessor", (4, 20, 10)),
    "bark eos": ("BarkEosPrioritizerLogitsProcessor", (EOS, 0.05)),
    "watermark": ("WatermarkLogitsProcessor", (VOCABULARY, "cpu")),
    "watermark selfhash": ("WatermarkLogitsProcessor", (VOCABULARY, "cpu", 0.4, 1.5, 77, "selfhash", 3)),
    "watermark short": (
        "WatermarkLogitsProcessor",
        (VOCABULARY, "cpu", 0.4, 1.5, 77, "lefthash", LENGTH + 1),
    ),
    "dia eos filter": ("DiaEOSChannelFilterLogitsProcessor", (2, 40)),
}


@pytest.mark.parametrize("kind", ["plain", "masked", "peaked"])
@pytest.mark.parametrize("case", CASES)
def test_equal_to_the_peer(case: str, kind: str) -> None:
    name, arguments = CASES[case]
    mine = getattr(ours, name)(*arguments)
    theirs = getattr(peer, name)(*arguments)
    for seed in range(3):
        before, tokens = logits(seed, kind), ids(seed)
        given = before.clone()
        got = mine(tokens, given)
        assert torch.equal(given, before), "the argument was changed"
        torch.testing.assert_close(got, theirs(tokens, before.clone()), rtol=1e-6, atol=1e-6)


def test_one_token_so_far() -> None:
    for name, arguments in {
        "ForcedBOSTokenLogitsProcessor": (6,),
        "NoRepeatNGramLogitsProcessor": (2,),
        "SequenceBiasLogitsProcessor": (BIAS,),
        "EncoderNoRepeatNGramLogitsProcessor": (3, SOURCE),
    }.items():
        scores, tokens = logits(0, "plain"), ids(0, 1)
        got = getattr(ours, name)(*arguments)(tokens, scores)
        torch.testing.assert_close(got, getattr(peer, name)(*arguments)(tokens, scores), rtol=1e-6, atol=1e-6)


def test_inf_and_nan_are_removed_alike() -> None:
    scores = torch.tensor([[float("nan"), float("inf"), float("-inf"), 1.0]])
    got = ours.InfNanRemoveLogitsProcessor()(ids(0), scores)
    assert torch.equal(got, peer.InfNanRemoveLogitsProcessor()(ids(0), scores))


@pytest.mark.parametrize("num_beams", [1, 2])
def test_prefix_constraint(num_beams: int) -> None:
    def allowed(prompt: int, tokens: Tensor) -> list[int]:
        return [prompt, int(tokens[-1]), 9]

    scores = logits(0, "masked")
    scores[:, [0, 1, 2, 3, 4, 9]] = float("-inf")  # every allowed token is ruled out already
    for given in (scores, logits(1, "plain")):
        got = ours.PrefixConstrainedLogitsProcessor(allowed, num_beams)(ids(0), given)
        want = peer.PrefixConstrainedLogitsProcessor(allowed, num_beams)(ids(0), given)
        assert torch.equal(got, want)


@pytest.mark.parametrize(
    "name", ["ClassifierFreeGuidanceLogitsProcessor", "DiaClassifierFreeGuidanceLogitsProcessor"]
)
def test_guidance(name: str) -> None:
    arguments = (1.7, 6) if name.startswith("Dia") else (1.7,)
    got = getattr(ours, name)(*arguments)(ids(0)[:2], logits(0, "plain"))
    want = getattr(peer, name)(*arguments)(ids(0)[:2], logits(0, "plain"))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("history", [1024, 3])
def test_synthid_over_a_whole_text(skip: bool, history: int) -> None:
    keys, prompt = [654, 400, 836, 123, 340], 4
    options = (3, keys, 2**10, 5, history, torch.device("cpu"), skip)
    mine = ours.SynthIDTextWatermarkLogitsProcessor(*options, prompt_length=prompt)
    theirs = peer.SynthIDTextWatermarkLogitsProcessor(*options)
    tokens = ids(1, 40)
    for length in range(prompt, 40):
        scores = logits(length, "plain")
        got, want = mine(tokens[:, :length], scores), theirs(tokens[:, :length], scores)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
    assert torch.equal(mine.compute_g_values(tokens), theirs.compute_g_values(tokens))
    want_mask = theirs.compute_context_repetition_mask(tokens)
    assert torch.equal(mine.compute_context_repetition_mask(tokens), want_mask)
    assert torch.equal(
        mine.compute_eos_token_mask(tokens, 3), theirs.compute_eos_token_mask(tokens, 3).bool()
    )
    assert mine.expected_mean_g_value(VOCABULARY) == theirs.expected_mean_g_value(VOCABULARY)


@pytest.mark.parametrize("detect", [True, False])
def test_whisper_timestamps(detect: bool) -> None:
    from transformers import GenerationConfig

    config = GenerationConfig(eos_token_id=20, no_timestamps_token_id=30, max_initial_timestamp_index=3)
    theirs = peer.WhisperTimeStampLogitsProcessor(
        config, begin_index=2, _detect_timestamp_from_logprob=detect
    )
    mine = ours.WhisperTimeStampLogitsProcessor(
        no_timestamps_token_id=30,
        eos_token_id=20,
        begin_index=2,
        max_initial_timestamp_index=3,
        detect_timestamp_from_logprob=detect,
    )
    generator = torch.Generator().manual_seed(3)
    for length in (2, 3, 4, 8):
        tokens = torch.randint(25, 40, (BATCH, length), generator=generator)
        scores = logits(length, "plain")
        torch.testing.assert_close(mine(tokens, scores), theirs(tokens, scores), rtol=1e-6, atol=1e-6)


def test_whisper_no_speech() -> None:
    mine, theirs = ours.WhisperNoSpeechDetection(9, 1), peer.WhisperNoSpeechDetection(9, 1)
    scores = logits(0, "plain")
    assert torch.equal(mine(ids(0, 1), scores), scores)
    theirs(ids(0, 1), scores)
    assert mine.no_speech_prob is not None
    torch.testing.assert_close(mine.no_speech_prob, theirs.no_speech_prob)


def test_dia_delay_pattern() -> None:
    mine = ours.DiaEOSDelayPatternLogitsProcessor([0, 1, 3], 2, 30)
    theirs = peer.DiaEOSDelayPatternLogitsProcessor([0, 1, 3], 2, 30)
    for step in range(8):
        scores = torch.randn(6, 10, generator=torch.Generator().manual_seed(step))
        tokens = torch.zeros(2, 20 + step, dtype=torch.long)
        torch.testing.assert_close(mine(tokens, scores), theirs(tokens, scores.clone()))
