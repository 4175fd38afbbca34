"""Processors and criteria from options, in the order that users of `generate` rely on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from hf_config.watermark import BaseWatermarkingConfig, SynthIDTextWatermarkingConfig, WatermarkingConfig
from hf_modeling.generation import processors as p
from hf_modeling.generation.errors import DetokenizerNeededError, OptionError
from hf_modeling.generation.plan import DEFAULT_TOP_K, Plan, token_ids
from hf_modeling.generation.processors.base import LogitsProcessor
from hf_modeling.generation.processors.rules import AllowedTokens
from hf_modeling.generation.prompt import Prompt
from hf_modeling.generation.stopping import (
    MaxTimeCriteria,
    StoppingCriteria,
    StopStringCriteria,
)
from hf_modeling.generation.text import Detokenizer

PROCESSOR_OPTIONS = (
    "do_sample",
    "guidance_scale",
    "sequence_bias",
    "encoder_repetition_penalty",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "min_length",
    "min_new_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
    "suppress_tokens",
    "begin_suppress_tokens",
    "watermarking_config",
    "renormalize_logits",
)
"""Options that a processor may come from; a call with none of them set has none to make."""


def make_processors(
    plan: Plan,
    prompt: Prompt,
    *,
    vocabulary: int,
    custom: Sequence[LogitsProcessor] = (),
    allowed: AllowedTokens | None = None,
    guidance: LogitsProcessor | None = None,
) -> list[LogitsProcessor]:
    """All processors of a call. A custom one replaces the built-in one of its class.

    Raises:
        OptionError: a value that a processor refuses.
    """
    device = prompt.ids.device
    built = [
        *([] if guidance is None else [guidance]),
        *_content(plan, prompt, allowed),
        *_endings(plan, prompt, device),
    ]
    own_kind = {type(processor): processor for processor in custom}
    replaced = [own_kind.get(type(processor), processor) for processor in built]
    rest = [processor for processor in custom if not any(processor is other for other in replaced)]
    return [*replaced, *rest, *_warpers(plan), *_watermarks(plan, prompt, vocabulary), *_normalised(plan)]


def make_criteria(
    plan: Plan, *, custom: Sequence[StoppingCriteria] = (), tokenizer: Detokenizer | None = None
) -> list[StoppingCriteria]:
    """Criteria besides the end tokens and the length.

    Raises:
        DetokenizerNeededError: stop strings without a tokenizer.
    """
    criteria: list[StoppingCriteria] = []
    if plan.config.max_time is not None:
        criteria.append(MaxTimeCriteria(plan.config.max_time))
    if plan.config.stop_strings is not None:
        if tokenizer is None:
            raise DetokenizerNeededError("stop_strings")
        criteria.append(StopStringCriteria(tokenizer, plan.config.stop_strings))
    return [*criteria, *custom]


def _content(plan: Plan, prompt: Prompt, allowed: AllowedTokens | None) -> Iterator[LogitsProcessor]:
    """What was said already, and what may be said."""
    c, padding = plan.config, prompt.padding_B
    generated_from = prompt.ids.shape[1]
    if c.sequence_bias is not None:
        yield p.SequenceBiasLogitsProcessor(dict(c.sequence_bias))
    if c.encoder_repetition_penalty not in (None, 1.0):
        yield p.EncoderRepetitionPenaltyLogitsProcessor(c.encoder_repetition_penalty, prompt.source_ids)
    if c.repetition_penalty not in (None, 1.0):
        yield p.RepetitionPenaltyLogitsProcessor(c.repetition_penalty, padding)
    if plan.frequency_penalty:
        yield p.FrequencyPenaltyLogitsProcessor(plan.frequency_penalty, generated_from)
    if plan.presence_penalty:
        yield p.PresencePenaltyLogitsProcessor(plan.presence_penalty, generated_from)
    if c.no_repeat_ngram_size:
        yield p.NoRepeatNGramLogitsProcessor(c.no_repeat_ngram_size, padding)
    if c.encoder_no_repeat_ngram_size:
        yield p.EncoderNoRepeatNGramLogitsProcessor(c.encoder_no_repeat_ngram_size, prompt.source_ids)
    if c.bad_words_ids is not None:
        yield p.NoBadWordsLogitsProcessor(c.bad_words_ids, plan.eos or None)
    if plan.eos and c.min_length:
        yield p.MinLengthLogitsProcessor(c.min_length, plan.eos, prompt.ids.device)
    if plan.eos and c.min_new_tokens:
        yield p.MinNewTokensLengthLogitsProcessor(
            generated_from, c.min_new_tokens, plan.eos, prompt.ids.device
        )
    if allowed is not None:
        yield p.PrefixConstrainedLogitsProcessor(allowed, plan.num_beams)


def _endings(plan: Plan, prompt: Prompt, device: torch.device) -> Iterator[LogitsProcessor]:
    """How the text begins and ends, and tokens ruled out everywhere."""
    c, length = plan.config, prompt.ids.shape[1]
    # With embeddings the ids hold new tokens only.
    last = plan.max_length - prompt.length + length
    if c.forced_bos_token_id is not None:
        yield p.ForcedBOSTokenLogitsProcessor(c.forced_bos_token_id)
    if c.forced_eos_token_id is not None:
        yield p.ForcedEOSTokenLogitsProcessor(last, token_ids(c.forced_eos_token_id), device)
    if c.remove_invalid_values:
        yield p.InfNanRemoveLogitsProcessor()
    if c.exponential_decay_length_penalty is not None:
        if not plan.eos:
            raise OptionError("eos_token_id", None, "given with exponential_decay_length_penalty")
        yield p.ExponentialDecayLengthPenalty(c.exponential_decay_length_penalty, plan.eos, length)
    if c.suppress_tokens is not None:
        yield p.SuppressTokensLogitsProcessor(c.suppress_tokens, device)
    if c.begin_suppress_tokens is not None:
        forced_first = c.forced_bos_token_id is not None and length <= 1
        yield p.SuppressTokensAtBeginLogitsProcessor(c.begin_suppress_tokens, length + forced_first, device)


def _warpers(plan: Plan) -> Iterator[LogitsProcessor]:
    """What reshapes the distribution that is sampled from."""
    c = plan.config
    if not c.do_sample:
        return
    # Beams need more to choose from than the tokens that would end them all.
    keep = 1 if plan.num_beams == 1 else max(2, len(plan.eos) + 1)
    if c.temperature not in (None, 1.0):
        yield p.TemperatureLogitsWarper(c.temperature)
    if c.top_h is not None:
        yield p.TopHLogitsWarper(c.top_h)
    top_k = DEFAULT_TOP_K if c.top_k is None else c.top_k
    if top_k:
        yield p.TopKLogitsWarper(top_k, min_tokens_to_keep=keep)
    if c.top_p is not None and c.top_p < 1:
        yield p.TopPLogitsWarper(c.top_p, min_tokens_to_keep=keep)
    if c.min_p is not None:
        yield p.MinPLogitsWarper(c.min_p, min_tokens_to_keep=keep)
    if c.typical_p is not None and c.typical_p < 1:
        yield p.TypicalLogitsWarper(c.typical_p, min_tokens_to_keep=keep)
    if c.epsilon_cutoff:
        yield p.EpsilonLogitsWarper(c.epsilon_cutoff, min_tokens_to_keep=keep)
    if c.eta_cutoff:
        yield p.EtaLogitsWarper(c.eta_cutoff, min_tokens_to_keep=keep)


def _watermarks(plan: Plan, prompt: Prompt, vocabulary: int) -> Iterator[LogitsProcessor]:
    if plan.config.watermarking_config is not None:
        yield watermark_processor(
            plan.config.watermarking_config, vocabulary, prompt.ids.device, prompt_length=prompt.ids.shape[1]
        )


def watermark_processor(
    config: BaseWatermarkingConfig,
    vocabulary: int,
    device: torch.device | str = "cpu",
    *,
    prompt_length: int = 0,
) -> p.WatermarkLogitsProcessor | p.SynthIDTextWatermarkLogitsProcessor:
    """The processor of a watermark, to mark with or to give to a detector."""
    match config:
        case WatermarkingConfig():
            return p.WatermarkLogitsProcessor(
                vocabulary,
                device,
                greenlist_ratio=config.greenlist_ratio,
                bias=config.bias,
                hashing_key=config.hashing_key,
                seeding_scheme=config.seeding_scheme,
                context_width=config.context_width,
            )
        case SynthIDTextWatermarkingConfig():
            return p.SynthIDTextWatermarkLogitsProcessor(
                config.ngram_len,
                config.keys,
                sampling_table_size=config.sampling_table_size,
                sampling_table_seed=config.sampling_table_seed,
                context_history_size=config.context_history_size,
                device=device,
                skip_first_ngram_calls=config.skip_first_ngram_calls,
                debug_mode=config.debug_mode,
                prompt_length=prompt_length,
            )
        case _:
            raise OptionError("watermarking_config", config, "one of the known watermarks")


def _normalised(plan: Plan) -> Iterator[LogitsProcessor]:
    if plan.config.renormalize_logits:
        yield p.LogitNormalization()
