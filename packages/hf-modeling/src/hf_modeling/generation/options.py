"""The options of `generate`: the fields of `GenerationConfig`, and what a file cannot hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, TypedDict

from torch import Tensor

from hf_config import GenerationConfig
from hf_modeling.generation.errors import ContradictionError, UnknownOptionError

if TYPE_CHECKING:
    from hf_config.generation import CacheImplementation, CompileConfig
    from hf_config.watermark import BaseWatermarkingConfig
    from hf_modeling.cache import Cache
    from hf_modeling.generation.grammar import Grammar, GrammarTokenizer
    from hf_modeling.generation.model import LanguageModel
    from hf_modeling.generation.processors.base import LogitsProcessor
    from hf_modeling.generation.processors.bias import SequenceBias
    from hf_modeling.generation.processors.rules import AllowedTokens
    from hf_modeling.generation.stopping import StoppingCriteria
    from hf_modeling.generation.streamers import BaseStreamer
    from hf_modeling.generation.text import Tokenizer


class GenerateOptions(TypedDict, total=False):
    """Options by keyword; they win over `generation_config`, which wins over the checkpoint's."""

    max_length: int | None
    max_new_tokens: int | None
    min_length: int | None
    min_new_tokens: int | None
    early_stopping: bool | Literal["never"] | None
    max_time: float | None
    stop_strings: str | Sequence[str] | None

    do_sample: bool | None
    num_beams: int | None
    num_return_sequences: int | None

    use_cache: bool | None
    cache_implementation: CacheImplementation | None
    cache_config: Mapping[str, object] | None
    max_cache_len: int | None

    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_p: float | None
    top_h: float | None
    typical_p: float | None
    epsilon_cutoff: float | None
    eta_cutoff: float | None
    repetition_penalty: float | None
    encoder_repetition_penalty: float | None
    length_penalty: float | None
    no_repeat_ngram_size: int | None
    encoder_no_repeat_ngram_size: int | None
    bad_words_ids: Sequence[Sequence[int]] | None
    renormalize_logits: bool | None
    forced_bos_token_id: int | None
    forced_eos_token_id: int | Sequence[int] | None
    remove_invalid_values: bool | None
    exponential_decay_length_penalty: tuple[int, float] | None
    suppress_tokens: Sequence[int] | None
    begin_suppress_tokens: Sequence[int] | None
    sequence_bias: SequenceBias | None
    token_healing: bool | None
    guidance_scale: float | None
    watermarking_config: BaseWatermarkingConfig | Mapping[str, object] | None

    output_attentions: bool | None
    output_hidden_states: bool | None
    output_scores: bool | None
    output_logits: bool | None

    pad_token_id: int | None
    bos_token_id: int | None
    eos_token_id: int | Sequence[int] | None
    decoder_start_token_id: int | Sequence[int] | None

    num_assistant_tokens: int | None
    num_assistant_tokens_schedule: Literal["constant", "heuristic", "heuristic_transient"] | None
    assistant_confidence_threshold: float | None
    prompt_lookup_num_tokens: int | None
    max_matching_ngram_size: int | None
    assistant_early_exit: int | None
    assistant_lookbehind: int | None
    target_lookbehind: int | None

    compile_config: CompileConfig | None
    disable_compile: bool | None
    prefill_chunk_size: int | None

    penalty_alpha: float | None
    dola_layers: str | Sequence[int] | None
    diversity_penalty: float | None
    num_beam_groups: int | None
    force_words_ids: Sequence[object] | None


