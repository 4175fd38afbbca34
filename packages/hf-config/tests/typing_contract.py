"""What a type checker must accept and refuse; mypy checks this file, and an unused ignore is an error there."""

from typing import assert_type

from hf_config import AutoConfig, GenerationConfig, GPT2Config, LlamaConfig, PreTrainedConfig, RopeParameters

config = LlamaConfig(hidden_size=64, eos_token_id=(1, 2))
assert_type(config.head_dim, int)
assert_type(config.num_key_value_heads, int)
assert_type(config.rope_parameters, RopeParameters)
assert_type(config.replace(hidden_size=128), LlamaConfig)
assert_type(LlamaConfig.from_dict({}), LlamaConfig)
assert_type(GPT2Config().hidden_size, int)
assert_type(GenerationConfig().top_p, float | None)


def load() -> PreTrainedConfig:
    """Never called: reading needs a file."""
    return AutoConfig.from_pretrained("folder", num_labels=3)


def mistakes() -> None:
    """Never called: each line is wrong in one way."""
    LlamaConfig(hidden_size="64")  # type: ignore[arg-type] # wrong type
    LlamaConfig(no_such_field=1)  # type: ignore[call-arg] # wrong name
    LlamaConfig(hidden_act="silo")  # type: ignore[arg-type] # not an activation
    config.hidden_size = 3  # type: ignore[misc] # immutable
    AutoConfig.from_pretrained("folder", num_label=3)  # type: ignore[call-arg] # wrong override
