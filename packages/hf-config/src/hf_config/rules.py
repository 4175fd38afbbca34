"""Rules between fields, for every family: a rule runs where a configuration has all the names it asks for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hf_config.errors import InconsistentFieldsError, InvalidFieldError


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`check(owner, *values)` of the named fields; it raises ConfigError."""

    fields: tuple[str, ...]
    check: Callable[..., None]


def apply_rules(owner: str, values: Mapping[str, Any]) -> None:
    """Checks every rule whose fields all have a value in `values`."""
    for rule in RULES:
        found = [values.get(name) for name in rule.fields]
        if None not in found:
            rule.check(owner, *found)


def _kv_heads_divide(owner: str, heads: int, kv_heads: int) -> None:
    if kv_heads <= 0 or heads % kv_heads:
        raise InconsistentFieldsError(
            f"{owner}: num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads},"
            " so query heads cannot share key heads evenly",
            fields=("num_attention_heads", "num_key_value_heads"),
            fix=f"set num_key_value_heads to a divisor of {heads}",
        )


def _one_type_per_layer(field: str) -> Rule:
    def check(owner: str, layers: int, kinds: tuple[str, ...]) -> None:
        if len(kinds) != layers:
            raise InconsistentFieldsError(
                f"{owner}: {field} has {len(kinds)} entries for num_hidden_layers {layers}",
                fields=("num_hidden_layers", field),
                fix=f"give one entry for each layer, or leave {field} out to derive it",
            )

    return Rule(fields=("num_hidden_layers", field), check=check)


def _positive(field: str) -> Rule:
    def check(owner: str, value: int) -> None:
        if value <= 0:
            raise InvalidFieldError(owner, field, value, "a number above 0", fix=f"correct {field}")

    return Rule(fields=(field,), check=check)


def _top_k_within(experts_field: str, chosen_field: str) -> Rule:
    def check(owner: str, experts: int, chosen: int) -> None:
        if experts and not 0 < chosen <= experts:
            raise InconsistentFieldsError(
                f"{owner}: {chosen_field} {chosen} does not fit {experts_field} {experts}",
                fields=(chosen_field, experts_field),
                fix=f"set {chosen_field} between 1 and {experts}",
            )

    return Rule(fields=(experts_field, chosen_field), check=check)


def _labels_match_problem(owner: str, problem_type: str, id2label: Mapping[int, str]) -> None:
    if problem_type == "single_label_classification" and len(id2label) == 1:
        raise InconsistentFieldsError(
            f"{owner}: problem_type 'single_label_classification' needs two labels or more, id2label has one",
            fields=("problem_type", "id2label"),
            fix="use num_labels=2, or problem_type='regression'",
        )


RULES: tuple[Rule, ...] = (
    *(
        _positive(field)
        for field in (
            "vocab_size",
            "hidden_size",
            "num_attention_heads",
            "head_dim",
            "max_position_embeddings",
        )
    ),
    Rule(fields=("num_attention_heads", "num_key_value_heads"), check=_kv_heads_divide),
    *(_one_type_per_layer(field) for field in ("layer_types", "mlp_layer_types")),
    *(
        _top_k_within(experts, chosen)
        for experts in ("num_local_experts", "num_experts", "n_routed_experts")
        for chosen in ("num_experts_per_tok", "moe_topk")
    ),
    Rule(fields=("problem_type", "id2label"), check=_labels_match_problem),
)
