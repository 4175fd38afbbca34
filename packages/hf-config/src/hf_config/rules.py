"""Rules between fields, for every family: a rule holds where a configuration has all the fields it names."""

from collections.abc import Mapping
from typing import Any

from hf_config.errors import InconsistentFieldsError, InvalidFieldError

POSITIVE = ("vocab_size", "hidden_size", "num_attention_heads", "head_dim", "max_position_embeddings")
ONE_PER_LAYER = ("layer_types", "mlp_layer_types")
EXPERTS = ("num_local_experts", "num_experts", "n_routed_experts")
CHOSEN_EXPERTS = ("num_experts_per_tok", "moe_topk")


def check_fields(owner: str, values: Mapping[str, Any]) -> None:
    """Raises ConfigError for the first rule that `values`, by canonical and own names, break."""
    for name in POSITIVE:
        value = values.get(name)
        if value is not None and value <= 0:
            raise InvalidFieldError(owner, name, value, "a number above 0", fix=f"correct {name}")
    heads, kv_heads = values.get("num_attention_heads"), values.get("num_key_value_heads")
    if heads is not None and kv_heads is not None and (kv_heads <= 0 or heads % kv_heads):
        raise InconsistentFieldsError(
            f"{owner}: num_attention_heads {heads} is not a multiple of num_key_value_heads {kv_heads},"
            " so query heads cannot share key heads evenly",
            fields=("num_attention_heads", "num_key_value_heads"),
            fix=f"set num_key_value_heads to a divisor of {heads}",
        )
    layers = values.get("num_hidden_layers")
    for name in ONE_PER_LAYER:
        kinds = values.get(name)
        if layers is not None and kinds is not None and len(kinds) != layers:
            raise InconsistentFieldsError(
                f"{owner}: {name} has {len(kinds)} entries for num_hidden_layers {layers}",
                fields=("num_hidden_layers", name),
                fix=f"give one entry for each layer, or null for {name} to derive it",
            )
    for name in EXPERTS:
        experts = values.get(name)
        for chosen_name in CHOSEN_EXPERTS:
            chosen = values.get(chosen_name)
            if isinstance(experts, int) and isinstance(chosen, int) and experts and not 0 < chosen <= experts:
                raise InconsistentFieldsError(
                    f"{owner}: {chosen_name} {chosen} does not fit {name} {experts}",
                    fields=(chosen_name, name),
                    fix=f"set {chosen_name} between 1 and {experts}",
                )
    if values.get("problem_type") == "single_label_classification" and len(values["id2label"]) == 1:
        raise InconsistentFieldsError(
            f"{owner}: problem_type 'single_label_classification' needs two labels or more, id2label has one",
            fields=("problem_type", "id2label"),
            fix="use num_labels=2, or problem_type='regression'",
        )
