"""From options to decisions: how to decode, how far, and which tokens have a meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from hf_config import GenerationConfig, PreTrainedConfig
from hf_modeling.generation.errors import (
    ContradictionError,
    MissingTokenError,
    OptionError,
    PromptTooLongError,
)

DEFAULT_TOP_K = 50
"""What sampling keeps when nobody says otherwise, as generation_config.json has meant from the start."""


class GenerationMode(StrEnum):
    """The ways to choose tokens, under the names that users know."""

    GREEDY_SEARCH = "greedy_search"
    SAMPLE = "sample"
    BEAM_SEARCH = "beam_search"
    BEAM_SAMPLE = "beam_sample"
    GROUP_BEAM_SEARCH = "group_beam_search"
    CONSTRAINED_BEAM_SEARCH = "constrained_beam_search"
    CONTRASTIVE_SEARCH = "contrastive_search"
    DOLA_GENERATION = "dola_generation"
    ASSISTED_GENERATION = "assisted_generation"


BEAMS = frozenset(
    {
        GenerationMode.BEAM_SEARCH,
        GenerationMode.BEAM_SAMPLE,
        GenerationMode.GROUP_BEAM_SEARCH,
        GenerationMode.CONSTRAINED_BEAM_SEARCH,
    }
)

ONE_SEQUENCE = frozenset({GenerationMode.ASSISTED_GENERATION})
"""Ways in which sequences of a batch would get out of step, so that each is run alone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that is decided before the model runs."""

    config: GenerationConfig
    mode: GenerationMode
    prompt_length: int
    max_length: int
    """Tokens in all, prompt included; the text ends there at the latest."""
    eos: tuple[int, ...]
    pad: int | None
    num_beams: int
    num_return_sequences: int
    frequency_penalty: float = 0.0
    presence_penalty: float = 0.0

    @property
    def filler(self) -> int:
        """What finished rows are filled with; 0 where rows cannot finish apart."""
        return self.pad if self.pad is not None else self.eos[0] if self.eos else 0


def make_plan(
    config: GenerationConfig,
    model_config: PreTrainedConfig,
    eos: tuple[int, ...],
    *,
    prompt_length: int,
    assisted: bool = False,
    frequency_penalty: float = 0.0,
    presence_penalty: float = 0.0,
) -> Plan:
    """Decide how to decode a prompt of this many tokens.

    Raises:
        PromptTooLongError: no room for one new token.
        OptionError: no length, no end token and no context to end at.
        ContradictionError: options that ask for two ways to decode.
    """
    return Plan(
        config=config,
        mode=choose_mode(config, assisted=assisted),
        prompt_length=prompt_length,
        max_length=_max_length(config, model_config, prompt_length),
        eos=eos,
        pad=config.pad_token_id,
        num_beams=config.num_beams or 1,
        num_return_sequences=config.num_return_sequences or 1,
        frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty,
    )


def token_ids(value: int | Sequence[int] | None) -> tuple[int, ...]:
    """One token, several or none as a tuple."""
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def choose_mode(config: GenerationConfig, *, assisted: bool = False) -> GenerationMode:
    """The way to decode that these options ask for.

    Raises:
        ContradictionError: they ask for two.
    """
    beams = config.num_beams or 1
    asked: dict[GenerationMode, str] = {}
    if config.constraints or config.force_words_ids:
        asked[GenerationMode.CONSTRAINED_BEAM_SEARCH] = "force_words_ids"
    if (config.num_beam_groups or 1) > 1:
        asked[GenerationMode.GROUP_BEAM_SEARCH] = "num_beam_groups"
    if config.penalty_alpha and (config.top_k or 0) > 1 and not config.do_sample:
        asked[GenerationMode.CONTRASTIVE_SEARCH] = "penalty_alpha"
    if config.dola_layers is not None:
        asked[GenerationMode.DOLA_GENERATION] = "dola_layers"
    if assisted or config.prompt_lookup_num_tokens or config.assistant_early_exit:
        asked[GenerationMode.ASSISTED_GENERATION] = "an assistant"
    if len(asked) > 1:
        raise ContradictionError(tuple(asked.values()), "each is a way to decode", fix="choose one of them")
    for mode, name in asked.items():
        if mode in BEAMS and beams == 1:
            raise ContradictionError(
                (name, "num_beams=1"), f"{name} needs beams", fix="pass num_beams=2 or more"
            )
        if mode not in BEAMS and beams > 1:
            raise ContradictionError(
                (name, f"num_beams={beams}"), "each is a way to decode", fix="pass num_beams=1"
            )
        if mode in BEAMS and config.do_sample:
            raise ContradictionError(
                (name, "do_sample=True"), f"{name} is not sampled", fix="pass do_sample=False"
            )
        return mode
    if beams > 1:
        return GenerationMode.BEAM_SAMPLE if config.do_sample else GenerationMode.BEAM_SEARCH
    return GenerationMode.SAMPLE if config.do_sample else GenerationMode.GREEDY_SEARCH


def _max_length(config: GenerationConfig, model_config: PreTrainedConfig, prompt: int) -> int:
    limit = getattr(model_config.get_text_config(), "max_position_embeddings", None)
    context = limit if isinstance(limit, int) and limit > 0 else None
    if context is not None and prompt >= context:
        raise PromptTooLongError(prompt, context)
    if config.max_new_tokens is not None:
        # An explicit number may go past the context, as rotary positions allow; nothing else may.
        return prompt + config.max_new_tokens
    if config.max_length is not None:
        if prompt >= config.max_length:
            raise PromptTooLongError(prompt, config.max_length, what="max_length")
        return config.max_length
    if context is not None:
        return context
    if config.eos_token_id is None and config.max_time is None and config.stop_strings is None:
        raise OptionError(
            "max_new_tokens", None, "given, as this model has neither an end token nor a longest context"
        )
    return prompt + UNBOUNDED


UNBOUNDED = 1 << 20
"""New tokens after which a text without any other bound ends."""


def need_pad(plan: Plan, batch: int) -> None:
    """Raises MissingTokenError when rows may finish apart and there is nothing to fill them with."""
    may_finish_apart = plan.config.stop_strings is not None
    if batch > 1 and plan.pad is None and not plan.eos and may_finish_apart:
        raise MissingTokenError("pad_token_id", "sequences of the batch end at different lengths")
