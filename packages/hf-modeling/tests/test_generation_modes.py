"""Ways to decode: assisted equals unassisted, contrast and diversity do what their formulas say."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from hf_modeling.generation import FinishReason
from hf_modeling.generation.constraints import Progress, as_words, progress
from hf_modeling.generation.dola import candidate_layers, contrasted
from hf_modeling.generation.errors import ContradictionError, OptionError
from hf_modeling.heads.causal_lm import CausalLM
from hf_modeling.testing.tiny import EOS, VOCABULARY, llama, prompts


@pytest.fixture(scope="module")
def model() -> CausalLM:
    return llama()


@pytest.fixture(scope="module")
def assistant(model: CausalLM) -> CausalLM:
    """Nearly the model: most of its guesses are right, not all."""
    close = llama()
    with torch.no_grad():
        for parameter in close.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return close


DRAFTERS: dict[str, dict[str, Any]] = {
    "prompt lookup": {"prompt_lookup_num_tokens": 5, "max_matching_ngram_size": 3},
    "early exit": {
        "assistant_early_exit": 2,
        "assistant_confidence_threshold": 0.0,
        "num_assistant_tokens": 4,
    },
}


@pytest.mark.parametrize("drafter", ["assistant", "assistant with schedule", *DRAFTERS])
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_assisted_greedy_equals_greedy(
    drafter: str, cache: Any, model: CausalLM, assistant: CausalLM
) -> None:
    options: dict[str, Any] = {"max_new_tokens": 30, "repetition_penalty": 1.1, "cache_implementation": cache}
    extra: dict[str, Any] = DRAFTERS.get(drafter) or {"assistant_model": assistant, "num_assistant_tokens": 5}
    if drafter.endswith("schedule"):
        extra |= {"num_assistant_tokens_schedule": "heuristic", "assistant_confidence_threshold": 0.0}
    ids = torch.cat([prompts(3, 6), prompts(3, 6)], dim=1)
    assert torch.equal(model.generate(ids, **options, **extra), model.generate(ids, **options))


def test_assisted_output_records_one_score_a_token(model: CausalLM, assistant: CausalLM) -> None:
    options: dict[str, Any] = {"max_new_tokens": 12, "output_scores": True, "return_dict_in_generate": True}
    plain = model.generate(prompts(1, 5), **options)
    helped = model.generate(prompts(1, 5), assistant_model=assistant, **options)
    assert helped.finish_reasons == plain.finish_reasons
    assert helped.scores is not None
    assert plain.scores is not None
    for a, b in zip(helped.scores, plain.scores, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def chi_square(counts: Tensor, probabilities: Tensor) -> tuple[float, int]:
    expected = probabilities * counts.sum()
    seen = expected >= 5
    rest = torch.stack([counts[~seen].sum(), expected[~seen].sum()])
    parts = (counts[seen] - expected[seen]) ** 2 / expected[seen]
    return float(parts.sum() + (rest[0] - rest[1]) ** 2 / rest[1].clamp(min=1)), int(seen.sum())


@pytest.mark.parametrize("drafter", ["assistant", *DRAFTERS])
def test_assisted_sampling_draws_from_the_models_distribution(
    drafter: str, model: CausalLM, assistant: CausalLM
) -> None:
    """The second new token's distribution, over many short texts, is the model's own."""
    extra: dict[str, Any] = DRAFTERS.get(drafter) or {
        "assistant_model": assistant,
        "num_assistant_tokens": 3,
        "assistant_confidence_threshold": 0.0,
    }
    sampling: dict[str, Any] = {"do_sample": True, "temperature": 0.7, "top_k": 6, "eos_token_id": None}
    ids = torch.tensor([[5, 6, 7, 5, 6]])
    torch.manual_seed(1)
    n = 700
    texts = model.generate(ids.expand(n, -1), max_new_tokens=3, **sampling, **extra)[:, 5:7]
    exact = torch.zeros(VOCABULARY, VOCABULARY, dtype=torch.double)
    first = step_probabilities(model, ids, sampling)
    for token in first.nonzero()[:, 0].tolist():
        following = step_probabilities(model, torch.cat([ids, torch.tensor([[token]])], dim=1), sampling)
        exact[token] = first[token] * following
    counts = torch.zeros_like(exact)
    for a, b in texts.tolist():
        counts[a, b] += 1
    assert counts[exact == 0].sum() == 0
    statistic, cells = chi_square(counts[exact > 0], exact[exact > 0])
    assert statistic < cells + 4 * math.sqrt(2 * cells) + 5


def step_probabilities(model: CausalLM, ids: Tensor, sampling: dict[str, Any]) -> Tensor:
    output = model.generate(
        ids, max_new_tokens=1, output_scores=True, return_dict_in_generate=True, **sampling
    )
    assert output.scores is not None
    return output.scores[0][0].double().softmax(-1)


def test_an_assistant_with_other_tokens_needs_tokenizers(model: CausalLM) -> None:
    with pytest.raises(OptionError, match="assistant_model"):
        model.generate(prompts(1, 4), assistant_model=llama(vocab_size=70), max_new_tokens=4)


class Shifted:
    """A tokenizer of letters: id 4 + shift is a, and so on."""

    def __init__(self, shift: int) -> None:
        self.shift = shift

    def get_vocab(self) -> dict[str, int]:
        return {chr(97 + i): 4 + i + self.shift for i in range(26)}

    def encode(self, text: str, *, add_special_tokens: bool = True) -> list[int]:
        return [ord(c) - 97 + 4 + self.shift for c in text]

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = False) -> str:
        return "".join(chr(97 + i - 4 - self.shift) for i in token_ids if 0 <= i - 4 - self.shift < 26)


def test_an_assistant_with_other_tokens(model: CausalLM) -> None:
    letters: dict[str, Any] = {"suppress_tokens": [*range(4), *range(30, 64)], "max_new_tokens": 12}
    ids = torch.randint(4, 30, (2, 6), generator=torch.Generator().manual_seed(2))
    plain = model.generate(ids, **letters)
    helped = model.generate(
        ids,
        assistant_model=llama(1, vocab_size=80),
        tokenizer=Shifted(0),
        assistant_tokenizer=Shifted(20),
        **letters,
    )
    assert torch.equal(plain, helped)


def test_contrastive_search_with_alpha_near_zero_is_greedy(model: CausalLM) -> None:
    ids = prompts(2, 6)
    greedy = model.generate(ids, max_new_tokens=12)
    assert torch.equal(model.generate(ids, max_new_tokens=12, penalty_alpha=1e-6, top_k=4), greedy)
    assert not torch.equal(model.generate(ids, max_new_tokens=12, penalty_alpha=0.9, top_k=4), greedy)


def test_contrastive_search_chooses_what_its_formula_says(model: CausalLM) -> None:
    ids, alpha, k = prompts(1, 6), 0.6, 5
    chosen = int(model.generate(ids, max_new_tokens=1, penalty_alpha=alpha, top_k=k)[0, -1])
    with torch.no_grad():
        likely = model(ids).logits[0, -1].softmax(-1).topk(k)
        values = []
        for probability, token in zip(*likely, strict=True):
            hidden = model.model(torch.cat([ids, token.view(1, 1)], dim=1)).last_hidden_state[0]
            alike = torch.nn.functional.cosine_similarity(hidden[:-1], hidden[-1:], dim=-1).max()
            values.append(float((1 - alpha) * probability - alpha * alike))
    assert chosen == int(likely.indices[values.index(max(values))])


@pytest.mark.parametrize("mode", [{"penalty_alpha": 0.6, "top_k": 4}, {"dola_layers": "high"}])
def test_padding_changes_nothing(mode: dict[str, Any], model: CausalLM) -> None:
    long, short = prompts(1, 8), prompts(1, 5, seed=1)
    both = torch.cat([long, torch.nn.functional.pad(short, (3, 0))])
    mask = torch.ones_like(both)
    mask[1, :3] = 0
    together = model.generate(both, attention_mask=mask, max_new_tokens=9, eos_token_id=None, **mode)
    for row, alone in enumerate((long, short)):
        single = model.generate(alone, max_new_tokens=9, eos_token_id=None, **mode)
        assert together[row, -9:].tolist() == single[0, -9:].tolist()


def test_contrast_between_layers() -> None:
    last = torch.tensor([[4.0, 3.9, -9.0], [1.0, 5.0, 1.0]])
    same, other = last.clone(), torch.tensor([[5.0, 1.0, 1.0], [0.0, 0.0, 6.0]])
    got = contrasted(last, torch.stack([same, other]))
    want = last.log_softmax(-1) - other.log_softmax(-1)
    torch.testing.assert_close(got[0, :2], want[0, :2])
    assert got[0].argmax() == 1, "what the earlier layer did not know yet wins"
    assert got[0, 2] == float("-inf")


def test_which_layers_are_contrasted() -> None:
    assert candidate_layers("low", 12, tied=False) == [0, 2, 4]
    assert candidate_layers("low", 12, tied=True) == [2, 4]
    assert candidate_layers("high", 12, tied=False) == [6, 8, 10]
    assert candidate_layers("low", 4, tied=True) == [2]
    assert candidate_layers("high", 48, tied=True) == list(range(28, 48, 2))
    assert candidate_layers([1, 3, 99], 8, tied=False) == [1, 3]
    for wrong in ("middle", [99]):
        with pytest.raises(OptionError, match="dola_layers"):
            candidate_layers(wrong, 8, tied=False)


def test_groups_of_beams_differ(model: CausalLM) -> None:
    ids = prompts(2, 5)
    alike = model.generate(ids, max_new_tokens=6, num_beams=4, num_beam_groups=2, num_return_sequences=4)
    plain = model.generate(ids, max_new_tokens=6, num_beams=2, num_return_sequences=2)
    for prompt in range(2):
        texts = Counter(map(tuple, alike[4 * prompt : 4 * prompt + 4].tolist()))
        assert texts == Counter({tuple(t): 2 for t in plain[2 * prompt : 2 * prompt + 2].tolist()})
    diverse = model.generate(
        ids, max_new_tokens=6, num_beams=4, num_beam_groups=4, num_return_sequences=4, diversity_penalty=50.0
    )
    for prompt in range(2):
        assert len(set(diverse[4 * prompt : 4 * prompt + 4, 5].tolist())) == 4


def test_beam_sampling_is_random_and_ends(model: CausalLM) -> None:
    torch.manual_seed(0)
    output = model.generate(
        prompts(2, 5),
        max_new_tokens=8,
        num_beams=3,
        do_sample=True,
        temperature=1.5,
        num_return_sequences=2,
        return_dict_in_generate=True,
    )
    assert output.sequences.shape[0] == 4
    assert all(reason in (FinishReason.LENGTH, FinishReason.STOP) for reason in output.finish_reasons)


@pytest.mark.parametrize("end", [EOS, None])
def test_constrained_beams_say_every_word(end: int | None, model: CausalLM) -> None:
    words = [[33, 34, 35], [50], [[40, 41], [44, 45]]]
    output = model.generate(
        prompts(3, 5),
        max_new_tokens=12,
        num_beams=6,
        num_return_sequences=2,
        force_words_ids=words,
        eos_token_id=end,
        return_dict_in_generate=True,
    )
    for text in output.sequences[:, 5:].tolist():
        assert progress(text, as_words(words)).complete
    # Of 12 tokens six are given; the search still prefers what the model likes.
    assert output.sequences_scores is not None
    assert (output.sequences_scores > -40).all()


def test_constrained_beams_are_exact_when_all_texts_fit() -> None:
    model = llama(vocab_size=5, eos_token_id=None, pad_token_id=None, bos_token_id=None)
    ids = torch.tensor([[3, 4]])
    with torch.no_grad():
        texts = torch.cartesian_prod(*[torch.arange(5)] * 3)
        full = torch.cat([ids.expand(len(texts), -1), texts], dim=1)
        log_p = model(full).logits.log_softmax(-1)[:, 1:-1].gather(2, texts[..., None])[..., 0].sum(1)
    allowed = torch.tensor([progress(text, as_words([[2, 2]])).complete for text in texts.tolist()])
    best = texts[log_p.masked_fill(~allowed, -1e9).argmax()].tolist()
    found = model.generate(ids, max_new_tokens=3, num_beams=40, force_words_ids=[[2, 2]])
    assert found[0, 2:].tolist() == best


def test_progress_with_constraints() -> None:
    words = as_words([[1, 2, 1, 3], [7]])
    assert progress([], words) == Progress(0, False, frozenset({1, 7}))
    assert progress([1, 2, 1], words) == Progress(3, False, frozenset({3, 1, 7}))
    assert progress([1, 2, 1, 2], words).tokens == 2
    assert progress([7, 1, 2, 1, 3], words) == Progress(5, True, frozenset())


@pytest.mark.parametrize("words", [[[]], [5], [[[]]], [[-1]], ["ab"]])
def test_wrong_constraints_are_refused(words: Any, model: CausalLM) -> None:
    with pytest.raises((OptionError, ContradictionError)):
        model.generate(prompts(1, 4), max_new_tokens=4, num_beams=3, force_words_ids=words)


def test_words_that_do_not_fit_are_refused(model: CausalLM) -> None:
    with pytest.raises(ContradictionError, match="3 tokens"):
        model.generate(prompts(1, 4), max_new_tokens=2, num_beams=3, force_words_ids=[[5, 6, 7]])


def test_enough_beams_find_the_best_text() -> None:
    """With as many beams as there are texts, the search is exhaustive."""
    model = llama(vocab_size=6, eos_token_id=None, pad_token_id=None, bos_token_id=None)
    ids = torch.tensor([[3, 4]])
    with torch.no_grad():
        texts = torch.cartesian_prod(*[torch.arange(6)] * 3)
        full = torch.cat([ids.expand(len(texts), -1), texts], dim=1)
        log_p = model(full).logits.log_softmax(-1)[:, 1:-1].gather(2, texts[..., None])[..., 0].sum(1)
    best = model.generate(ids, max_new_tokens=3, num_beams=36)
    assert best[0, 2:].tolist() == texts[log_p.argmax()].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {"num_beams": 3, "prompt_lookup_num_tokens": 4},
        {"num_beams": 3, "dola_layers": "low"},
        {"penalty_alpha": 0.5, "top_k": 4, "dola_layers": "low"},
        {"num_beams": 4, "num_beam_groups": 2, "do_sample": True},
        {"temperature": 0.5},
        {"num_beams": 4, "top_p": 0.5},
        {"length_penalty": 2.0},
        {"guidance_scale": 2.0, "num_beams": 2},
        {"use_cache": False, "cache_implementation": "static"},
        {"use_cache": False, "prompt_lookup_num_tokens": 3},
        {"use_cache": False, "penalty_alpha": 0.5, "top_k": 4},
    ],
)
def test_contradicting_options_are_refused(options: dict[str, Any], model: CausalLM) -> None:
    with pytest.raises(ContradictionError):
        model.generate(prompts(1, 4), max_new_tokens=4, **options)


def test_an_ended_sequence_is_filled(model: CausalLM) -> None:
    ends: dict[str, Any] = {"eos_token_id": list(range(2, 20)), "pad_token_id": 60}
    output = model.generate(prompts(6, 4), max_new_tokens=20, return_dict_in_generate=True, **ends)
    for text, reason in zip(output.sequences[:, 4:].tolist(), output.finish_reasons, strict=True):
        end = next((i for i, token in enumerate(text) if 2 <= token < 20), None)
        if end is None:
            assert reason is FinishReason.LENGTH
        else:
            assert reason is FinishReason.STOP
            assert set(text[end + 1 :]) <= {60}
    assert FinishReason.STOP in output.finish_reasons
    assert EOS == 2
