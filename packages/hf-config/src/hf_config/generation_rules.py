"""Which values and which combinations of generation options cannot be meant."""

from collections.abc import Mapping
from typing import Any

from hf_config.errors import InconsistentFieldsError, InvalidFieldError

_OWNER = "GenerationConfig"

# Inclusive limits; None is no limit.
_LIMITS: Mapping[str, tuple[float | None, float | None]] = {
    "max_length": (1, None),
    "max_new_tokens": (1, None),
    "min_length": (0, None),
    "min_new_tokens": (0, None),
    "max_time": (0, None),
    "num_beams": (1, None),
    "num_beam_groups": (1, None),
    "num_return_sequences": (1, None),
    "temperature": (0, None),
    "top_k": (0, None),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "top_h": (0, 1),
    "typical_p": (0, 1),
    "epsilon_cutoff": (0, 1),
    "eta_cutoff": (0, 1),
    "repetition_penalty": (0, None),
    "encoder_repetition_penalty": (0, None),
    "no_repeat_ngram_size": (0, None),
    "encoder_no_repeat_ngram_size": (0, None),
    "max_cache_len": (1, None),
    "num_assistant_tokens": (1, None),
    "assistant_confidence_threshold": (0, 1),
    "prompt_lookup_num_tokens": (1, None),
    "max_matching_ngram_size": (1, None),
    "prefill_chunk_size": (1, None),
    "penalty_alpha": (0, 1),
}


def check_ranges(values: Mapping[str, Any]) -> None:
    """Raises InvalidFieldError for the first option outside its limits."""
    for name, (low, high) in _LIMITS.items():
        value = values[name]
        if value is None:
            continue
        if (low is not None and value < low) or (high is not None and value > high):
            limit = f"between {low} and {high}" if high is not None else f"at least {low}"
            raise InvalidFieldError(_OWNER, name, value, limit, fix=f"correct {name}, or leave it unset")
    weight = values["assistant_ensemble_weight"]
    if weight is not None and not 0 < weight < 1:
        raise InvalidFieldError(_OWNER, "assistant_ensemble_weight", weight, "between 0 and 1, both excluded")


def check_combinations(values: Mapping[str, Any]) -> None:
    """Raises InconsistentFieldsError for options that cannot hold together."""
    returned, beams = values["num_return_sequences"] or 1, values["num_beams"] or 1
    if returned > 1 and beams == 1 and not values["do_sample"]:
        raise InconsistentFieldsError(
            f"{_OWNER}: num_return_sequences {returned} without sampling or beams would repeat one text",
            fields=("num_return_sequences", "do_sample", "num_beams"),
            fix=f"set do_sample=True, or num_beams to {returned} or more",
        )
    if 1 < beams < returned:
        raise InconsistentFieldsError(
            f"{_OWNER}: num_return_sequences {returned} exceeds num_beams {beams}",
            fields=("num_return_sequences", "num_beams"),
            fix=f"set num_beams to {returned} or more",
        )
    groups = values["num_beam_groups"] or 1
    if groups > 1 and beams % groups:
        raise InconsistentFieldsError(
            f"{_OWNER}: num_beams {beams} cannot be shared by num_beam_groups {groups}",
            fields=("num_beams", "num_beam_groups"),
            fix="set num_beams to a multiple of num_beam_groups",
        )
    for shortest, longest in (("min_length", "max_length"), ("min_new_tokens", "max_new_tokens")):
        low, high = values[shortest], values[longest]
        if low is not None and high is not None and low > high:
            raise InconsistentFieldsError(
                f"{_OWNER}: {shortest} {low} exceeds {longest} {high}",
                fields=(shortest, longest),
                fix=f"lower {shortest} or raise {longest}",
            )
    suppressed = set(values["suppress_tokens"] or ())
    for name in ("forced_bos_token_id", "forced_eos_token_id") if suppressed else ():
        forced = values[name]
        tokens = {forced} if isinstance(forced, int) else set(forced or ())
        if tokens and tokens <= suppressed:
            raise InconsistentFieldsError(
                f"{_OWNER}: every token of {name} {sorted(tokens)} is also in suppress_tokens",
                fields=(name, "suppress_tokens"),
                fix="remove it from one of them; min_new_tokens prevents an early end",
            )
