"""Which layers settings leave alone: the one rule, its defaults and its boundaries."""

from __future__ import annotations

import pytest

from hf_quant.errors import QuantizationConfigError
from hf_quant.skip import DEFAULT, Skip, first_match, reason_to_skip, unmatched


@pytest.mark.parametrize(
    ("pattern", "name", "covers"),
    [
        ("lm_head", "lm_head", True),
        ("lm_head.weight", "lm_head", True),
        ("layer.1", "layer.1.attn", True),
        ("layer.1", "layer.11.attn", False),
        ("mlp.gate", "model.layers.0.mlp.gate", True),
        ("mlp.gate", "model.layers.0.mlp.gate_proj", False),
        ("model.layers.*.self_attn", "model.layers.7.self_attn.q_proj", True),
        ("model.layers.*.self_attn", "model.layers.7.mlp.up_proj", False),
        ("gate", "model.layers.0.mlp.router_gate", True),
        (r"model\.layers\.(0|1)\.mlp", "model.layers.1.mlp.up_proj", True),
        (r"model\.layers\.(0|1)\.mlp", "model.layers.2.mlp.up_proj", False),
        ("down_proj$", "model.layers.2.mlp.down_proj", False),
        (".*down_proj$", "model.layers.2.mlp.down_proj", True),
    ],
)
def test_a_pattern_covers_beginnings_up_to_a_dot_and_endings(pattern: str, name: str, covers: bool) -> None:
    assert (first_match([name], [pattern]) == pattern) is covers


def test_without_a_list_outputs_and_what_they_share_stay() -> None:
    outputs = frozenset({"lm_head", "model.embed_tokens"})
    assert reason_to_skip(["lm_head"], Skip(), outputs) == DEFAULT
    assert reason_to_skip(["wte", "model.embed_tokens"], Skip(), outputs) == DEFAULT
    assert reason_to_skip(["model.layers.0.mlp.up_proj"], Skip(), outputs) is None


def test_a_list_replaces_the_defaults_unless_they_are_kept() -> None:
    outputs = frozenset({"lm_head"})
    assert reason_to_skip(["lm_head"], Skip(patterns=("up_proj",)), outputs) is None
    assert reason_to_skip(["lm_head"], Skip(patterns=("up_proj",), defaults=True), outputs) == DEFAULT
    assert reason_to_skip(["a.up_proj"], Skip(patterns=("up_proj",)), outputs) == "settings: 'up_proj'"


def test_everything_outside_of_named_modules_stays() -> None:
    skip = Skip(only=("model.layers",))
    assert reason_to_skip(["model.layers.0.mlp.up_proj"], skip, frozenset()) is None
    assert reason_to_skip(["model.layers_extra"], skip, frozenset()) == "outside of model.layers"


def test_patterns_that_cover_nothing_are_found() -> None:
    layers = [("a.q_proj",), ("b.c_attn", "b.k_proj")]
    assert unmatched(["k_proj", "v_proj"], layers) == ["v_proj"]


def test_what_is_no_expression_is_refused() -> None:
    with pytest.raises(QuantizationConfigError, match=r"'mlp\(' among the names of layers"):
        first_match(["mlp"], ["mlp("])