class GenerateInputs(TypedDict, total=False):
    """What belongs to one call and to no file.

    attention_mask: 1 for real tokens of the prompt, 0 for padding, which may be on either side.
    inputs_embeds: embeddings (B, T, D) in place of ids; the answer then holds new tokens only.
    past_key_values: a cache that holds the beginning of the prompt already, and is continued.
    logits_processor, stopping_criteria: callables applied besides those that options ask for.
    prefix_allowed_tokens_fn: from (prompt index, ids so far) to the tokens allowed next.
    assistant_model: a smaller model that drafts tokens.
    assistant_tokenizer: its tokenizer, when it is not the model's.
    tokenizer: the model's tokenizer; stop strings and token healing need it.
    streamer: receives tokens as they are chosen.
    negative_prompt_ids, negative_prompt_attention_mask: what guidance pulls away from.
    encoder_input_ids: what an encoder read, for processors that compare with it; the prompt, when left out.
    seed: one number, or one for every sequence: its own random stream.
    frequency_penalty, presence_penalty: subtracted from logits of generated tokens, per use or once.
    grammar, grammar_tokenizer: a JSON schema, regular expression or EBNF that texts have to follow, and the
        tokenizer that says what tokens are.
    compile: run the step compiled; the first call of a model takes the time that compiling does.
    deterministic: run sequences one by one, so that logits are bit for bit those of a batch of one.
    """

    attention_mask: Tensor | None
    inputs_embeds: Tensor | None
    past_key_values: Cache | None
    logits_processor: Sequence[LogitsProcessor] | None
    stopping_criteria: Sequence[StoppingCriteria] | None
    prefix_allowed_tokens_fn: AllowedTokens | None
    assistant_model: LanguageModel | None
    assistant_tokenizer: Tokenizer | None
    tokenizer: Tokenizer | None
    streamer: BaseStreamer | None
    negative_prompt_ids: Tensor | None
    negative_prompt_attention_mask: Tensor | None
    encoder_input_ids: Tensor | None
    seed: int | Sequence[int] | None
    frequency_penalty: float
    presence_penalty: float
    deterministic: bool
    compile: bool
    grammar: Grammar | None
    grammar_tokenizer: GrammarTokenizer | None


class GenerateArguments(GenerateInputs, GenerateOptions, total=False):
    """Every keyword of `generate`."""


def split_arguments(arguments: GenerateArguments) -> tuple[GenerateInputs, GenerateOptions]:
    """Inputs and options apart.

    Raises:
        UnknownOptionError: a keyword that is neither.
    """
    inputs, options = GenerateInputs(), GenerateOptions()
    for name, value in arguments.items():
        if name in _INPUTS:
            inputs[name] = value  # type: ignore[literal-required]  # checked on this line
        elif name in _OPTIONS:
            options[name] = value  # type: ignore[literal-required]  # checked on this line
        else:
            raise UnknownOptionError(name, get_close_matches(name, _INPUTS | _OPTIONS, n=1))
    return inputs, options


_INPUTS = GenerateInputs.__annotations__.keys()
_OPTIONS = GenerateOptions.__annotations__.keys()

SAMPLING_ONLY: Mapping[str, float | int | None] = {
    "temperature": 1.0,
    "top_p": 1.0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
"""Options that do nothing without sampling, and the value at which they do nothing with it."""
BEAMS_ONLY = frozenset({"length_penalty", "early_stopping", "num_beam_groups", "diversity_penalty"})
"""Options that do nothing without beams."""


def merge_options(
    checkpoint: GenerationConfig, given: GenerationConfig | None, options: GenerateOptions
) -> GenerationConfig:
    """One complete configuration, unset options at their defaults, except for lengths.

    Raises:
        ContradictionError: a keyword that does nothing beside the others.
        ConfigError: a value out of range, options that cannot hold together.
    """
    config = checkpoint if given is None else checkpoint.merged(given)
    config = config.replace(**options) if options else config
    if not config.do_sample and not options.keys().isdisjoint(SAMPLING_ONLY):
        _refuse_without_sampling(config, options)
    if (config.num_beams or 1) == 1 and not options.keys().isdisjoint(BEAMS_ONLY):
        _refuse_without_beams(options)
    return config


def _refuse_without_sampling(config: GenerationConfig, options: GenerateOptions) -> None:
    # Only what this very call asks for: a checkpoint's own file may well hold sampling options for later.
    for name, neutral in SAMPLING_ONLY.items():
        value = options.get(name)
        if value is not None and value != neutral:
            raise ContradictionError(
                (f"{name}={value}", f"do_sample={config.do_sample}"),
                f"{name} changes what is sampled, and nothing is sampled",
                fix=f"pass do_sample=True, or leave {name} out",
            )


def _refuse_without_beams(options: GenerateOptions) -> None:
    for name in BEAMS_ONLY:
        value = options.get(name)
        if value not in (None, False, 1, 1.0, 0.0):
            raise ContradictionError(
                (f"{name}={value}", "num_beams=1"),
                f"{name} belongs to beam search",
                fix=f"pass num_beams=2 or more, or leave {name} out",
            )
