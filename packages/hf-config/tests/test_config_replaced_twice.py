"""Changing one field keeps every other, whichever spelling it was given in."""

from hf_config import LlamaConfig


def test_older_spellings_survive_a_change_of_something_else() -> None:
    config = LlamaConfig.from_dict({"rope_theta": 500_000.0, "num_labels": 5, "torch_dtype": "bfloat16"})
    changed = config.replace(use_cache=False)
    assert changed.rope_parameters == config.rope_parameters
    assert (changed.num_labels, changed.dtype) == (5, "bfloat16")
    assert changed.replace(use_cache=True) == config


def test_a_changed_older_spelling_wins_over_what_it_once_set() -> None:
    config = LlamaConfig.from_dict({"rope_theta": 500_000.0, "num_labels": 5})
    assert config.replace(rope_theta=1000.0).rope_parameters.rope_theta == 1000.0
    assert config.replace(num_labels=3).num_labels == 3
    assert config.replace(num_labels=3).replace(id2label={0: "no", 1: "yes"}).num_labels == 2
